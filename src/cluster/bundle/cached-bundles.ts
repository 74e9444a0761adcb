import { chmod, lstat, readFile, stat, utimes } from 'node:fs/promises';
import { join } from 'node:path';

import { hostErrorOf, isMkCiError, MkCiError, systemErrorCode } from '../../errors.js';
import type { Logger } from '../../log.js';
import { formatPlatform, type Platform } from './catalogue.js';
import { sameTime } from './finished-files.js';
import { hashFile } from './hash-file.js';
import { MANIFEST_FILE, parseManifest, type BundleManifest, type ManifestFile } from './manifest.js';
import { listFolder, type BundleFolders } from './workspace.js';

/** Bundles as they lie in the cache: finding them and looking whether they are as they were made. */

export interface CachedBundle {
  readonly folder: string;
  readonly manifest: BundleManifest;
}

/** A folder of the cache that should be a bundle. */
export type CacheEntry = CachedBundle | { readonly folder: string; readonly problem: string };

/** `v1.36.3-linux-amd64-1a2b3c4d`: the digest keeps a bundle that grew apart from the one that clusters still use. */
export function bundleFolderName(manifest: Pick<BundleManifest, 'kubernetesVersion' | 'platform' | 'digest'>): string {
  return `${manifest.kubernetesVersion}-${formatPlatform(manifest.platform)}-${manifest.digest.slice(0, 8)}`;
}

/** Whether a name begins with exactly this version (`v1.37.0` is not `v1.37.0-rc.1`) and platform. */
export function isNamedFor(name: string, kubernetesVersion: string, platform?: Platform): boolean {
  if (!name.startsWith(`${kubernetesVersion}-`)) return false;
  const rest = name.slice(kubernetesVersion.length + 1);
  return platform === undefined
    ? /^(?:linux|darwin)-/.test(rest)
    : `${rest}-`.startsWith(`${formatPlatform(platform)}-`);
}

/** Whole cache, most complete first, then newest; `only` narrows it to one version and platform. */
export async function listCached(
  folders: BundleFolders,
  only?: { readonly kubernetesVersion: string; readonly platform?: Platform },
): Promise<CacheEntry[]> {
  const entries: CacheEntry[] = [];
  try {
    for (const name of await listFolder(folders.root)) {
      if (name.startsWith('.') || (only !== undefined && !isNamedFor(name, only.kubernetesVersion, only.platform)))
        continue;
      entries.push(await readCached(join(folders.root, name)));
    }
  } catch (error) {
    throw hostErrorOf(error, folders.root) ?? error;
  }
  return entries.sort((left, right) => rank(right) - rank(left) || created(right).localeCompare(created(left)));
}

function rank(entry: CacheEntry): number {
  return 'manifest' in entry ? entry.manifest.files.length : -1;
}

function created(entry: CacheEntry): string {
  return 'manifest' in entry ? entry.manifest.createdAt : '';
}

async function readCached(folder: string): Promise<CacheEntry> {
  const path = join(folder, MANIFEST_FILE);
  try {
    return { folder, manifest: parseManifest(await readFile(path, 'utf8'), path) };
  } catch (error) {
    if (isMkCiError(error)) return { folder, problem: error.message };
    const code = systemErrorCode(error);
    if (code === 'ENOENT' || code === 'ENOTDIR') return { folder, problem: `no ${MANIFEST_FILE}` };
    throw error;
  }
}

/**
 * The check of each use: size, time and mode of each file, without reading it. A file that only looks touched (copied
 * cache, restored backup) is read once and put right; a lost executable bit is given back.
 *
 * @returns 'usable', or 'incomplete' when a file is missing: then it is to be made again
 * @throws {MkCiError} `BND_CHECKSUM` naming the file when its content changed
 */
