import type { BundleStore } from '../cluster/bundle/index.js';
import type { AddonImageProvider, NodeImageProvider, UpgradePartsProvider } from '../cluster/index.js';
import { createDriverRegistry } from '../drivers/index.js';
import { MkCiError } from '../errors.js';
import { exec } from '../exec.js';
import { foldersOf } from '../files.js';
import type { CliContext } from './command.js';
import { createSharedWork } from './shared-work.js';
import { createStepProgress } from './step-progress.js';

/** Drivers whose machines start from a kernel and the disk that mk-ci makes. */
const DRIVERS_OF_VM_DISKS: readonly string[] = ['kvm2', 'qemu', 'vfkit', 'hyperkit'];

/**
 * Node images for clusters that a command starts: from the cache, or made with progress, and loaded into the engine once, made a
 * disk for virtual machines, or the files of one for a host that is given. What
 * failed once fails again at once, for all that ask for it in this process.
 */
export function createNodeImageProvider(context: CliContext, bundles: BundleStore): NodeImageProvider {
  const share = createSharedWork<string>();

  const obtain: NodeImageProvider = async ({ kubernetesVersion, driver }, signal) => {
    const { IMAGE_ENGINES, createNodeImageStore } = await import('../cluster/node-image/index.js');
    const engine = IMAGE_ENGINES.find((name) => name === driver);
    const cacheFolder = foldersOf(context.env).cache;
    const isGiven = createDriverRegistry({ exec }).get(driver).info.machines === 'given';
    if (engine === undefined && !isGiven && !DRIVERS_OF_VM_DISKS.includes(driver)) {
      throw new MkCiError('DRV_UNSUPPORTED', {
        message: `node images for driver ${driver}`,
        advice: 'Name a disk of your own with MK_CI_NODE_IMAGE or the option nodeImage (docs/drivers.md).',
      });
    }
    const store = createNodeImageStore({
      cacheFolder,
      bundles,
      exec,
      env: context.env,
      cwd: context.cwd,
    });
    using progress = createStepProgress(context, { prefix: 'node-image: ' });
    const image = await store.ensure(kubernetesVersion, { signal, onStep: progress.onStep });
    if (engine === undefined) {
      if (isGiven) {
        const { createHostKitStore } = await import('../cluster/host-kit/index.js');
        return await createHostKitStore({ cacheFolder, bundles }).ensure(image, signal);
      }
      const { createVmDiskStore } = await import('../cluster/vm-disk/index.js');
      const disks = createVmDiskStore({ cacheFolder, exec });
      return await disks.ensure(image, { signal, onStep: progress.onStep });
    }
    const startedAt = performance.now();
    if (await store.load(image, engine, signal)) {
      const durationMs = performance.now() - startedAt;
      progress.onStep({ name: `loaded into ${engine}`, state: 'ok', durationMs, message: image.reference });
    }
    return image.reference;
  };

  return async (request, signal) =>
    // Only an interrupt of the command ends it for all that ask.
    await share(`${request.driver} ${request.kubernetesVersion}`, () => obtain(request, context.signal), signal);
}

/** Images of addons, from the cache or compiled with progress. What failed once fails again at once, as with node images. */
export function createAddonImageProvider(context: CliContext): AddonImageProvider {
  const share = createSharedWork<string>();
  const obtain = async (name: Parameters<AddonImageProvider>[0]): Promise<string> => {
    const { createAddonImageStore } = await import('../cluster/addons/image-store.js');
    using progress = createStepProgress(context, { prefix: 'addon: ' });
    const store = createAddonImageStore({ cacheFolder: foldersOf(context.env).cache, exec, env: context.env });
    return await store.ensure(name, { signal: context.signal, onStep: progress.onStep });
  };
  return async (name, signal) => await share(name, () => obtain(name), signal);
}

/** Programs of a bundle, and the images of Kubernetes, which are made with the node image of their version. */
export function createUpgradePartsProvider(context: CliContext, bundles: BundleStore): UpgradePartsProvider {
  return async (kubernetesVersion, signal) => {
    const { createNodeImageStore } = await import('../cluster/node-image/index.js');
    const { env, cwd } = context;
    const store = createNodeImageStore({ cacheFolder: foldersOf(env).cache, bundles, exec, env, cwd });
    using progress = createStepProgress(context, { prefix: 'node-image: ' });
    const { onStep } = progress;
    const { imagesArchive } = await store.ensure(kubernetesVersion, { signal, onStep });
    const bundle = await bundles.ensure(kubernetesVersion, { parts: ['control-plane', 'node'], signal, onStep });
    return { imagesArchive, programs: bundle.binaries };
  };
}
