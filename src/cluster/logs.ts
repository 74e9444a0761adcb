import { cp, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

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
 * one file a component, and beside it what the API says of nodes, pods and events.
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
    if (missing.length > 0) await writeFile(join(target, 'missing.txt'), `${missing.sort().join('\n')}\n`);
  } catch (error) {
    throw hostErrorOf(error, target) ?? error;
  }
}

async function listFiles(folder: string): Promise<string[]> {
  try {
    return (await readdir(folder)).sort();
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return [];
    throw error;
  }
}
