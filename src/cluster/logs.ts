import { cp, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import PQueue from 'p-queue';

import { hostErrorOf, messageOf, systemErrorCode } from '../errors.js';
import { makeFolder } from '../files.js';
import type { ApiClient } from './api-client.js';
import type { ClusterFolder, ClusterRecord } from './folder.js';

/** What the API is asked for, beside the logs. */
const QUESTIONS = {
  'nodes.json': '/api/v1/nodes',
  'pods.json': '/api/v1/pods',
  'events.json': '/api/v1/events',
  'readyz.txt': '/readyz?verbose',
} as const;

/** Saved already, or not to be saved: passwords do not belong into logs. */
const SKIPPED = new Set(['nodes', 'pods', 'events', 'secrets']);

/** Of questions for objects: more would only wait for a connection. */
const AT_ONCE = 6;

/** For all objects of a cluster. */
const OBJECTS_MS = 15_000;

interface ResourceList {
  readonly resources?: readonly { readonly name: string; readonly verbs?: readonly string[] }[];
}

interface GroupList {
  readonly groups?: readonly { readonly name: string; readonly preferredVersion?: { readonly groupVersion: string } }[];
}

interface ObjectList {
  readonly items?: readonly unknown[];
}

export interface SaveLogsOptions {
  readonly name: string;
  readonly paths: ClusterFolder;
  readonly record: ClusterRecord | undefined;
  readonly target: string;
  /** Absent when there is no address to ask. */
  readonly client?: ApiClient;
  readonly signal: AbortSignal;
}

/**
 * Copies the logs of a cluster in the layout of `kind export logs`: one folder a node, here `<name>-control-plane`, with
 * one file a component, and beside it what the API says of nodes, pods and events. All other objects but Secrets are in `objects/`, one
 * file a kind such as `deployments.apps.json`.
 *
 * Takes some seconds at most; what can not be had (a broken cluster has no API) is said in `missing.txt`.
 *
 * @throws {MkCiError} `HOST_DISK_FULL`, `HOST_PERMISSION` for the target
 */
export async function saveClusterLogs(options: SaveLogsOptions): Promise<void> {
  const { name, paths, record, target, client, signal } = options;
  const node = join(target, `${name}-control-plane`);
  const missing: string[] = [];
  try {
    await makeFolder(node);
    for (const file of await listFiles(paths.logs)) {
      signal.throwIfAborted();
      await cp(join(paths.logs, file), join(node, file)).catch((error: unknown) => {
        missing.push(`${file}: ${messageOf(error)}`);
      });
    }
    if (record !== undefined)
      await writeFile(join(target, 'cluster.json'), `${JSON.stringify(record, undefined, 2)}\n`);
    await cp(paths.supervisorState, join(node, 'supervisor.json')).catch((error: unknown) => {
      missing.push(`supervisor.json: ${messageOf(error)}`);
    });
    await Promise.all(
      Object.entries(QUESTIONS).map(async ([file, path]) => {
        try {
          if (client === undefined) throw new Error('the cluster does not run');
          const answer = await client.request('GET', path, { signal, timeoutMs: 5000 });
          await writeFile(join(target, file), answer.body);
        } catch (error) {
          signal.throwIfAborted();
          missing.push(`${file}: ${messageOf(error)}`);
        }
      }),
    );
    if (client !== undefined) missing.push(...(await saveObjects(client, join(target, 'objects'), signal)));
    if (missing.length > 0) await writeFile(join(target, 'missing.txt'), `${missing.sort().join('\n')}\n`);
  } catch (error) {
    throw hostErrorOf(error, target) ?? error;
  }
}

/** @returns what could not be had, a line each */
async function saveObjects(client: ApiClient, folder: string, signal: AbortSignal): Promise<readonly string[]> {
  const missing: string[] = [];
  const queue = new PQueue({ concurrency: AT_ONCE });
  const limited = AbortSignal.any([signal, AbortSignal.timeout(OBJECTS_MS)]);
  /** `undefined` for what can not be had. */
  const ask = async (path: string): Promise<{ readonly body: string; readonly value: unknown } | undefined> => {
    try {
      const { status, body } = await queue.add(() => client.request('GET', path, { signal: limited }));
      if (status === 200) return { body, value: JSON.parse(body) };
      missing.push(`objects: ${path}: status ${status}`);
    } catch (error) {
      signal.throwIfAborted();
      missing.push(`objects: ${path}: ${messageOf(error)}`);
    }
    return undefined;
  };
  const groups = await ask('/apis');
  if (groups === undefined) return missing;
  const named = ((groups.value as GroupList).groups ?? []).flatMap(({ name, preferredVersion }) =>
    preferredVersion === undefined || !FILE_NAME.test(name)
      ? []
      : [{ suffix: `.${name}`, path: `/apis/${preferredVersion.groupVersion}` }],
  );
  await makeFolder(folder);
  await Promise.all(
    [{ suffix: '', path: '/api/v1' }, ...named].map(async ({ suffix, path }) => {
      const { resources = [] } = ((await ask(path))?.value ?? {}) as ResourceList;
      const listed = resources.filter(
        ({ name, verbs = [] }) => verbs.includes('list') && FILE_NAME.test(name) && !SKIPPED.has(name),
      );
      await Promise.all(
        listed.map(async ({ name }) => {
          const list = await ask(`${path}/${name}`);
          if (list === undefined || (list.value as ObjectList).items?.length === 0) return;
          await writeFile(join(folder, `${name}${suffix}.json`), list.body);
        }),
      );
    }),
  );
  return missing;
}

/** Of a group or a kind, as part of one. */
const FILE_NAME = /^[a-z0-9][a-z0-9.-]*$/;

async function listFiles(folder: string): Promise<string[]> {
  try {
    return (await readdir(folder)).sort();
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return [];
    throw error;
  }
}
