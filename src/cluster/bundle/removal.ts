import { rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';

import { hostErrorOf, systemErrorCode } from '../../errors.js';
import { isNamedFor, listCached, type CachedBundle } from './cached-bundles.js';
import { formatPlatform } from './catalogue.js';
import { createWorkFolder, listFolder, type BundleFolders } from './workspace.js';

/** What may go from the bundle cache, and how it goes. */

const PARTIAL_MAX_AGE_MS = 7 * 24 * 3600_000;

/** Something that `bundle delete` or `bundle prune` removes. */
export interface Removal {
  readonly path: string;
  readonly why: string;
  /** Disk space that becomes free; files that another bundle has too count nothing. */
  readonly freedBytes: number;
}

/** Bundles of a version, and what was finished for it alone; etcd and kwok stay for other versions. */
export async function listDeletable(folders: BundleFolders, kubernetesVersion: string): Promise<Removal[]> {
  const found: Omit<Removal, 'freedBytes'>[] = [];
  for (const { folder } of await listCached(folders, { kubernetesVersion })) {
    found.push({ path: folder, why: `bundle ${kubernetesVersion}` });
  }
  for (const name of await listFolder(folders.finished)) {
    if (!name.startsWith('kubernetes-') || !isNamedFor(name.slice('kubernetes-'.length), kubernetesVersion)) continue;
    found.push({ path: join(folders.finished, name), why: `finished files of ${kubernetesVersion}` });
  }
  return await measure(found);
}

/** Bundles that a larger one replaced, broken ones, finished files in no bundle, old partial downloads. */
export async function listPrunable(folders: BundleFolders): Promise<Removal[]> {
  const found: Omit<Removal, 'freedBytes'>[] = [];
  const add = (path: string, why: string): void => {
    found.push({ path, why });
  };
  const kept: CachedBundle[] = [];
  for (const entry of await listCached(folders)) {
    if (!('manifest' in entry)) {
      add(entry.folder, `broken: ${entry.problem}`);
      continue;
    }
    const larger = kept.find(({ manifest }) => supersedes(manifest, entry.manifest));
    if (larger === undefined) kept.push(entry);
    else add(entry.folder, `replaced by ${larger.folder}`);
  }
  for (const group of await listFolder(folders.finished)) {
    for (const name of await listFolder(join(folders.finished, group))) {
      if (name.endsWith('.json')) continue;
      const path = join(folders.finished, group, name);
      if ((await stat(path)).nlink === 1) add(path, 'in no bundle');
    }
  }
  for (const name of await listFolder(folders.partial)) {
    const path = join(folders.partial, name);
    if (Date.now() - (await stat(path)).mtimeMs > PARTIAL_MAX_AGE_MS) add(path, 'download broken off over a week ago');
  }
  return await measure(found);
}

function supersedes(larger: CachedBundle['manifest'], smaller: CachedBundle['manifest']): boolean {
  return (
    larger.kubernetesVersion === smaller.kubernetesVersion &&
    formatPlatform(larger.platform) === formatPlatform(smaller.platform) &&
    smaller.parts.every((part) => larger.parts.includes(part))
  );
}

/** Moves each thing into a work folder first, so that a deletion that is cut short leaves no half bundle either. */
export async function removeAll(folders: BundleFolders, removals: readonly Removal[]): Promise<void> {
  if (removals.length === 0) return;
  await using work = await createWorkFolder(folders);
  for (const [index, { path }] of removals.entries()) {
    try {
      await rename(path, join(work.path, `removed-${index}`));
      await rm(`${path}.json`, { force: true });
    } catch (error) {
      if (systemErrorCode(error) !== 'ENOENT') throw hostErrorOf(error, path) ?? error;
    }
  }
}

/**
 * Fills in how much each removal frees: a file counts, at its last name, only when all its names go.
 *
 * Bundles and finished files share content by hard links, so sizes must not simply be added.
 */
async function measure(removals: readonly Omit<Removal, 'freedBytes'>[]): Promise<Removal[]> {
  const seen = new Map<string, number>();
  const measured: Removal[] = [];
  for (const removal of removals) {
    let freedBytes = 0;
    for (const path of await filesBelow(removal.path)) {
      const { dev, ino, nlink, size } = await stat(path);
      const names = (seen.get(`${dev}:${ino}`) ?? 0) + 1;
      seen.set(`${dev}:${ino}`, names);
      if (names === nlink) freedBytes += size;
    }
    measured.push({ ...removal, freedBytes });
  }
  return measured;
}

async function filesBelow(path: string): Promise<string[]> {
  if (!(await stat(path)).isDirectory()) return [path];
  const paths: string[] = [];
  for (const name of await listFolder(path)) paths.push(...(await filesBelow(join(path, name))));
  return paths;
}
