import { chmod, open, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';

import { hostErrorOf, systemErrorCode } from '../../errors.js';
import { makeFolder } from '../../files.js';
import { bundleFolderName, formatMode, type CachedBundle } from './cached-bundles.js';
import { linkOrCopy, PROGRAM_MODE } from './finished-files.js';
import { digestOf, formatManifest, MANIFEST_FILE, type BundleManifest, type ManifestFile } from './manifest.js';
import { syncToDisk, type BundleFolders } from './workspace.js';

/** A file that goes into a bundle. */
export interface Ingredient {
  readonly file: Omit<ManifestFile, 'mode'>;
  /** Where it is now, on any file system. */
  readonly from: string;
}

export interface AssembleOptions {
  readonly folders: BundleFolders;
  readonly workFolder: string;
  readonly manifest: Omit<BundleManifest, 'files' | 'digest' | 'createdAt'>;
  readonly ingredients: readonly Ingredient[];
}

/**
 * Makes a bundle in the work folder, brings it to the disk, and gives it its name by one rename: whoever looks sees
 * either no bundle or a complete one, whenever the power fails.
 *
 * @throws {MkCiError} `HOST_DISK_FULL`, `HOST_PERMISSION`
 */
export async function assembleBundle(options: AssembleOptions): Promise<CachedBundle> {
  const { folders, workFolder, ingredients } = options;
  const files = ingredients.map(({ file }): ManifestFile => ({ ...file, mode: formatMode(PROGRAM_MODE) }));
  const manifest: BundleManifest = {
    ...options.manifest,
    digest: digestOf(files),
    createdAt: new Date().toISOString(),
    files,
  };
  const temporary = join(workFolder, 'bundle');
  const folder = join(folders.root, bundleFolderName(manifest));
  try {
    await rm(temporary, { recursive: true, force: true });
    const parents = new Set(files.map(({ path }) => dirname(join(temporary, path))));
    for (const parent of parents) await makeFolder(parent);
    for (const { file, from } of ingredients) {
      const to = join(temporary, file.path);
      await linkOrCopy(from, to);
      await chmod(to, PROGRAM_MODE);
    }
    await writeSynced(join(temporary, MANIFEST_FILE), formatManifest(manifest));
    for (const path of [...parents, temporary]) await syncToDisk(path);
    // A bundle of the same content under this name is one that was found broken: out of the way with it.
    await rename(folder, join(workFolder, 'broken')).catch((error: unknown) => {
      if (systemErrorCode(error) !== 'ENOENT') throw error;
    });
    await rename(temporary, folder);
    await syncToDisk(folders.root);
  } catch (error) {
    throw hostErrorOf(error, folders.root) ?? error;
  }
  return { folder, manifest };
}

async function writeSynced(path: string, text: string): Promise<void> {
  const file = await open(path, 'wx', 0o644);
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
}
