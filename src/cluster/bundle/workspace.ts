import { randomBytes } from 'node:crypto';
import { open, readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';

import { hostErrorOf, systemErrorCode } from '../../errors.js';
import { makeFolder } from '../../files.js';
import { identifySelf, isAlive, type ProcessIdentity } from '../../process.js';

/**
 * Layout of the bundle cache and its temporary folders.
 *
 *     bundles/
 *       v1.36.3-linux-amd64-1a2b3c4d/   a bundle: manifest.json, bin/…; complete from the moment it is there
 *       .finished/etcd-v3.6.8-linux-amd64/etcd, etcd.json   single files, got and checked, for the next bundle
 *       .partial/        downloads that broke off, to be continued
 *       .logs/           output of the last build of each component
 *       .locks/
 *       .work/<pid>-<start>-<random>/   what a process is at; of a dead process: removed by the next one
 */
export interface BundleFolders {
  readonly root: string;
  readonly finished: string;
  readonly partial: string;
  readonly logs: string;
  readonly locks: string;
  readonly work: string;
}

export function bundleFolders(cacheFolder: string): BundleFolders {
  return storeFolders(join(cacheFolder, 'bundles'), '.finished');
}

/** Folders of a store that makes things of several steps. @param finished name of the folder for finished steps */
export function storeFolders(root: string, finished: string): BundleFolders {
  return {
    root,
    finished: join(root, finished),
    partial: join(root, '.partial'),
    logs: join(root, '.logs'),
    locks: join(root, '.locks'),
    work: join(root, '.work'),
  };
}

/** A folder that only this process uses and that goes away with it. */
export interface WorkFolder extends AsyncDisposable {
  readonly path: string;
}

/**
 * Makes a work folder and first removes those of dead processes; downloads that those had begun are kept for later.
 *
 * @throws {MkCiError} `HOST_DISK_FULL`, `HOST_PERMISSION`
 */
export async function createWorkFolder(
  folders: BundleFolders,
  alive: (identity: ProcessIdentity) => boolean = isAlive,
): Promise<WorkFolder> {
  const path = join(folders.work, formatOwner(identifySelf()));
  try {
    await makeFolder(path);
    await sweepWorkFolders(folders, alive);
  } catch (error) {
    throw hostErrorOf(error, folders.root) ?? error;
  }
  return {
    path,
    [Symbol.asyncDispose]: async () => {
      await removeWorkFolder(path, folders);
    },
  };
}

/** @returns names of the folders removed */
export async function sweepWorkFolders(
  folders: BundleFolders,
  alive: (identity: ProcessIdentity) => boolean = isAlive,
): Promise<string[]> {
  const swept: string[] = [];
  for (const name of await listFolder(folders.work)) {
    const owner = parseOwner(name);
    if (owner !== undefined && alive(owner)) continue;
    await removeWorkFolder(join(folders.work, name), folders);
    swept.push(name);
  }
  return swept;
}

async function removeWorkFolder(path: string, folders: BundleFolders): Promise<void> {
  for (const name of await listFolder(path)) {
    if (!/\.part(?:\.json)?$/.test(name)) continue;
    await makeFolder(folders.partial);
    await rename(join(path, name), join(folders.partial, partialName(name))).catch(ignoreMissing);
  }
  await rm(path, { recursive: true, force: true, maxRetries: 3 });
}

/** In a work folder a partial file has a random word in its name; without it everybody knows it by its sum. */
export function partialName(workName: string): string {
  return workName.replace(/\.[0-9a-f]{8}(?=\.part(?:\.json)?$)/, '');
}

/** `<pid>-<start ticks>-<boot id>-<random>`: no character that a list of paths or a tool could trip over. */
export function formatOwner(identity: ProcessIdentity, random = randomBytes(4).toString('hex')): string {
  const [ticks = '', boot = ''] = identity.startedAt.split('@');
  return `${identity.pid}-${ticks}-${boot}-${random}`;
}

/** Inverse of {@link formatOwner}; `undefined` for anything else. */
export function parseOwner(name: string): ProcessIdentity | undefined {
  const match = /^(\d+)-(\d*)-([0-9a-f]*)-[0-9a-f]+$/.exec(name);
  if (match?.[1] === undefined) return undefined;
  return { pid: Number(match[1]), startedAt: match[2] === '' ? '' : `${match[2] ?? ''}@${match[3] ?? ''}` };
}

/** Names in a folder, sorted; none when it is not there. */
export async function listFolder(path: string): Promise<string[]> {
  try {
    return (await readdir(path)).sort();
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT' || systemErrorCode(error) === 'ENOTDIR') return [];
    throw error;
  }
}

/** Brings a file or the entries of a folder to the disk. */
export async function syncToDisk(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

function ignoreMissing(error: unknown): void {
  if (systemErrorCode(error) !== 'ENOENT') throw error;
}