export async function checkQuickly(
  { folder, manifest }: CachedBundle,
  log: Logger,
  signal: AbortSignal,
): Promise<'usable' | 'incomplete'> {
  for (const file of manifest.files) {
    const path = join(folder, file.path);
    try {
      const found = await stat(path);
      if (!found.isFile() || found.size !== file.sizeBytes)
        throw damaged(path, `${found.size} bytes`, `${file.sizeBytes} bytes`);
      if (!sameTime(found.mtimeMs, file.modifiedAt)) {
        const { sha256 } = await hashFile(path, signal);
        if (sha256 !== file.sha256) throw damaged(path, `sha256 ${sha256}`, file.sha256);
        const time = new Date(file.modifiedAt);
        await utimes(path, time, time).catch(ignoreReadOnly);
      }
      if (formatMode(found.mode) !== file.mode) {
        log.warn('bundle: mode of a file changed, putting it right', { path, mode: formatMode(found.mode) });
        await chmod(path, Number.parseInt(file.mode, 8));
      }
    } catch (error) {
      if (systemErrorCode(error) === 'ENOENT') {
        log.warn('bundle: a file is missing, making the bundle again', { path });
        return 'incomplete';
      }
      throw hostErrorOf(error, path) ?? error;
    }
  }
  return 'usable';
}

function damaged(path: string, found: string, wanted: string): MkCiError {
  return new MkCiError('BND_CHECKSUM', {
    message: `${path} has ${found}, the manifest says ${wanted}`,
    details: { path },
  });
}

function ignoreReadOnly(error: unknown): void {
  if (!['EROFS', 'EACCES', 'EPERM'].includes(systemErrorCode(error) ?? '')) throw error;
}

/** Something in a bundle that is not as its manifest says. */
export interface BundleProblem {
  readonly kind: 'changed' | 'missing' | 'foreign' | 'mode' | 'manifest';
  /** Below the bundle folder. */
  readonly path: string;
  readonly message: string;
}

/**
 * The full check: every file is read, and nothing else may lie in the folder.
 *
 * @returns empty when all is well
 */
export async function verifyCached(
  entry: CacheEntry,
  signal: AbortSignal,
  onFile?: (file: ManifestFile) => void,
): Promise<BundleProblem[]> {
  if (!('manifest' in entry)) return [{ kind: 'manifest', path: MANIFEST_FILE, message: entry.problem }];
  const { folder, manifest } = entry;
  const problems: BundleProblem[] = [];
  for (const file of manifest.files) {
    onFile?.(file);
    const problem = await verifyFile(folder, file, signal);
    if (problem !== undefined) problems.push(problem);
  }
  const known = new Set([MANIFEST_FILE, ...manifest.files.map(({ path }) => path)]);
  for (const path of await walk(folder, '')) {
    if (!known.has(path)) problems.push({ kind: 'foreign', path, message: 'is not part of the bundle' });
  }
  return problems;
}

async function verifyFile(folder: string, file: ManifestFile, signal: AbortSignal): Promise<BundleProblem | undefined> {
  const { path } = file;
  try {
    const found = await lstat(join(folder, path));
    if (!found.isFile()) return { kind: 'changed', path, message: 'is not a regular file' };
    if (found.size !== file.sizeBytes) {
      return { kind: 'changed', path, message: `has ${found.size} bytes, not ${file.sizeBytes}` };
    }
    const { sha256 } = await hashFile(join(folder, path), signal);
    if (sha256 !== file.sha256) return { kind: 'changed', path, message: `has sha256 ${sha256}, not ${file.sha256}` };
    const mode = formatMode(found.mode);
    return mode === file.mode ? undefined : { kind: 'mode', path, message: `has mode ${mode}, not ${file.mode}` };
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return { kind: 'missing', path, message: 'is missing' };
    throw hostErrorOf(error, join(folder, path)) ?? error;
  }
}

/** Files, links and so on below a folder, as relative paths with `/`; empty folders do not show. */
async function walk(folder: string, below: string): Promise<string[]> {
  const paths: string[] = [];
  for (const name of await listFolder(join(folder, below))) {
    const path = below === '' ? name : `${below}/${name}`;
    const isFolder = (await lstat(join(folder, path))).isDirectory();
    paths.push(...(isFolder ? await walk(folder, path) : [path]));
  }
  return paths;
}

/** Permission bits as in the manifest: `0755`. */
export function formatMode(mode: number): string {
  return `0${(mode & 0o777).toString(8).padStart(3, '0')}`;
}
