import { createHash } from 'node:crypto';
import { mkdir, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { VM_IMAGE_FILE, consoleOf, readVmImage, type VmImageFacts } from '../../drivers/vm/index.js';
import { MkCiError, hostErrorOf, systemErrorCode } from '../../errors.js';
import type { Exec } from '../../exec.js';
import { makeFolder, writeFileAtomically } from '../../files.js';
import { acquireLock, createWorkFolder, storeFolders, type BundleStep, type LockHolder } from '../bundle/index.js';
import type { NodeImage } from '../node-image/index.js';
import { readAptSources } from '../node-image/rootfs.js';
import { writeTar, withParents } from '../node-image/tar.js';
import { INITRAMFS_INIT, RECIPE, guestFiles } from './guest-files.js';
import { fetchKernel, kernelKey, makeInitramfs, readKernel, type KernelFiles } from './kernel.js';

export interface VmDiskStoreOptions {
  /** `foldersOf(env).cache`; disks lie in `vm-images` below it. */
  readonly cacheFolder: string;
  readonly exec: Exec;
}

export interface EnsureVmDiskOptions {
  readonly signal: AbortSignal;
  readonly onStep?: (step: BundleStep) => void;
}

export interface VmDiskStore {
  /** Folder of images, as the driver is given it. */
  readonly folder: string;
  /**
   * Gets the disk made from a node image from the cache, else makes it. Two processes that ask for one wait for one.
   *
   * @returns folder of the image, by which the driver knows it
   * @throws {MkCiError} `HOST_MISSING_TOOL`, `HOST_PERMISSION` without root, `IMG_NO_MIRROR`, `NET_UNREACHABLE`, `HOST_DISK_FULL`
   */
  ensure(image: NodeImage, options: EnsureVmDiskOptions): Promise<string>;
}

/** What a file system without data takes is little: it is a sparse file. */
const DISK_GIB = 20;
const UNPACK_MS = 15 * 60_000;

/**
 * Disks of virtual machines in the cache folder, each complete from the moment it is there:
 *
 *     vm-images/
 *       v1.36.3-amd64-0123456789abcdef/   disk.img (ext4, sparse), vmlinuz, initrd.img, vm-image.json
 *       .kernels/0123456789abcdef/        vmlinuz, modules/<release>, busybox
 */
export function createVmDiskStore({ cacheFolder, exec }: VmDiskStoreOptions): VmDiskStore {
  const root = join(cacheFolder, 'vm-images');
  const folders = storeFolders(root, '.kernels');

  const ensureKernel = async (
    arch: 'amd64' | 'arm64',
    workFolder: string,
    ensure: EnsureVmDiskOptions,
  ): Promise<KernelFiles> => {
    const sources = await readAptSources();
    const folder = join(folders.finished, kernelKey(sources, arch));
    const found = await readKernel(folder);
    if (found !== undefined) return found;
    await timed(ensure, 'kernel', async () => {
      await makeFolder(folders.finished);
      await fetchKernel({ exec, sources, arch, workFolder, to: folder, signal: ensure.signal });
      return (await readKernel(folder))?.release ?? '';
    });
    const made = await readKernel(folder);
    if (made === undefined) throw new MkCiError('IMG_ROOTFS_FAILED', { message: `${folder} has no kernel` });
    return made;
  };

  const make = async (
    image: NodeImage,
    key: string,
    kernel: KernelFiles,
    folder: string,
    work: string,
    ensure: EnsureVmDiskOptions,
  ): Promise<void> => {
    const { signal } = ensure;
    const out = join(work, 'image');
    await mkdir(out, { recursive: true });
    const layer = join(work, 'guest.tar');
    await writeTar(layer, withParents(guestFiles()), signal);
    await timed(ensure, 'disk', async () => {
      const script = renderDiskScript();
      const [tree, disk] = [join(work, 'tree'), join(out, 'disk.img')];
      await exec(
        [
          'bash',
          '-eu',
          '-o',
          'pipefail',
          '-c',
          script,
          'bash',
          image.archive,
          tree,
          layer,
          kernel.modules,
          kernel.release,
          disk,
        ],
        {
          timeoutMs: UNPACK_MS,
          labels: { role: 'vm-disk' },
          signal,
        },
      );
      return `${DISK_GIB} GiB, sparse`;
    });
    await exec(['cp', kernel.vmlinuz, join(out, 'vmlinuz')], { signal });
    await writeFile(join(out, 'initrd.img'), await makeInitramfs(kernel, exec, work, signal));
    const facts: VmImageFacts = {
      format: 'mk-ci-vm-image/1',
      architecture: image.arch,
      key,
      disk: 'disk.img',
      diskBytes: (await stat(join(out, 'disk.img'))).size,
      kernel: 'vmlinuz',
      initrd: 'initrd.img',
      append: kernelArguments(image.arch),
      kubernetesVersion: image.kubernetesVersion,
    };
    await writeFileAtomically(join(out, VM_IMAGE_FILE), `${JSON.stringify(facts, undefined, 2)}\n`);
    try {
      await rm(folder, { recursive: true, force: true });
      await rename(out, folder);
    } catch (error) {
      throw hostErrorOf(error, folder) ?? error;
    }
  };

  return {
    folder: root,
    ensure: async (image, ensure) => {
      const { signal, onStep } = ensure;
      await using work = await createWorkFolder(folders);
      await using _lock = await acquireLock(join(folders.locks, `${image.arch}.lock`), {
        purpose: `making the disk of ${image.kubernetesVersion}`,
        signal,
        onWait: ({ pid, since }: LockHolder) => {
          onStep?.({ name: 'waiting', state: 'started', message: `for process ${pid}, at it since ${since}` });
        },
      });
      const kernel = await ensureKernel(image.arch, work.path, ensure);
      const key = vmDiskKey({ nodeImageKey: image.key, kernelRelease: kernel.release, arch: image.arch });
      const folder = join(root, `${image.kubernetesVersion}-${image.arch}-${key}`);
      if (!(await isWhole(folder))) {
        if (process.getuid?.() !== 0) {
          throw new MkCiError('HOST_PERMISSION', {
            message: 'the disk of virtual machines can only be made by root, whose files are on it',
            advice: 'Run mk-ci once as root with the same MK_CI_HOME, or give a disk as node image.',
          });
        }
        await make(image, key, kernel, folder, work.path, ensure);
      }
      return folder;
    },
  };
}

/** Names the content of a disk before it is made. Pure. */
export function vmDiskKey(inputs: {
  readonly nodeImageKey: string;
  readonly kernelRelease: string;
  readonly arch: 'amd64' | 'arm64';
}): string {
  const files = guestFiles().map((entry) =>
    entry.kind === 'file' && Buffer.isBuffer(entry.content) ? entry.content.toString('base64') : entry.path,
  );
  return createHash('sha256')
    .update(
      JSON.stringify([
        RECIPE,
        inputs.nodeImageKey,
        inputs.kernelRelease,
        DISK_GIB,
        kernelArguments(inputs.arch),
        INITRAMFS_INIT,
        files,
      ]),
    )
    .digest('hex')
    .slice(0, 16);
}

/** Arguments of the kernel. Nothing of a machine that lives for minutes is worth protecting from its own processes. */
export function kernelArguments(arch: 'amd64' | 'arm64'): string {
  const x86 = arch === 'amd64' ? ['no_timer_check'] : [];
  // Every call of a kernel that might write an audit costs, and so does memory that is emptied before it is filled. Programs whose
  // addresses are the same each time are translated once: a translated guest starts one in 6 ms in place of 35.
  const fast = ['audit=0', 'init_on_alloc=0', 'norandmaps'];
  // A translated guest on a busy host stands still for seconds: its watchdogs would only fill the console.
  const patient = ['nowatchdog', 'rcupdate.rcu_cpu_stall_suppress=1'];
  return [
    ...[
      'root=/dev/vda',
      'rw',
      `console=${consoleOf(arch)}`,
      'loglevel=4',
      'net.ifnames=0',
      'mitigations=off',
      'panic=-1',
    ],
    ...fast,
    ...patient,
    ...x86,
  ].join(' ');
}

/**
 * From an archive of a container image to an ext4 file system in a file, without mounting anything. Arguments: archive, tree,
 * tar of files to add, folder of modules, release of the kernel, disk. The layers have no files that delete others.
 */
function renderDiskScript(): string {
  return [
    'mkdir -p "$2"',
    // The layers in their order, from the manifest that docker reads.
    `tar -xOf "$1" manifest.json | tr ',"[]' '\\n\\n\\n\\n' | grep '^blobs/' | tail -n +2 | while read -r layer; do`,
    '  tar -xOf "$1" "$layer" | tar -x --numeric-owner --same-permissions -C "$2"',
    'done',
    'tar -x --numeric-owner --keep-directory-symlink -C "$2" -f "$3"',
    'mkdir -p "$2/usr/lib/modules" && cp -a "$4" "$2/usr/lib/modules/$5"',
    'chroot "$2" depmod "$5"',
    `mke2fs -q -t ext4 -L mk-ci-root -m 0 -E lazy_itable_init=1 -d "$2" "$6" ${DISK_GIB}G`,
    'rm -rf "$2"',
  ].join('\n');
}

/** Whether the folder holds an image; a damaged one is made anew. */
async function isWhole(folder: string): Promise<boolean> {
  try {
    return (await readVmImage(folder)) !== undefined;
  } catch (error) {
    if (error instanceof MkCiError || systemErrorCode(error) === 'ENOENT') return false;
    throw error;
  }
}

async function timed({ onStep }: EnsureVmDiskOptions, name: string, work: () => Promise<string>): Promise<void> {
  const startedAt = performance.now();
  onStep?.({ name, state: 'started' });
  const message = await work();
  onStep?.({ name, state: 'ok', message, durationMs: performance.now() - startedAt });
}
