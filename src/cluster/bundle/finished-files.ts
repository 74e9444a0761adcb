import { chmod, copyFile, link, readFile, rename, rm, stat, utimes } from 'node:fs/promises';
import { dirname, join } from 'node:path';

import { z } from 'zod';

import { hostErrorOf, systemErrorCode } from '../../errors.js';
import { writeFileAtomically, makeFolder } from '../../files.js';
import { formatPlatform, type Platform, type ProgramDefinition } from './catalogue.js';
import { syncToDisk, type BundleFolders } from './workspace.js';

/**
 * Single files that were got and checked, kept until a bundle needs them: an interrupted build loses only what it was
 * at, and etcd is built once for all Kubernetes versions. Bundles hold hard links to them, so keeping them costs nothing
 * while a bundle has them too.
 */

const entrySchema = z.strictObject({
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
  sizeBytes: z.number().int().nonnegative(),
  /** ISO 8601, also the file's modification time. */
  modifiedAt: z.iso.datetime(),
  source: z.strictObject({ kind: z.enum(['go', 'release', 'mirror', 'folder']), location: z.string().min(1) }),
});

/** What is known of a finished file. */
export type FinishedEntry = z.infer<typeof entrySchema>;

export interface FinishedFile extends FinishedEntry {
  readonly path: string;
}

export const PROGRAM_MODE = 0o755;

/** Which file is meant: a program of one version of its component for one platform. */
export interface FileKey {
  readonly program: ProgramDefinition;
  /** Of the component, not of Kubernetes. */
  readonly version: string;
  readonly platform: Platform;
}

function placeOf(folders: BundleFolders, { program, version, platform }: FileKey): string {
  return join(folders.finished, `${program.component}-${version}-${formatPlatform(platform)}`, program.name);
}

/**
 * Moves a file that is complete and whose sum is known to the finished ones.
 *
 * @param from on the same file system; gone afterwards
 * @throws {MkCiError} `HOST_DISK_FULL`, `HOST_PERMISSION`
 */
export async function keepFinished(
  folders: BundleFolders,
  key: FileKey,
  from: string,
  entry: Omit<FinishedEntry, 'modifiedAt'>,
): Promise<FinishedFile> {
  const path = placeOf(folders, key);
  const modifiedAt = new Date(Math.floor(Date.now() / 1000) * 1000);
  try {
    await makeFolder(dirname(path));
    await chmod(from, PROGRAM_MODE);
    await utimes(from, modifiedAt, modifiedAt);
    await syncToDisk(from);
    // The file first: an entry without its file is worse than a file without its entry, which is only made again.
    await rm(`${path}.json`, { force: true });
    await rename(from, path);
    const full: FinishedEntry = { ...entry, modifiedAt: modifiedAt.toISOString() };
    await writeFileAtomically(`${path}.json`, `${JSON.stringify(full, undefined, 2)}\n`);
    return { ...full, path };
  } catch (error) {
    throw hostErrorOf(error, path) ?? error;
  }
}

/** Looks for a finished file; `undefined` when there is none, or when its size or time changed. */
export async function findFinished(folders: BundleFolders, key: FileKey): Promise<FinishedFile | undefined> {
  const path = placeOf(folders, key);
  try {
    const entry = entrySchema.parse(JSON.parse(await readFile(`${path}.json`, 'utf8')));
    const found = await stat(path);
    if (found.size !== entry.sizeBytes || !sameTime(found.mtimeMs, entry.modifiedAt)) return undefined;
    return { ...entry, path };
  } catch (error) {
    if (error instanceof z.ZodError || error instanceof SyntaxError) return undefined;
    const code = systemErrorCode(error);
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
    throw hostErrorOf(error, path) ?? error;
  }
}

/** Forgets a finished file; bundles that hold it keep their link. */
export async function dropFinished(folders: BundleFolders, key: FileKey): Promise<void> {
  const path = placeOf(folders, key);
  await rm(`${path}.json`, { force: true });
  await rm(path, { force: true });
}

/** A second name for a file where the file system can, else a copy with the same mode and time. */
export async function linkOrCopy(from: string, to: string): Promise<void> {
  try {
    await link(from, to);
  } catch (error) {
    const code = systemErrorCode(error);
    if (code !== 'EXDEV' && code !== 'EPERM' && code !== 'EMLINK' && code !== 'ENOTSUP') throw error;
    await copyFile(from, to);
    const { mode, mtime, atime } = await stat(from);
    await chmod(to, mode);
    await utimes(to, atime, mtime);
    await syncToDisk(to);
  }
}

/** Equal up to the second: archives and some file systems keep no more. */
export function sameTime(mtimeMs: number, iso: string): boolean {
  return Math.abs(mtimeMs - Date.parse(iso)) < 2000;
}
