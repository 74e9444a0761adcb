import { createHash } from 'node:crypto';
import { readdir, rename, rm, stat, utimes } from 'node:fs/promises';
import { join } from 'node:path';

import { isMkCiError, systemErrorCode } from '../../errors.js';
import type { ClusterSpec } from '../cluster.js';
import { placeSnapshot, readManifest, writeSnapshot, type Manifest, type SnapshotCopy } from '../snapshots/manifest.js';
import type { StateParts } from '../state-access.js';

/**
 * Templates: the state of an initialised, settled cluster of one configuration, in the cache. A cluster that starts from a
 * copy of it is fresh, and nothing that a suite did to another copy is in it.
 *
 * A template appears whole or not at all, and every byte is checked: most while it is copied, the memory and disks of machines
 * while a cluster already begins with them. A damaged one is removed, and the next cold start makes it again. All clones of a template share certificates, service account keys and object UIDs.
 */
export interface Templates {
  /**
   * Copies the template of this key to where a cluster will look for its data.
   *
   * @returns `undefined` when there is none that can be used; then nothing was copied
   */
  copy(key: string, target: StateParts, signal: AbortSignal): Promise<Pick<SnapshotCopy, 'check'> | undefined>;
  /** Makes the template from the state of a cluster that nobody has used yet. Does nothing when there is one. */
  make(
    key: string,
    source: StateParts,
    about: { readonly kubernetesVersion: string },
    signal: AbortSignal,
  ): Promise<void>;
  has(key: string): Promise<boolean>;
  /** Removes one with which clusters do not start. Succeeds when there is none. */
  discard(key: string): Promise<void>;
  /** Removes what was not used for `maxAgeMs`, then the longest unused until the rest takes no more than `maxBytes`. */
  prune(): Promise<readonly string[]>;
}

export interface TemplatesOptions {
  /** Below the cache folder. */
  readonly folder: string;
  readonly now: () => Date;
  /** @default 30 days */
  readonly maxAgeMs?: number;
  /** On the disk: holes do not count. @default 8 GiB */
  readonly maxBytes?: number;
}

/** Changes when clusters are set up differently than before, so that old templates are not used. */
const TEMPLATE_VERSION = 5;

/** Same for clusters that are equal in everything but their name. */
export function templateKey(bundleDigest: string, spec: Omit<ClusterSpec, 'name'>): string {
  const { driver, containerRuntime, kubernetesVersion, nodes, options } = spec;
  const content = sorted({
    TEMPLATE_VERSION,
    bundleDigest,
    driver,
    containerRuntime,
    kubernetesVersion,
    nodes,
    options,
  });
  return createHash('sha256').update(JSON.stringify(content)).digest('hex').slice(0, 24);
}

export function createTemplates(options: TemplatesOptions): Templates {
  const { folder, now, maxAgeMs = 30 * 24 * 3_600_000, maxBytes = 8 * 2 ** 30 } = options;
  return {
    copy: async (key, target, signal) => {
      const path = join(folder, key);
      try {
        const copy = await placeSnapshot(path, target, signal);
        await utimes(path, now(), now()).catch(() => undefined); // a read-only cache is still of use
        return copy;
      } catch (error) {
        if (isMkCiError(error, 'K8S_SNAPSHOT_NOT_FOUND')) return undefined;
        if (!isMkCiError(error, 'K8S_SNAPSHOT_BROKEN')) throw error;
        await remove(path);
        return undefined;
      }
    },
    make: async (key, parts, { kubernetesVersion }, signal) => {
      const about = { createdAt: now().toISOString(), kubernetesVersion, of: key };
      await writeSnapshot({ folder: join(folder, key), parts, about, signal });
    },
    discard: async (key) => {
      await remove(join(folder, key));
    },
    has: async (key) => {
      try {
        await readManifest(join(folder, key));
        return true;
      } catch (error) {
        if (isMkCiError(error)) return false;
        throw error;
      }
    },
    prune: async () => {
      const doomed = choosePrunable(await listTemplates(folder), { now: now(), maxAgeMs, maxBytes });
      for (const name of doomed) await remove(join(folder, name));
      return doomed;
    },
  };
}

export interface TemplateUse {
  readonly name: string;
  readonly usedAt: Date;
  readonly bytes: number;
  /** Left by a process that was killed while it made one. */
  readonly isPartial: boolean;
}

/** Names to remove: partial ones older than an hour, those unused for too long, then the longest unused while too large. */
export function choosePrunable(
  templates: readonly TemplateUse[],
  { now, maxAgeMs, maxBytes }: { readonly now: Date; readonly maxAgeMs: number; readonly maxBytes: number },
): string[] {
  const ageMs = (template: TemplateUse): number => now.getTime() - template.usedAt.getTime();
  const doomed = templates.filter((template) => ageMs(template) > (template.isPartial ? 3_600_000 : maxAgeMs));
  const kept = templates
    .filter((template) => !template.isPartial && !doomed.includes(template))
    .sort((a, b) => b.usedAt.getTime() - a.usedAt.getTime());
  let bytes = 0;
  for (const template of kept) {
    bytes += template.bytes;
    if (bytes > maxBytes) doomed.push(template);
  }
  return doomed.map(({ name }) => name);
}

async function listTemplates(folder: string): Promise<TemplateUse[]> {
  const names = await readdir(folder).catch((error: unknown) => {
    if (systemErrorCode(error) === 'ENOENT') return [];
    throw error;
  });
  const uses = await Promise.all(
    names.map(async (name): Promise<TemplateUse | undefined> => {
      const path = join(folder, name);
      const info = await stat(path).catch(() => undefined); // removed meanwhile
      if (info === undefined) return undefined;
      const manifest = await readManifest(path).catch(() => undefined);
      const bytes = manifest === undefined ? 0 : await sizeOnDisk(path, manifest);
      return { name, usedAt: info.mtime, bytes, isPartial: manifest === undefined || name.endsWith('.tmp') };
    }),
  );
  return uses.filter((use) => use !== undefined);
}

/** Of what the manifest names; what is gone meanwhile takes nothing. */
async function sizeOnDisk(path: string, { files }: Manifest): Promise<number> {
  const sizes = await Promise.all(
    files.map(async (file) => {
      const info = await stat(join(path, 'data', file.path)).catch(() => undefined);
      return info === undefined ? 0 : Math.min(info.size, info.blocks * BLOCK_BYTES);
    }),
  );
  return sizes.reduce((sum, bytes) => sum + bytes, 0);
}

/** Of `stat`, whatever the file system has. */
const BLOCK_BYTES = 512;

/** Out of the way first, so that nobody begins to copy what is half removed; who is copying notices and starts cold. */
async function remove(path: string): Promise<void> {
  const away = `${path}.removed.tmp`;
  await rm(away, { recursive: true, force: true });
  await rename(path, away).catch((error: unknown) => {
    if (systemErrorCode(error) !== 'ENOENT') throw error;
  });
  await rm(away, { recursive: true, force: true });
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([, item]) => item !== undefined)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, item]) => [key, sorted(item)]),
  );
}
