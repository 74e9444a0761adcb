import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';

import { pack, type Header, type Pack } from 'tar-stream';

import { hostErrorOf } from '../../errors.js';

/**
 * Tar archives that depend on nothing but their content: entries in the order of their paths, owned by root unless said,
 * every time the same.
 */

/** 2023-11-14T22:13:20Z: any fixed time would do. Also what mmdebstrap gets as SOURCE_DATE_EPOCH. */
export const FIXED_TIME_SECONDS = 1_700_000_000;
export const FIXED_TIME_ISO = new Date(FIXED_TIME_SECONDS * 1000).toISOString();

export type TarContent = Buffer | { readonly file: string; readonly sizeBytes: number };

/** A thing in an archive. Paths have no `/` at either end. */
export type TarEntry =
  | { readonly kind: 'folder'; readonly path: string; readonly mode?: number }
  | { readonly kind: 'file'; readonly path: string; readonly content: TarContent; readonly mode?: number }
  | { readonly kind: 'link'; readonly path: string; readonly target: string };

export function textEntry(path: string, content: string, mode = 0o644): TarEntry {
  return { kind: 'file', path, content: Buffer.from(content), mode };
}

export interface WrittenTar {
  /** In hexadecimal. */
  readonly sha256: string;
  readonly sizeBytes: number;
}

export function sizeOfContent(content: TarContent): number {
  return Buffer.isBuffer(content) ? content.length : content.sizeBytes;
}

/** Sorted by path, with the folders that are above them; of two with one path the last counts. */
export function withParents(entries: readonly TarEntry[]): TarEntry[] {
  const all = new Map<string, TarEntry>();
  for (const { path } of entries) {
    for (let cut = path.indexOf('/'); cut > 0; cut = path.indexOf('/', cut + 1)) {
      const parent = path.slice(0, cut);
      if (!all.has(parent)) all.set(parent, { kind: 'folder', path: parent });
    }
  }
  for (const entry of entries) all.set(entry.path, entry);
  return [...all.values()].sort((left, right) => (left.path < right.path ? -1 : left.path > right.path ? 1 : 0));
}

/** Header of an entry, as tar-stream takes it; what is left out has its default. */
export type EntryHeader = Partial<Header> & Pick<Header, 'name'>;

export function headerOf(entry: TarEntry): EntryHeader {
  const common = { mtime: new Date(FIXED_TIME_SECONDS * 1000), uid: 0, gid: 0, uname: '', gname: '' };
  switch (entry.kind) {
    case 'folder':
      return { ...common, name: `${entry.path}/`, type: 'directory', mode: entry.mode ?? 0o755, size: 0 };
    case 'file':
      return {
        ...common,
        name: entry.path,
        type: 'file',
        mode: entry.mode ?? 0o644,
        size: sizeOfContent(entry.content),
      };
    case 'link':
      return { ...common, name: entry.path, type: 'symlink', mode: 0o777, linkname: entry.target, size: 0 };
  }
}

/**
 * Writes entries as they come, without sorting.
 *
 * @throws {MkCiError} `HOST_DISK_FULL`, `HOST_PERMISSION`
 */
export async function writeTar(path: string, entries: Iterable<TarEntry>, signal: AbortSignal): Promise<WrittenTar> {
  return await writeTarWith(path, signal, async (archive) => {
    for (const entry of entries) {
      signal.throwIfAborted();
      await addEntry(archive, entry);
    }
  });
}

/** Lets `fill` put entries into an archive that streams into a file; see {@link writeTar}. */
export async function writeTarWith(
  path: string,
  signal: AbortSignal,
  fill: (archive: Pack) => Promise<void>,
): Promise<WrittenTar> {
  const archive = pack();
  const hash = createHash('sha256');
  let sizeBytes = 0;
  const meter = new Transform({
    transform: (piece: Buffer, _encoding, done) => {
      hash.update(piece);
      sizeBytes += piece.length;
      done(null, piece);
    },
  });
  const written = pipeline(archive, meter, createWriteStream(path), { signal });
  // Whichever fails first is the reason; the other one ends with it.
  const filled = fill(archive).then(
    () => {
      archive.finalize();
    },
    (error: unknown) => {
      archive.destroy(error instanceof Error ? error : new Error(String(error)));
      throw error;
    },
  );
  try {
    await Promise.all([written, filled]);
  } catch (error) {
    signal.throwIfAborted();
    throw hostErrorOf(error, path) ?? error;
  }
  return { sha256: hash.digest('hex'), sizeBytes };
}

export async function addEntry(archive: Pack, entry: TarEntry): Promise<void> {
  const header = headerOf(entry);
  if (entry.kind === 'file' && !Buffer.isBuffer(entry.content)) {
    await pipeline(createReadStream(entry.content.file), archive.entry(header));
    return;
  }
  const content = entry.kind === 'file' && Buffer.isBuffer(entry.content) ? entry.content : undefined;
  await new Promise<void>((resolve, reject) => {
    archive.entry(header, content ?? '', (error) => {
      if (error) reject(error);
      else resolve();
    });
  });
}
