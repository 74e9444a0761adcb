import { randomBytes } from 'node:crypto';
import { readFile, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';

import { z } from 'zod';

import { MkCiError, hostErrorOf, messageOf, systemErrorCode } from '../../errors.js';
import { writeFileAtomically, makeFolder } from '../../files.js';
import { copyTree, differencesOf, type FileRecord } from './copy-tree.js';

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

/**
 * Copies a part of a snapshot to where it is wanted and checks every byte on the way.
 *
 * @throws {MkCiError} `K8S_SNAPSHOT_BROKEN` with what is wrong; then `to` was removed again
 */
export async function readSnapshot(folder: string, parts: SnapshotParts, signal: AbortSignal): Promise<Manifest> {
  const manifest = await readManifest(folder);
  const made: string[] = [];
  try {
    for (const [name, target] of Object.entries(parts)) {
      made.push(target);
      const copied = await copyTree(join(folder, 'data', name), target, { signal });
      const expected = manifest.files
        .filter((file) => file.path.startsWith(`${name}/`))
        .map((file) => ({ ...file, path: file.path.slice(name.length + 1) }));
      const differences = differencesOf(expected, copied);
      if (expected.length === 0) differences.push(`${name} is empty`);
      if (differences.length > 0) throw broken(folder, differences.join('; '));
    }
    return manifest;
  } catch (error) {
    await Promise.all(made.map((path) => rm(path, { recursive: true, force: true })));
    if (error instanceof MkCiError || signal.aborted) throw error;
    const code = systemErrorCode(error);
    if (code === 'ENOENT' || code === 'EIO') throw broken(folder, messageOf(error), error);
    throw hostErrorOf(error, dirname(made.at(-1) ?? folder)) ?? error;
  }
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
