import { rename, stat } from 'node:fs/promises';
import { join } from 'node:path';

import { hostErrorOf, MkCiError, systemErrorCode } from '../../errors.js';
import type { Exec } from '../../exec.js';
import {
  acquireLock,
  buildGoPrograms,
  createWorkFolder,
  endOrphanedBuilds,
  GoUnavailable,
  platformOf,
  storeFolders,
  syncToDisk,
  type BundleStep,
  type GoBuildOptions,
  type Platform,
} from '../bundle/index.js';
import { buildImage, writeImageArchive } from '../node-image/index.js';
import { addonImage, addonImageFile, ADDONS, type AddonName } from './catalogue.js';

export interface AddonImageStoreOptions {
  /** `foldersOf(env).cache`; images of addons lie in `addon-images` below it, for all versions of Kubernetes. */
  readonly cacheFolder: string;
  readonly exec: Exec;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** @default that of this process */
  readonly arch?: Platform['arch'];
}

/** Archives of the images of addons, apart from bundles and node images: those do not change with them. */
export interface AddonImageStore {
  /**
   * Gets the archive from the cache, else makes it. Two processes that ask for one wait for one.
   *
   * @returns its path; an OCI layout and a docker archive at once
   * @throws {MkCiError} `BND_NO_SOURCE`, `BND_BUILD_FAILED`, `HOST_DISK_FULL`, `HOST_PERMISSION`
   */
  ensure(
    name: AddonName,
    options: { readonly signal: AbortSignal; readonly onStep?: (step: BundleStep) => void },
  ): Promise<string>;
}

/** Layout: `addon-images/metrics-server-v0.9.0-amd64-01234567.tar`, complete from the moment it is there. */
export function createAddonImageStore({ cacheFolder, exec, env, arch }: AddonImageStoreOptions): AddonImageStore {
  const root = join(cacheFolder, 'addon-images');
  const folders = storeFolders(root, '.finished');
  return {
    ensure: async (name, { signal, onStep }) => {
      const platform: Platform = { os: 'linux', arch: arch ?? platformOf(process.platform, process.arch).arch };
      const file = addonImageFile(name, platform.arch);
      const path = join(root, file);
      if (await isThere(path)) return path;
      await using _lock = await acquireLock(join(folders.locks, `${file}.lock`), {
        purpose: `making the image of ${name}`,
        signal,
        onWait: ({ pid, since }) => {
          onStep?.({ name: 'waiting', state: 'started', message: `for process ${pid}, at it since ${since}` });
        },
      });
      if (await isThere(path)) return path;

      endOrphanedBuilds();
      await using work = await createWorkFolder(folders);
      const { title, version } = ADDONS[name];
      const step = `${title} ${version}`;
      const startedAt = performance.now();
      const report = (state: BundleStep['state'], message?: string): void => {
        const durationMs = performance.now() - startedAt;
        onStep?.({ name: step, state, durationMs, ...(message === undefined ? {} : { message }) });
      };
      onStep?.({ name: step, state: 'started' });
      try {
        const program = await compile(name, {
          exec,
          env,
          platform,
          workFolder: join(work.path, 'go'),
          logFile: join(folders.logs, `${name}-${version}.log`),
          signal,
          onProgress: (progress) => onStep?.({ name: step, state: 'progress', ...progress }),
        });
        const image = await buildImage({
          name: addonImage(name),
          architecture: platform.arch,
          entrypoint: [`/${name}`],
          files: [
            {
              kind: 'file',
              path: name,
              mode: 0o755,
              content: { file: program, sizeBytes: (await stat(program)).size },
            },
          ],
          workFolder: work.path,
          signal,
        });
        const made = join(work.path, file);
        const { sizeBytes } = await writeImageArchive(made, [image], signal);
        await syncToDisk(made);
        await rename(made, path);
        report('ok', `image built from its Go module, ${(sizeBytes / 1e6).toFixed(1)} MB`);
        return path;
      } catch (error) {
        report('failed');
        if (error instanceof GoUnavailable) throw noSource(name, error);
        throw hostErrorOf(error, root) ?? error;
      }
    },
  };
}

async function compile(
  name: AddonName,
  options: Omit<GoBuildOptions, 'component' | 'version' | 'programs'>,
): Promise<string> {
  const { title, version, go, goPackage } = ADDONS[name];
  const built = await buildGoPrograms({
    ...options,
    component: { title, go },
    version,
    programs: [{ name, goPackage }],
  });
  const program = built.get(name);
  if (program === undefined) throw new Error(`go build left no ${name}`);
  return program;
}

function noSource(name: AddonName, cause: GoUnavailable): MkCiError {
  return new MkCiError('BND_NO_SOURCE', {
    message: `${name} ${ADDONS[name].version}, which is compiled: ${cause.message}`,
    advice:
      'Install Go from https://go.dev/dl/ and allow a module proxy (GOPROXY), or give a manifest of your own with --addon FILE.',
    cause,
  });
}

async function isThere(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isFile();
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes(systemErrorCode(error) ?? '')) return false;
    throw hostErrorOf(error, path) ?? error;
  }
}
