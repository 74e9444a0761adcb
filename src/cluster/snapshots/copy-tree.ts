import { createHash } from 'node:crypto';
import { link, open, readdir, type FileHandle } from 'node:fs/promises';
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
  const { copied, linked } = await placeTree(from, to, options);
  return [...copied, ...(await digestFiles(from, linked, options.signal))].sort(byPath);
}

export interface PlacedTree {
  readonly copied: readonly FileRecord[];
  /** Paths of which there is a second name now, and of which nothing was read. */
  readonly linked: readonly string[];
}

/** Like {@link copyTree}, without reading what need not be read for a copy: {@link digestFiles} does that. */
export async function placeTree(from: string, to: string, { signal, skip }: CopyOptions): Promise<PlacedTree> {
  const copied: FileRecord[] = [];
  const linked: string[] = [];
  for (const path of await listFiles(from)) {
    signal.throwIfAborted();
    if (skip?.(path) === true) continue;
    const record = await placeFile(join(from, path), join(to, path), path);
    if (record === undefined) linked.push(path);
    else copied.push(record);
  }
  return { copied, linked };
}

/** Digests of all files of a folder, in the order in which {@link copyTree} gives them. */
export async function digestTree(folder: string, signal: AbortSignal): Promise<FileRecord[]> {
  return await digestFiles(folder, await listFiles(folder), signal);
}

/** Digests of files of a folder, by their relative paths. */
export async function digestFiles(
  folder: string,
  paths: readonly string[],
  signal: AbortSignal,
): Promise<FileRecord[]> {
  const records: FileRecord[] = [];
  for (const path of paths) {
    await using source = await open(join(folder, path), 'r');
    const { mode } = await source.stat();
    records.push(await readRecord(source, { path, mode, signal }));
  }
  return records;
}

const byPath = (left: FileRecord, right: FileRecord): number => (left.path < right.path ? -1 : 1);

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

/** @returns `undefined` where a second name was enough */
async function placeFile(from: string, to: string, path: string): Promise<FileRecord | undefined> {
  await using source = await open(from, 'r');
  const { mode } = await source.stat();
  await makeFolder(dirname(to), { mode: 0o700 });
  const isFixed = (mode & 0o222) === 0 || path.endsWith(NEVER_WRITTEN);
  if (isFixed && (await canLink(from, to))) return undefined;
  await using target = await open(to, 'wx', mode & 0o777);
  const record = await readRecord(source, { path, mode }, async (block, offset) => {
    await target.write(block, 0, block.length, offset);
  });
  await target.truncate(record.bytes);
  return record;
}

async function readRecord(
  source: FileHandle,
  { path, mode, signal }: { readonly path: string; readonly mode: number; readonly signal?: AbortSignal },
  use?: (block: Buffer, offset: number) => Promise<void>,
): Promise<FileRecord> {
  const hash = createHash('sha256');
  const bytes = await forEachFilledBlock(source, async (block, offset) => {
    signal?.throwIfAborted();
    hash.update(`${offset} `).update(block);
    await use?.(block, offset);
  });
  return { path, bytes, mode: mode & 0o777, digest: hash.digest('hex') };
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
