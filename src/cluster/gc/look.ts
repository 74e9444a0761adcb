import { readFileSync, readlinkSync, readdirSync } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';

import type { Driver } from '../../drivers/driver.js';
import { hostErrorOf, systemErrorCode } from '../../errors.js';
import { listTemporaryFolders } from '../../files.js';
import { isAlive, listLabelledProcesses, placeOfProcesses } from '../../process.js';
import type { Journal } from '../journal.js';
import { readOwnership } from '../ownership.js';
import { listPortLeases } from '../ports.js';
import type { Seen, SeenFolder, SeenResource } from './plan.js';

export interface LookOptions {
  readonly journal: Journal;
  /** One folder a cluster. */
  readonly clustersFolder: string;
  readonly portsFolder: string;
  /** What the files of a cluster folder say; `undefined` when they say nothing. */
  readonly readFolder: (path: string) => Promise<Omit<SeenFolder, 'path' | 'name'> | undefined>;
  readonly drivers: readonly Driver[];
  /** @default os.tmpdir() */
  readonly temporaryFolder?: string;
  readonly signal: AbortSignal;
  /** @default () => new Date() */
  readonly now?: () => Date;
  /** A driver that could not be asked; the others are asked all the same. */
  readonly onDriverError: (driver: string, error: unknown) => void;
}

/** Looks at everything that `planGc` judges. Changes nothing. */
export async function lookAround(options: LookOptions): Promise<Seen> {
  const { journal, clustersFolder, portsFolder, now = () => new Date() } = options;
  const [content, clusterFolders, temporaryFolders, portLeases, resources] = await Promise.all([
    journal.list(),
    readClusterFolders(clustersFolder, options.readFolder),
    listTemporaryFolders(options.temporaryFolder),
    listPortLeases(portsFolder),
    listResources(options),
  ]);
  const ownNamespace = pidNamespaceOf('self');
  const processes = listLabelledProcesses().map((process) => ({
    ...process,
    isInThisNamespace: pidNamespaceOf(process.pid) === ownNamespace,
  }));
  const folders = [
    ...clusterFolders.map((folder) => folder.path),
    ...content.entries.flatMap(({ thing }) => ('path' in thing ? [thing.path] : [])),
    ...processes.flatMap((process) => readOwnership(process.labels).folder ?? []),
    ...resources.flatMap((resource) => resource.ownership.folder ?? []),
    ...content.entries.flatMap((entry) => entry.ownership.folder ?? []),
  ];
  return {
    now: now(),
    place: placeOfProcesses(),
    journal: content,
    processes,
    clusterFolders,
    temporaryFolders,
    portLeases,
    resources,
    ownPids: ownPids(),
    existingFolders: await whichExist(folders),
    isAlive,
  };
}

async function readClusterFolders(folder: string, readFolder: LookOptions['readFolder']): Promise<SeenFolder[]> {
  const entries = await readdir(folder, { withFileTypes: true }).catch((error: unknown) => {
    if (systemErrorCode(error) === 'ENOENT') return [];
    throw hostErrorOf(error, folder) ?? error;
  });
  return await Promise.all(
    entries
      .filter((entry) => entry.isDirectory())
      .map(async ({ name }) => {
        const path = join(folder, name);
        return { path, name, ...(await readFolder(path)) };
      }),
  );
}

async function listResources({ drivers, signal, onDriverError }: LookOptions): Promise<SeenResource[]> {
  const lists = await Promise.all(
    drivers.map(async ({ info, machines }) => {
      if (machines === undefined || info.machines !== 'created') return [];
      try {
        const found = await machines.list({}, signal);
        return found.map(({ name, labels }) => ({
          driver: info.name,
          type: 'machine',
          name,
          ownership: readOwnership(labels),
        }));
      } catch (error) {
        signal.throwIfAborted();
        onDriverError(info.name, error);
        return [];
      }
    }),
  );
  return lists.flat();
}

async function whichExist(paths: readonly string[]): Promise<Set<string>> {
  const existing = await Promise.all(
    [...new Set(paths)].map(async (path) => {
      try {
        await stat(path);
        return [path];
      } catch (error) {
        // Only what is surely gone counts as gone: a folder that may not be looked into is there.
        return systemErrorCode(error) === 'ENOENT' || systemErrorCode(error) === 'ENOTDIR' ? [] : [path];
      }
    }),
  );
  return new Set(existing.flat());
}

/** This process, its ancestors, and every member of its process group. */
function ownPids(): Set<number> {
  const own = new Set<number>();
  for (let pid = process.pid; pid > 1 && !own.has(pid); pid = parentAndGroup(pid)?.parent ?? 0) own.add(pid);
  const group = parentAndGroup(process.pid)?.group;
  if (group === undefined) return own;
  for (const entry of readdirSync('/proc')) {
    if (/^\d+$/.test(entry) && parentAndGroup(Number(entry))?.group === group) own.add(Number(entry));
  }
  return own;
}

function parentAndGroup(pid: number): { readonly parent: number; readonly group: number } | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return { parent: Number(fields[1]), group: Number(fields[2]) };
  } catch {
    return undefined; // ended, or no /proc
  }
}

function pidNamespaceOf(pid: number | 'self'): string {
  try {
    return readlinkSync(`/proc/${pid}/ns/pid`);
  } catch {
    return `hidden ${pid}`; // of another user, or ended: not ours to judge
  }
}
