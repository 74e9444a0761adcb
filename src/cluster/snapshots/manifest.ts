import { randomBytes } from 'node:crypto';
import { readFile, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';

import { z } from 'zod';

import { MkCiError, hostErrorOf, messageOf, systemErrorCode } from '../../errors.js';
import { writeFileAtomically, makeFolder } from '../../files.js';
import { copyTree, differencesOf, digestFiles, placeTree, type FileRecord } from './copy-tree.js';

/**
 * A snapshot on disk: `manifest.json` and `data/`. It is made under another name and renamed when it is complete, so one
 * that was interrupted is never seen; and it is used only while every file matches the manifest.
 */
const MANIFEST = z.object({
  version: z.literal(1),
  createdAt: z.string(),
  kubernetesVersion: z.string(),
  /** What the data belongs to: name of the cluster, or key of the template. */
  of: z.string(),
  files: z.array(z.object({ path: z.string(), bytes: z.int(), mode: z.int(), digest: z.string() })),
});

export type Manifest = z.infer<typeof MANIFEST>;

/** Folder in the snapshot ← folder that is copied. */
export type SnapshotParts = Readonly<Record<string, string>>;

export interface WriteSnapshotOptions {
  readonly folder: string;
  readonly parts: SnapshotParts;
  readonly about: Pick<Manifest, 'createdAt' | 'kubernetesVersion' | 'of'>;
  readonly signal: AbortSignal;
}

/**
 * Copies the parts into a new snapshot. The caller makes sure that nobody writes to them meanwhile.
 *
 * @returns false when somebody else had made one of this name meanwhile, which is left as it is
 * @throws {MkCiError} `HOST_DISK_FULL`, `HOST_PERMISSION`; nothing is left behind
 */
export async function writeSnapshot({ folder, parts, about, signal }: WriteSnapshotOptions): Promise<boolean> {
  const temporary = `${folder}.${randomBytes(4).toString('hex')}.tmp`;
  try {
    await makeFolder(temporary, { mode: 0o700 });
    const files: FileRecord[] = [];
    for (const [name, source] of Object.entries(parts)) {
      const copied = await copyTree(source, join(temporary, 'data', name), { signal, skip: isPreallocation });
      files.push(...copied.map((file) => ({ ...file, path: `${name}/${file.path}` })));
    }
    const manifest: Manifest = { version: 1, ...about, files };
    await writeFileAtomically(manifestPath(temporary), JSON.stringify(manifest));
    await rename(temporary, folder);
    return true;
  } catch (error) {
    await rm(temporary, { recursive: true, force: true });
    if (['ENOTEMPTY', 'EEXIST'].includes(systemErrorCode(error) ?? '')) return false;
    throw hostErrorOf(error, folder) ?? error;
  }
}

/** A copy of a snapshot of which everything was compared with the manifest that was read to copy it. */
export interface SnapshotCopy {
  readonly manifest: Manifest;
  /**
   * Reads the large files, which the copy has in common with the snapshot, and compares them too. What was made of the copy is
   * used only when that went well.
   *
   * @throws {MkCiError} `K8S_SNAPSHOT_BROKEN` with what is wrong
   */
  readonly check: (signal: AbortSignal) => Promise<void>;
}

/**
 * Copies a part of a snapshot to where it is wanted and checks every byte.
 *
 * @throws {MkCiError} `K8S_SNAPSHOT_BROKEN` with what is wrong; then `to` was removed again
 */
export async function readSnapshot(folder: string, parts: SnapshotParts, signal: AbortSignal): Promise<Manifest> {
  const { manifest, check } = await placeSnapshot(folder, parts, signal);
  try {
    await check(signal);
    return manifest;
  } catch (error) {
    await removeAll(Object.values(parts));
    throw error;
  }
}

/**
 * Like {@link readSnapshot}, for those who can begin with a copy before all of it is known to be whole.
 *
 * @throws {MkCiError} `K8S_SNAPSHOT_BROKEN` with what is wrong; then `to` was removed again
 */
export async function placeSnapshot(folder: string, parts: SnapshotParts, signal: AbortSignal): Promise<SnapshotCopy> {
  const manifest = await readManifest(folder);
  const made: string[] = [];
  const shared: { readonly source: string; readonly paths: readonly string[]; readonly expected: FileRecord[] }[] = [];
  try {
    for (const [name, target] of Object.entries(parts)) {
      made.push(target);
      const source = join(folder, 'data', name);
      const { copied, linked } = await placeTree(source, target, { signal });
      const expected = manifest.files
        .filter((file) => file.path.startsWith(`${name}/`))
        .map((file) => ({ ...file, path: file.path.slice(name.length + 1) }));
      if (expected.length === 0) throw broken(folder, `${name} is empty`);
      const isLinked = new Set(linked);
      const [later, now] = [true, false].map((is) => expected.filter(({ path }) => isLinked.has(path) === is));
      compare(folder, now ?? [], copied);
      shared.push({ source, paths: linked, expected: later ?? [] });
    }
  } catch (error) {
    await removeAll(made);
    throw readError(error, { folder, signal, target: made.at(-1) });
  }
  return {
    manifest,
    check: async (checkSignal) => {
      try {
        for (const { source, paths, expected } of shared) {
          compare(folder, expected, await digestFiles(source, paths, checkSignal));
        }
      } catch (error) {
        throw readError(error, { folder, signal: checkSignal, target: undefined });
      }
    },
  };
}

function compare(folder: string, expected: readonly FileRecord[], found: readonly FileRecord[]): void {
  const differences = differencesOf(expected, found);
  if (differences.length > 0) throw broken(folder, differences.join('; '));
}

async function removeAll(paths: readonly string[]): Promise<void> {
  await Promise.all(paths.map((path) => rm(path, { recursive: true, force: true })));
}

function readError(
  error: unknown,
  {
    folder,
    signal,
    target,
  }: { readonly folder: string; readonly signal: AbortSignal; readonly target: string | undefined },
): unknown {
  if (error instanceof MkCiError || signal.aborted) return error;
  const code = systemErrorCode(error);
  if (code === 'ENOENT' || code === 'EIO') return broken(folder, messageOf(error), error);
  return hostErrorOf(error, dirname(target ?? folder)) ?? error;
}

/** @throws {MkCiError} `K8S_SNAPSHOT_NOT_FOUND`, `K8S_SNAPSHOT_BROKEN` */
export async function readManifest(folder: string): Promise<Manifest> {
  let text: string;
  try {
    text = await readFile(manifestPath(folder), 'utf8');
  } catch (error) {
    if (systemErrorCode(error) !== 'ENOENT') throw hostErrorOf(error, folder) ?? error;
    const isThere = await stat(folder).then(
      () => true,
      () => false,
    );
    throw isThere
      ? broken(folder, 'it has no manifest', error)
      : new MkCiError('K8S_SNAPSHOT_NOT_FOUND', { message: folder });
  }
  try {
    return MANIFEST.parse(JSON.parse(text));
  } catch (error) {
    throw broken(folder, 'its manifest can not be read', error);
  }
}

function manifestPath(folder: string): string {
  return join(folder, 'manifest.json');
}

function broken(folder: string, why: string, cause?: unknown): MkCiError {
  return new MkCiError('K8S_SNAPSHOT_BROKEN', { message: `${folder}: ${why}`, cause });
}

/** etcd prepares its next log file of 64 MB ahead, all zeros; it makes it again when it is not there. */
function isPreallocation(path: string): boolean {
  return /(^|\/)wal\/\d+\.tmp$/.test(path);
}
