import { createHash } from 'node:crypto';
import { statSync } from 'node:fs';
import { mkdir, readFile, rename, stat } from 'node:fs/promises';
import { isAbsolute, join, resolve } from 'node:path';

import { z } from 'zod';

import { hostErrorOf, MkCiError, systemErrorCode } from '../../errors.js';
import type { Exec } from '../../exec.js';
import { writeFileAtomically } from '../../files.js';
import { VERSION } from '../../version.js';
import {
  acquireLock,
  createWorkFolder,
  hashFile,
  listFolder,
  NODE_PARTS,
  platformOf,
  storeFolders,
  type Bundle,
  type BundleStep,
  type BundleStore,
  type LockHolder,
} from '../bundle/index.js';
import { buildKubernetesImages, listImageNames, pauseImageOf } from './kubernetes-images.js';
import { composeImage, type ImageLayer } from './component-image.js';
import { exportImage, findImage, loadImage } from './engines.js';
import { writeImageArchive } from './image-archive.js';
import {
  RECIPE,
  recordSchema,
  type EnsureNodeImageOptions,
  type NodeImage,
  type NodeImageFacts,
  type NodeImageStore,
} from './model.js';
import { nodeLayerEntries } from './node-layer.js';
import { writeRootLayer } from './root-layer.js';
import { makeRootfs, readAptSources, rootfsKey } from './rootfs.js';
import { proxyFiles } from './root-tree.js';
import { withParents, writeTar } from './tar.js';

export interface NodeImageStoreOptions {
  /** `foldersOf(env).cache`; node images lie in `node-images` below it. */
  readonly cacheFolder: string;
  readonly bundles: BundleStore;
  readonly exec: Exec;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Relative paths of root file systems are taken from here. @default process.cwd() */
  readonly cwd?: string;
  /** @default that of this process */
  readonly arch?: 'amd64' | 'arm64';
}

const RECORD_FILE = 'image.json';
const ROOTFS_RECORD = 'root.json';
const rootfsRecord = z.object({ sha256: z.string().regex(/^[0-9a-f]{64}$/), sizeBytes: z.number() });

/** Tar of a root file system and its sum. */
interface Rootfs {
  readonly path: string;
  readonly sha256: string;
}

/**
 * Node images in the cache folder. Layout, all of it complete from the moment it is there:
 *
 *     node-images/
 *       v1.36.3-amd64-0123456789abcdef/   node.tar, images.tar, image.json
 *       .rootfs/0123456789abcdef/         root.tar, root.json: as mmdebstrap made it, for all versions
 *       .locks/  .work/                   as in the cache of bundles
 */
