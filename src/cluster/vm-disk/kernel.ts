import { cp, mkdir, readFile, readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { createHash } from 'node:crypto';
import { gzipSync } from 'node:zlib';

import { isMkCiError, MkCiError } from '../../errors.js';
import type { Exec } from '../../exec.js';
import { cpioArchive } from './cpio.js';
import { INITRAMFS_INIT, INITRAMFS_MODULES } from './guest-files.js';
import { rootfsFailure, SUITE } from '../node-image/rootfs.js';

/** A kernel for virtual machines, its modules, and a busybox: from Debian, of the release that nodes are of. */

const KEYRING = '/usr/share/keyrings/debian-archive-keyring.gpg';
const FETCH_MS = 20 * 60_000;
const UNPACK_MS = 60_000;

/** Files of a kernel, in a folder of their own. */
export interface KernelFiles {
  /** Such as `6.12.117+deb13-cloud-amd64`. */
  readonly release: string;
  readonly vmlinuz: string;
  /** Goes to `/usr/lib/modules/<release>`. */
  readonly modules: string;
  readonly busybox: string;
}

export function kernelPackages(arch: 'amd64' | 'arm64'): readonly string[] {
  return [`linux-image-cloud-${arch}`, 'busybox-static'];
}

/** Names what is asked for; which release that is, the mirror says. */
export function kernelKey(sources: string, arch: string): string {
  return createHash('sha256')
    .update(JSON.stringify([SUITE, sources, arch, 1]))
    .digest('hex')
    .slice(0, 16);
}

/**
 * Unpacks the packages without installing them, which needs no privileges, and keeps what is needed.
 *
 * @throws {MkCiError} `HOST_MISSING_TOOL` without mmdebstrap, `NET_UNREACHABLE`, `IMG_ROOTFS_FAILED`
 */
export async function fetchKernel(options: {
  readonly exec: Exec;
  readonly sources: string;
  readonly arch: 'amd64' | 'arm64';
  readonly workFolder: string;
  readonly to: string;
  readonly signal: AbortSignal;
}): Promise<void> {
  const { exec, sources, arch, workFolder, to, signal } = options;
  const tree = join(workFolder, 'kernel-tree');
  const result = await exec(
    [
      'mmdebstrap',
      ...['--variant=extract', '--format=directory', `--architectures=${arch}`, `--keyring=${KEYRING}`],
      ...[`--include=${kernelPackages(arch).join(',')}`, '--aptopt=APT::Install-Recommends "false"'],
      ...[SUITE, tree, '-'],
    ],
    { input: sources, allowFailure: true, timeoutMs: FETCH_MS, labels: { role: 'vm-disk' }, signal },
  ).catch((error: unknown) => {
    if (!isMkCiError(error, 'HOST_MISSING_TOOL')) throw error;
    throw new MkCiError('HOST_MISSING_TOOL', {
      message: 'mmdebstrap',
      advice: 'Install it (apt-get install mmdebstrap).',
      cause: error,
    });
  });
  if (result.exitCode !== 0) throw rootfsFailure(result.stderr);
  const made = join(workFolder, 'kernel');
  await mkdir(join(made, 'modules'), { recursive: true });
  const release = (await readdir(join(tree, 'usr/lib/modules')))[0];
  if (release === undefined) throw new MkCiError('IMG_ROOTFS_FAILED', { message: 'the kernel package has no modules' });
  await rename(join(tree, 'usr/lib/modules', release), join(made, 'modules', release));
  await cp(join(tree, 'boot', `vmlinuz-${release}`), join(made, 'vmlinuz'));
  await cp(join(tree, 'usr/bin/busybox'), join(made, 'busybox'));
  await rm(tree, { recursive: true, force: true });
  await rename(made, to);
}

/** @returns `undefined` when the folder holds no kernel */
export async function readKernel(folder: string): Promise<KernelFiles | undefined> {
  const releases = await readdir(join(folder, 'modules')).catch(() => []);
  const release = releases[0];
  if (release === undefined) return undefined;
  return {
    release,
    vmlinuz: join(folder, 'vmlinuz'),
    modules: join(folder, 'modules', release),
    busybox: join(folder, 'busybox'),
  };
}

/** The first root file system: busybox, one script and the modules that the disk needs. */
export async function makeInitramfs(
  kernel: KernelFiles,
  exec: Exec,
  workFolder: string,
  signal: AbortSignal,
): Promise<Buffer> {
  const modules = await Promise.all(
    INITRAMFS_MODULES.map(async (path, index) => ({
      name: `${index}-${path.split('/').at(-1) ?? ''}.ko`,
      content: await readModule(join(kernel.modules, 'kernel', path), exec, workFolder, signal),
    })),
  );
  const folders = ['bin', 'dev', 'modules', 'proc', 'root', 'sys'];
  return gzipSync(
    cpioArchive([
      ...folders.map((path) => ({ kind: 'folder' as const, path })),
      { kind: 'file', path: 'bin/busybox', content: await readFile(kernel.busybox), mode: 0o755 },
      { kind: 'file', path: 'init', content: Buffer.from(INITRAMFS_INIT), mode: 0o755 },
      ...modules.map(({ name, content }) => ({ kind: 'file' as const, path: `modules/${name}`, content, mode: 0o644 })),
    ]),
  );
}

/** A module without the compression that Debian gives it, which busybox can not undo. */
async function readModule(path: string, exec: Exec, workFolder: string, signal: AbortSignal): Promise<Buffer> {
  const plain = await readFile(`${path}.ko`).catch(() => undefined);
  if (plain !== undefined) return plain;
  const to = join(workFolder, `${path.split('/').at(-1) ?? 'module'}.ko`);
  await exec(['sh', '-c', 'xz -dc "$1" >"$2"', 'sh', `${path}.ko.xz`, to], { timeoutMs: UNPACK_MS, signal });
  return await readFile(to);
}
