import { createHash } from 'node:crypto';
import { copyFile, link, mkdir, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { KIT_FILE, readKit, kitSchema, type Kit } from '../../drivers/given/index.js';
import { hostErrorOf, isMkCiError, systemErrorCode } from '../../errors.js';
import { makeFolder } from '../../files.js';
import { programsOf, type BundleProgram, type BundleStore } from '../bundle/index.js';
import { factsSchema, type NodeImage } from '../node-image/index.js';
import { NODE_FOOTPRINT } from './footprint.js';

/** Raised when the same inputs give another kit. */
const RECIPE = 1;

const PROGRAMS: readonly BundleProgram[] = [
  ...(['kubeadm', 'kubelet', 'kubectl', 'containerd', 'containerd-shim-runc-v2', 'ctr'] as const),
];

/** What given hosts get to become nodes, in the cache: files of bundle and node image under one roof, without a second copy. */
export interface HostKitStore {
  /** @returns the folder. @throws {MkCiError} as `BundleStore.ensure`; `HOST_DISK_FULL`, `HOST_PERMISSION` */
  ensure(image: NodeImage, signal: AbortSignal): Promise<string>;
}

/** @param cacheFolder kits lie in `host-kits` below it, complete from the moment they are there */
export function createHostKitStore({
  cacheFolder,
  bundles,
}: {
  readonly cacheFolder: string;
  readonly bundles: BundleStore;
}): HostKitStore {
  const root = join(cacheFolder, 'host-kits');
  return {
    ensure: async (image, signal) => {
      signal.throwIfAborted();
      const key = keyOf(image);
      const folder = join(root, `${image.kubernetesVersion}-${image.arch}-${key}`);
      if (await isComplete(folder)) return folder;
      const bundle = await bundles.ensure(image.kubernetesVersion, { parts: ['node'], signal });
      const plugins = programsOf(['node']).filter(({ component }) => component === 'cni-plugins');
      const files = [
        ...PROGRAMS.map((name) => ({ from: bundle.path(name), to: `bin/${name}` })),
        ...plugins.map(({ name }) => ({ from: bundle.path(name), to: `cni/${name}` })),
        { from: image.imagesArchive, to: 'images.tar' },
      ];
      const work = `${folder}.${process.pid}`;
      try {
        await rm(work, { recursive: true, force: true });
        await makeFolder(join(work, 'payload'));
        for (const name of ['bin', 'cni']) await mkdir(join(work, 'payload', name));
        let payloadBytes = 0;
        for (const { from, to } of files) {
          await share(from, join(work, 'payload', to));
          payloadBytes += (await stat(from)).size;
        }
        const facts = factsSchema.strip().parse(image);
        await writeFile(join(work, 'payload', 'node-image.json'), `${JSON.stringify(facts, undefined, 2)}\n`);
        const kit = { key, arch: image.arch, payloadBytes, ...PLACES, footprint: NODE_FOOTPRINT };
        const content = kitSchema.parse({ format: 'mk-ci-host-kit/1', ...kit });
        await writeFile(join(work, KIT_FILE), `${JSON.stringify(content, undefined, 2)}\n`);
        await rm(folder, { recursive: true, force: true }); // one that can not be read
        await rename(work, folder);
      } catch (error) {
        // Another process made the same.
        if (!['ENOTEMPTY', 'EEXIST'].includes(systemErrorCode(error) ?? '')) throw hostErrorOf(error, folder) ?? error;
      } finally {
        await rm(work, { recursive: true, force: true });
      }
      return folder;
    },
  };
}

const PLACES: Pick<Kit, 'links' | 'copies'> = {
  links: {
    ...Object.fromEntries(
      PROGRAMS.filter((name) => name !== 'kubectl').map((name) => [`/usr/local/bin/${name}`, `bin/${name}`]),
    ),
    // Where scripts of nodes look for images that the runtime does not have yet.
    '/opt/mk-ci/images.tar': 'images.tar',
  },
  copies: {
    // Pods that mount the folder of their node's programs have no way to where a link leads.
    '/usr/local/bin/kubectl': 'bin/kubectl',
    // Manifests of networks put their own plugins beside ours.
    '/opt/cni/bin': 'cni',
    '/etc/mk-ci/node-image.json': 'node-image.json',
  },
};

function keyOf({ key, bundleDigest }: NodeImage): string {
  const content = JSON.stringify([RECIPE, key, bundleDigest, PLACES, NODE_FOOTPRINT]);
  return createHash('sha256').update(content).digest('hex').slice(0, 16);
}

async function isComplete(folder: string): Promise<boolean> {
  try {
    const { payload, payloadBytes, links } = await readKit(folder);
    const sizes = await Promise.all(Object.values(links).map(async (file) => (await stat(join(payload, file))).size));
    return sizes.reduce((sum, size) => sum + size, 0) <= payloadBytes;
  } catch (error) {
    if (isMkCiError(error, 'DRV_FAILED') || systemErrorCode(error) === 'ENOENT') return false;
    throw error;
  }
}

/** A second name of the file; a copy where another file system holds it. */
async function share(from: string, to: string): Promise<void> {
  try {
    await link(from, to);
  } catch (error) {
    if (!['EXDEV', 'EPERM', 'EMLINK'].includes(systemErrorCode(error) ?? '')) throw error;
    await copyFile(from, to);
  }
}