export function createNodeImageStore(options: NodeImageStoreOptions): NodeImageStore {
  const { cacheFolder, bundles, exec, env, cwd = process.cwd() } = options;
  const root = join(cacheFolder, 'node-images');
  const folders = storeFolders(root, '.rootfs');
  const arch = options.arch ?? platformOf(process.platform, process.arch).arch;

  const obtainRootfs = async (ensure: EnsureNodeImageOptions, workFolder: string): Promise<Rootfs> => {
    const { signal, rootfs, base } = ensure;
    if (rootfs !== undefined) {
      const path = isAbsolute(rootfs) ? rootfs : resolve(cwd, rootfs);
      try {
        return { path, sha256: (await hashFile(path, signal)).sha256 };
      } catch (error) {
        signal.throwIfAborted();
        throw new MkCiError('IMG_BAD_ROOTFS', { message: `${path} can not be read`, cause: error });
      }
    }
    if (base !== undefined) {
      const path = join(workFolder, 'base.tar');
      await timed(ensure, `files of ${base.image}`, async () => {
        await exportImage(base.engine, base.image, path, { exec, signal });
        return megabytes((await stat(path)).size);
      });
      // An export carries the times of today, the image behind it does not: its id is what names the content.
      const id = await findImage(base.engine, base.image, { exec, signal });
      return {
        path,
        sha256: createHash('sha256')
          .update(id ?? base.image)
          .digest('hex'),
      };
    }
    return await ensureDebian(ensure, workFolder);
  };

  const ensureDebian = async (ensure: EnsureNodeImageOptions, workFolder: string): Promise<Rootfs> => {
    const { signal } = ensure;
    const sources = await readAptSources();
    const folder = join(folders.finished, rootfsKey(sources, arch));
    const found = await readRootfs(folder);
    if (found !== undefined) return found;
    await using _lock = await lock(`rootfs-${rootfsKey(sources, arch)}`, 'making the root file system', ensure);
    const meanwhile = await readRootfs(folder);
    if (meanwhile !== undefined) return meanwhile;
    const temporary = join(workFolder, 'rootfs');
    await mkdir(temporary, { recursive: true });
    const path = join(temporary, 'root.tar');
    await timed(ensure, 'root file system', async () => {
      await makeRootfs({ exec, sources, arch, to: path, env, signal });
      const facts = await hashFile(path, signal);
      await writeFileAtomically(join(temporary, ROOTFS_RECORD), `${JSON.stringify(facts)}\n`);
      return `Debian made by mmdebstrap, ${megabytes(facts.sizeBytes)}`;
    });
    await mkdir(folders.finished, { recursive: true });
    await rename(temporary, folder);
    const made = await readRootfs(folder);
    if (made === undefined) throw new MkCiError('IMG_ROOTFS_FAILED', { message: `${folder} vanished` });
    return made;
  };

  const lock = async (
    name: string,
    purpose: string,
    { signal, onStep }: EnsureNodeImageOptions,
  ): Promise<AsyncDisposable> =>
    await acquireLock(join(folders.locks, `${name}.lock`), {
      purpose,
      signal,
      onWait: ({ pid, since }: LockHolder) => {
        onStep?.({ name: 'waiting', state: 'started', message: `for process ${pid}, at it since ${since}` });
      },
    });

  const make = async (
    facts: NodeImageFacts,
    bundle: Bundle,
    rootfs: Rootfs,
    workFolder: string,
    ensure: EnsureNodeImageOptions,
  ): Promise<void> => {
    const { signal } = ensure;
    const startedAt = performance.now();
    const out = join(workFolder, 'image');
    await mkdir(out, { recursive: true });

    const rootFile = join(workFolder, 'root-layer.tar');
    const base = await timedValue(ensure, 'root layer', async () => {
      const layer = await readRoot(rootfs.path, rootFile, signal);
      return [layer, megabytes(layer.sizeBytes)];
    });
    const files = proxyFiles(base.tree);
    if (files.length === 0) {
      throw new MkCiError('IMG_BAD_ROOTFS', { message: `${rootfs.path} has no iptables, which kube-proxy needs` });
    }
    const images = await timedValue(ensure, 'Kubernetes images', async () => {
      const built = await buildKubernetesImages({
        bundle,
        names: facts.images,
        arch,
        proxyFiles: files,
        workFolder,
        signal,
      });
      const written = await writeImageArchive(join(out, 'images.tar'), built, signal);
      return [{ built, written }, `${built.length} images, ${megabytes(written.sizeBytes)}`];
    });

    const nodeFile = join(workFolder, 'node-layer.tar');
    const entries = withParents(
      nodeLayerEntries({ bundle, images: images.built, facts, sizeOf: (file) => statSync(file).size }),
    );
    const node = await timedValue(ensure, 'node layer', async () => {
      const written = await writeTar(nodeFile, entries, signal);
      return [written, megabytes(written.sizeBytes)];
    });
    const layers: ImageLayer[] = [
      { digest: `sha256:${base.sha256}`, sizeBytes: base.sizeBytes, inodes: base.inodes, file: rootFile },
      { digest: `sha256:${node.sha256}`, sizeBytes: node.sizeBytes, inodes: entries.length, file: nodeFile },
    ];
    const reference = `mk-ci-node:${facts.kubernetesVersion}-${facts.key.slice(0, 8)}`;
    const image = composeImage(
      reference,
      {
        architecture: arch,
        entrypoint: ['/sbin/init'],
        env: ['container=docker'],
        stopSignal: 'SIGRTMIN+3',
        labels: {
          'dev.mk-ci.kubernetes-version': facts.kubernetesVersion,
          'dev.mk-ci.node-image-key': facts.key,
          'dev.mk-ci.pause-image': facts.pauseImage,
          'dev.mk-ci.runtimes': facts.runtimes.join(','),
        },
      },
      layers,
    );
    const archive = await timedValue(ensure, 'archive', async () => {
      const written = await writeImageArchive(join(out, 'node.tar'), [image], signal);
      return [written, `${reference}, ${megabytes(written.sizeBytes)}`];
    });
    const record: z.infer<typeof recordSchema> = {
      ...facts,
      reference,
      digest: image.config.digest,
      sizeBytes: archive.sizeBytes,
      imagesSizeBytes: images.written.sizeBytes,
      buildSeconds: Math.round((performance.now() - startedAt) / 100) / 10,
      createdAt: new Date().toISOString(),
      madeBy: `mk-ci ${VERSION}`,
    };
    await writeFileAtomically(join(out, RECORD_FILE), `${JSON.stringify(record, undefined, 2)}\n`);
    const folder = join(root, folderName(facts));
    try {
      await rename(folder, join(workFolder, 'broken')).catch(ignoreMissing);
      await rename(out, folder);
    } catch (error) {
      throw hostErrorOf(error, folder) ?? error;
    }
  };

  return {
    ensure: async (kubernetesVersion, ensure) => {
      const { signal, onStep } = ensure;
      const bundle = await bundles.ensure(kubernetesVersion, {
        parts: NODE_PARTS,
        signal,
        ...(onStep === undefined ? {} : { onStep }),
      });
      await using work = await createWorkFolder(folders);
      const rootfs = await obtainRootfs(ensure, work.path);
      const names = await listImageNames(bundle, exec, signal);
      const facts: NodeImageFacts = {
        format: 'mk-ci-node-image/1',
        kubernetesVersion,
        arch,
        key: nodeImageKey({ bundleDigest: bundle.digest, rootfsSha256: rootfs.sha256, arch }),
        bundleDigest: bundle.digest,
        rootfsSha256: rootfs.sha256,
        images: names,
        pauseImage: pauseImageOf(names),
        runtimes: ['containerd', 'docker'],
      };
      const folder = join(root, folderName(facts));
      const found = await readImage(folder);
      if (found !== undefined) return found;
      await using _lock = await lock(folderName(facts), `making the node image of ${kubernetesVersion}`, ensure);
      if ((await readImage(folder)) === undefined) await make(facts, bundle, rootfs, work.path, ensure);
      const made = await readImage(folder);
      if (made === undefined) throw new Error(`${folder} is not complete after it was made`);
      return made;
    },
    debian: async (ensure) => {
      await using work = await createWorkFolder(folders);
      return (await ensureDebian(ensure, work.path)).path;
    },
    list: async () => {
      const found: NodeImage[] = [];
      for (const name of await listFolder(root)) {
        const image = name.startsWith('.') ? undefined : await readImage(join(root, name));
        if (image !== undefined) found.push(image);
      }
      return found.sort((left, right) => right.createdAt.localeCompare(left.createdAt));
    },
    load: async (image, engine, signal) => {
      for (const reference of [image.reference, `localhost/${image.reference}`]) {
        if ((await findImage(engine, reference, { exec, signal })) === image.digest) return false;
      }
      await loadImage(engine, image, { exec, signal });
      return true;
    },
  };
}

