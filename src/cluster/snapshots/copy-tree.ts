import { createHash } from 'node:crypto';
import { link, open, readdir } from 'node:fs/promises';
import { dirname, join, sep } from 'node:path';

import { systemErrorCode } from '../../errors.js';
import { NEVER_WRITTEN, forEachFilledBlock, makeFolder } from '../../files.js';

/** One file of a copied tree. */
export interface FileRecord {
  /** Relative to the tree, with `/` between folders. */
  readonly path: string;
  readonly bytes: number;
  /** Permission bits. */
  readonly mode: number;
  /** SHA-256 over offset and content of every block that is not all zeros. */
  readonly digest: string;
}

export interface CopyOptions {
  readonly signal: AbortSignal;
  /** Leaves a file out, by its relative path. */
  readonly skip?: (path: string) => boolean;
}

/**
 * Copies a folder file by file and tells what it copied, in one pass. Blocks of zeros become holes: etcd's write-ahead log
 * is a 64 MB file of which a fresh cluster has written about one.
 *
 * A file that nobody may write to, or that {@link NEVER_WRITTEN} names, becomes a second name of the same one where the file
 * system can do that: nobody will change one of them. Only files and folders are copied; sockets, links and devices are left out. `to` and its parents are made.
 */
export async function copyTree(from: string, to: string, options: CopyOptions): Promise<FileRecord[]> {
  const records: FileRecord[] = [];
  for (const path of await listFiles(from)) {
    options.signal.throwIfAborted();
    if (options.skip?.(path) === true) continue;
    records.push(await copyFile(join(from, path), join(to, path), path));
  }
  return records;
}

/** Digests of all files of a folder, in the order in which {@link copyTree} gives them. */
export async function digestTree(folder: string, signal: AbortSignal): Promise<FileRecord[]> {
  const records: FileRecord[] = [];
  for (const path of await listFiles(folder)) {
    signal.throwIfAborted();
    records.push(await copyFile(join(folder, path), undefined, path));
  }
  return records;
}

/** Where two lists of files differ, in words; empty when they are the same. */
export function differencesOf(expected: readonly FileRecord[], found: readonly FileRecord[]): string[] {
  const byPath = new Map(found.map((record) => [record.path, record]));
  const differences = expected.flatMap((want) => {
    const have = byPath.get(want.path);
    byPath.delete(want.path);
    if (have === undefined) return [`${want.path} is missing`];
    if (have.bytes !== want.bytes) return [`${want.path} has ${have.bytes} bytes in place of ${want.bytes}`];
    return have.digest === want.digest ? [] : [`${want.path} does not match its checksum`];
  });
  return [...differences, ...[...byPath.keys()].map((path) => `${path} is not in the manifest`)];
}

async function listFiles(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) =>
      join(entry.parentPath, entry.name)
        .slice(folder.length + 1)
        .split(sep)
        .join('/'),
    )
    .sort();
}

/** Without `to` it only reads. */
async function copyFile(from: string, to: string | undefined, path: string): Promise<FileRecord> {
  const hash = createHash('sha256');
  const source = await open(from, 'r');
  try {
    const { mode } = await source.stat();
    if (to !== undefined) await makeFolder(dirname(to), { mode: 0o700 });
    const isFixed = (mode & 0o222) === 0 || path.endsWith(NEVER_WRITTEN);
    const isLinked = to !== undefined && isFixed && (await canLink(from, to));
    const target = to === undefined || isLinked ? undefined : await open(to, 'wx', mode & 0o777);
    try {
      const bytes = await forEachFilledBlock(source, async (block, offset) => {
        hash.update(`${offset} `).update(block);
        await target?.write(block, 0, block.length, offset);
      });
      await target?.truncate(bytes);
      return { path, bytes, mode: mode & 0o777, digest: hash.digest('hex') };
    } finally {
      await target?.close();
    }
  } finally {
    await source.close();
  }
}

/** @returns false where the file system knows no second name of this file there */
async function canLink(from: string, to: string): Promise<boolean> {
  try {
    await link(from, to);
    return true;
  } catch (error) {
    if (['EXDEV', 'EPERM', 'ENOTSUP', 'EMLINK'].includes(systemErrorCode(error) ?? '')) return false;
    throw error;
  }
}
