import { MkCiError } from '../errors.js';
import { waitFor, type Probe } from '../wait.js';
import type { ApiClient } from './api-client.js';

const INTERVAL_MS = 40;

export interface ReadinessOptions {
  readonly signal: AbortSignal;
  readonly deadlineMs: number;
  /** Asked between two probes; throws when waiting is of no use because a component ended. */
  readonly check: () => Promise<void>;
}

/** Waits until the API server says that it serves: `/readyz`, with all its checks. */
export async function waitForReadyz(client: ApiClient, options: ReadinessOptions): Promise<void> {
  await waitForAnswer(client, '/readyz', 'the API server to be ready (/readyz)', options);
}

/**
 * Waits until a pod could be created: namespaces `default` and `kube-system`, and the `default` ServiceAccount with the
 * certificate that pods of it mount.
 */
export async function waitForDefaults(client: ApiClient, options: ReadinessOptions): Promise<void> {
  const startedAt = performance.now();
  const left = (): ReadinessOptions => ({
    ...options,
    deadlineMs: Math.max(1, options.deadlineMs - (performance.now() - startedAt)),
  });
  // The controllers make the objects of all namespaces together: the order here only saves requests.
  for (const [path, what] of [
    ['/api/v1/namespaces/default', 'namespace default'],
    ['/api/v1/namespaces/kube-system', 'namespace kube-system'],
    ['/api/v1/namespaces/default/serviceaccounts/default', 'ServiceAccount default in namespace default'],
    ['/api/v1/namespaces/default/configmaps/kube-root-ca.crt', 'ConfigMap kube-root-ca.crt in namespace default'],
  ] as const) {
    await waitForAnswer(client, path, what, left());
  }
}

/** Waits until each of these nodes has the condition Ready and no taint of a node that is not. */
export async function waitForNodes(
  client: ApiClient,
  names: readonly string[],
  options: ReadinessOptions,
): Promise<void> {
  await waitFor<true>(
    async (signal) => {
      await options.check();
      const answer = await client.request('GET', '/api/v1/nodes', { signal });
      if (answer.status !== 200) return { done: false, seen: `HTTP ${answer.status}` };
      const waiting = notReadyNodes(JSON.parse(answer.body), names);
      return waiting.length === 0 ? { done: true, value: true } : { done: false, seen: waiting.join(', ') };
    },
    { what: `${names.length} nodes to be Ready`, intervalMs: INTERVAL_MS * 2, ...options },
  );
}

/** @returns one entry for each node that pods can not be scheduled on yet, with the reason */
export function notReadyNodes(list: unknown, names: readonly string[]): string[] {
  const nodes = new Map((list as NodeList).items.map((node) => [node.metadata.name, node]));
  return names.flatMap((name) => {
    const node = nodes.get(name);
    if (node === undefined) return [`${name}: does not exist`];
    const ready = node.status?.conditions?.find((condition) => condition.type === 'Ready');
    if (ready?.status !== 'True') return [`${name}: Ready is ${ready?.status ?? 'not set'}`];
    const taint = node.spec?.taints?.find(({ key }) => key.startsWith('node.kubernetes.io/'));
    return taint === undefined ? [] : [`${name}: taint ${taint.key}`];
  });
}

/** The part of a NodeList that is read here. */
interface NodeList {
  readonly items: readonly {
    readonly metadata: { readonly name: string };
    readonly spec?: { readonly taints?: readonly { readonly key: string }[] };
    readonly status?: { readonly conditions?: readonly { readonly type: string; readonly status: string }[] };
  }[];
}

async function waitForAnswer(client: ApiClient, path: string, what: string, options: ReadinessOptions): Promise<void> {
  await waitFor(
    async (signal): Promise<Probe<true>> => {
      await options.check();
      let answer;
      try {
        answer = await client.request('GET', path, { signal });
      } catch (error) {
        if (error instanceof MkCiError && error.code === 'NET_UNREACHABLE') return { done: false, seen: error.message };
        throw error;
      }
      if (answer.status === 200) return { done: true, value: true };
      return { done: false, seen: `HTTP ${answer.status}: ${summarise(answer.body)}` };
    },
    { what, intervalMs: INTERVAL_MS, signal: options.signal, deadlineMs: options.deadlineMs },
  );
}

/** Failed checks of `/readyz`, or the start of anything else. */
function summarise(body: string): string {
  const failed = body.split('\n').filter((line) => line.startsWith('[-]'));
  return (failed.length > 0 ? failed.join('; ') : body.replaceAll(/\s+/g, ' ')).slice(0, 300);
}