/** Names the content of a node image before it is made. Pure. */
export function nodeImageKey(inputs: {
  readonly bundleDigest: string;
  readonly rootfsSha256: string;
  readonly arch: string;
}): string {
  const { bundleDigest, rootfsSha256, arch } = inputs;
  return createHash('sha256').update([RECIPE, bundleDigest, rootfsSha256, arch].join('\n')).digest('hex').slice(0, 16);
}

function folderName({
  kubernetesVersion,
  arch,
  key,
}: Pick<NodeImageFacts, 'kubernetesVersion' | 'arch' | 'key'>): string {
  return `${kubernetesVersion}-${arch}-${key}`;
}

/** A cached image; `undefined` when the folder is not there, not readable as one, or its archives changed in size. */
async function readImage(folder: string): Promise<NodeImage | undefined> {
  const [archive, imagesArchive] = [join(folder, 'node.tar'), join(folder, 'images.tar')];
  try {
    const record = recordSchema.parse(JSON.parse(await readFile(join(folder, RECORD_FILE), 'utf8')));
    if ((await stat(archive)).size !== record.sizeBytes) return undefined;
    if ((await stat(imagesArchive)).size !== record.imagesSizeBytes) return undefined;
    return { ...record, folder, archive, imagesArchive };
  } catch (error) {
    if (error instanceof z.ZodError || error instanceof SyntaxError) return undefined;
    if (['ENOENT', 'ENOTDIR'].includes(systemErrorCode(error) ?? '')) return undefined;
    throw hostErrorOf(error, folder) ?? error;
  }
}

async function readRootfs(folder: string): Promise<Rootfs | undefined> {
  const path = join(folder, 'root.tar');
  try {
    const { sha256, sizeBytes } = rootfsRecord.parse(JSON.parse(await readFile(join(folder, ROOTFS_RECORD), 'utf8')));
    return (await stat(path)).size === sizeBytes ? { path, sha256 } : undefined;
  } catch (error) {
    if (error instanceof z.ZodError || error instanceof SyntaxError) return undefined;
    if (systemErrorCode(error) === 'ENOENT') return undefined;
    throw hostErrorOf(error, folder) ?? error;
  }
}

async function readRoot(from: string, to: string, signal: AbortSignal): ReturnType<typeof writeRootLayer> {
  try {
    return await writeRootLayer(from, to, signal);
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof MkCiError) throw error;
    throw new MkCiError('IMG_BAD_ROOTFS', { message: `${from} is not a tar of a root file system`, cause: error });
  }
}

type Steps = Pick<EnsureNodeImageOptions, 'onStep'>;

/** Runs a step with its events; `work` gives its result and what to say of it. */
async function timedValue<T>({ onStep }: Steps, name: string, work: () => Promise<readonly [T, string]>): Promise<T> {
  const startedAt = performance.now();
  const report = (step: Omit<BundleStep, 'name' | 'durationMs'>): void => {
    onStep?.({ name, durationMs: performance.now() - startedAt, ...step });
  };
  onStep?.({ name, state: 'started' });
  try {
    const [value, message] = await work();
    report({ state: 'ok', message });
    return value;
  } catch (error) {
    report({ state: 'failed' });
    throw error;
  }
}

async function timed(steps: Steps, name: string, work: () => Promise<string>): Promise<void> {
  await timedValue(steps, name, async () => [undefined, await work()]);
}

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}

function ignoreMissing(error: unknown): void {
  if (systemErrorCode(error) !== 'ENOENT') throw error;
}
