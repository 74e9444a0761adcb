import { readFile } from 'node:fs/promises';
import type { RequestOptions } from 'node:https';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';

import { MkCiError, messageOf } from '../../errors.js';
import { createApiClient, type ApiAnswer, type ApiClient } from '../api-client.js';
import type { ClusterSpec } from '../cluster.js';

/** A cluster of somebody else, as found. */
export interface AttachedCluster {
  readonly server: string;
  /** Such as `v1.36.3`. */
  readonly kubernetesVersion: string;
  readonly nodes: number;
  /** Kubeconfig with this one context, to be kept privately. */
  readonly kubeconfig: string;
}

export interface AttachOptions {
  readonly file: string;
  /** @default the file's current context */
  readonly context?: string;
  readonly signal: AbortSignal;
}

/**
 * Options of the driver `existing`: `kubeconfig` (a path) and `context`.
 *
 * @throws {MkCiError} `K8S_KUBECONFIG` for values that are no text
 */
export function attachOptions(
  spec: ClusterSpec,
  env: Readonly<Record<string, string | undefined>>,
): Omit<AttachOptions, 'signal'> {
  const text = (key: string): string | undefined => {
    const value = spec.options?.[key];
    if (value === undefined || typeof value === 'string') return value;
    throw new MkCiError('K8S_KUBECONFIG', { message: `option ${key} is not text` });
  };
  const file =
    text('kubeconfig') ?? env['KUBECONFIG']?.split(':')[0] ?? join(env['HOME'] ?? homedir(), '.kube', 'config');
  const context = text('context');
  return { file: resolve(file), ...(context === undefined ? {} : { context }) };
}

/**
 * Looks at a cluster without changing anything in it: does it answer, which version is it, and may this user work in it?
 *
 * @throws {MkCiError} `K8S_KUBECONFIG` for the file, the context, refused or insufficient credentials; `NET_UNREACHABLE`
 */
export async function attachToCluster({ file, context, signal }: AttachOptions): Promise<AttachedCluster> {
  const found = await readContext(file, context);
  using client = found.client;
  const version = await ask(client, '/version', signal);
  const { gitVersion } = JSON.parse(version.body) as { readonly gitVersion: string };
  const review = await client.request('POST', '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews', {
    signal,
    body: {
      apiVersion: 'authorization.k8s.io/v1',
      kind: 'SelfSubjectAccessReview',
      spec: { resourceAttributes: { verb: 'create', resource: 'namespaces' } },
    },
  });
  // The review is an answer, not an object: nothing is stored by it.
  if (review.status === 201) {
    const { status } = JSON.parse(review.body) as { readonly status: { readonly allowed: boolean } };
    if (!status.allowed) {
      throw new MkCiError('K8S_KUBECONFIG', {
        message: `the user of ${file} may not create namespaces`,
        advice: 'Give a context whose user may, or grant it to this one.',
      });
    }
  }
  const nodes = await client.request('GET', '/api/v1/nodes?limit=500', { signal });
  return {
    server: client.server,
    kubernetesVersion: gitVersion,
    nodes: nodes.status === 200 ? (JSON.parse(nodes.body) as { items: unknown[] }).items.length : 0,
    kubeconfig: found.kubeconfig,
  };
}

/** Whether the cluster of a kubeconfig answers now. */
export async function isReachable(file: string, signal: AbortSignal): Promise<boolean> {
  try {
    using client = (await readContext(file, undefined)).client;
    return (await client.request('GET', '/version', { signal })).status === 200;
  } catch (error) {
    if (error instanceof MkCiError) return false;
    throw error;
  }
}

/** A cluster of somebody else, to work in with one context of a kubeconfig. */
export interface ClusterConnection {
  readonly client: ApiClient;
  readonly context: string;
  /** Namespace of the context. @default 'default' */
  readonly namespace: string;
}

/** @throws {MkCiError} `K8S_KUBECONFIG` */
export async function connectToCluster(file: string, context?: string): Promise<ClusterConnection> {
  const { client, current } = await readContext(file, context);
  return { client, context: current.name, namespace: current.namespace ?? 'default' };
}

/** A client for the current context of a kubeconfig. */
export async function kubeconfigClient(file: string): Promise<ApiClient> {
  return (await readContext(file, undefined)).client;
}

async function ask(client: ApiClient, path: string, signal: AbortSignal): Promise<ApiAnswer> {
  const answer = await client.request('GET', path, { signal });
  if (answer.status === 200) return answer;
  throw new MkCiError('K8S_KUBECONFIG', {
    message: `${client.server}${path} answers HTTP ${answer.status}`,
    details: { output: answer.body.slice(0, 1000) },
  });
}

async function readContext(
  file: string,
  context: string | undefined,
): Promise<{
  readonly client: ApiClient;
  readonly kubeconfig: string;
  readonly current: { readonly name: string; readonly namespace?: string | null };
}> {
  const text = await readFile(file, 'utf8').catch((error: unknown) => {
    throw new MkCiError('K8S_KUBECONFIG', { message: `${file}: ${messageOf(error)}`, cause: error });
  });
  // Kubeconfigs of foreign clusters log in in many ways (tokens, files, exec plugins), and the client library knows them
  // all. It takes a fifth of a second to load, so only this file does.
  const { KubeConfig } = await import('@kubernetes/client-node');
  const config = new KubeConfig();
  try {
    config.loadFromString(text);
    config.makePathsAbsolute(resolve(file, '..'));
  } catch (error) {
    throw new MkCiError('K8S_KUBECONFIG', { message: `${file}: ${messageOf(error)}`, cause: error });
  }
  if (context !== undefined) config.setCurrentContext(context);
  const current = config.getContextObject(config.getCurrentContext());
  const cluster = config.getCurrentCluster();
  if (current === null || cluster === null) {
    const known = config.getContexts().map(({ name }) => name);
    throw new MkCiError('K8S_KUBECONFIG', {
      message: `${file} has no context '${config.getCurrentContext()}'`,
      advice: known.length === 0 ? 'The file has no context at all.' : `Contexts in it: ${known.join(', ')}.`,
    });
  }
  const user = config.getCurrentUser();
  const options: RequestOptions = {};
  try {
    await config.applyToHTTPSOptions(options);
  } catch (error) {
    throw new MkCiError('K8S_KUBECONFIG', { message: `${file}: ${messageOf(error)}`, cause: error });
  }
  const headers = Object.fromEntries(
    Object.entries(options.headers ?? {}).flatMap(([key, value]) => (typeof value === 'string' ? [[key, value]] : [])),
  );
  const { ca, cert, key, servername, rejectUnauthorized } = options;
  const single = new KubeConfig();
  single.loadFromOptions({
    clusters: [cluster],
    users: user === null ? [] : [user],
    contexts: [current],
    currentContext: current.name,
  });
  return {
    client: createApiClient(cluster.server, {
      headers,
      ...(ca === undefined ? {} : { ca }),
      ...(cert === undefined ? {} : { cert }),
      ...(key === undefined ? {} : { key }),
      ...(servername === undefined ? {} : { servername }),
      ...(rejectUnauthorized === undefined ? {} : { rejectUnauthorized }),
    }),
    kubeconfig: single.exportConfig(),
    current,
  };
}
