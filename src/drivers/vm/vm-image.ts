import { createHash } from 'node:crypto';
import { readFile, readdir, stat } from 'node:fs/promises';
import { isAbsolute, join, resolve } from 'node:path';

import { z } from 'zod';

import { MkCiError, systemErrorCode } from '../../errors.js';
import type { Architecture } from '../driver.js';

export type BootSource =
  /** The kernel is loaded by QEMU, without firmware looking for it. */
  | { readonly kind: 'kernel'; readonly kernel: string; readonly initrd: string; readonly append: string }
  /** The disk has a boot loader. `code` is the firmware's image where QEMU has none built in. */
  | { readonly kind: 'firmware'; readonly code?: string };

/** Facts of a disk image with its kernel, `vm-image.json` in its folder. Written last: without it there is no image. */
export const vmImageSchema = z.strictObject({
  format: z.literal('mk-ci-vm-image/1'),
  architecture: z.enum(['amd64', 'arm64']),
  /** Identity of the content. */
  key: z.string().regex(/^[0-9a-f]{16}$/),
  /** Files of the folder. */
  disk: z.string(),
  diskBytes: z.int(),
  kernel: z.string(),
  initrd: z.string(),
  /** Arguments of the kernel. */
  append: z.string(),
  kubernetesVersion: z.string().optional(),
});
export type VmImageFacts = z.infer<typeof vmImageSchema>;

export const VM_IMAGE_FILE = 'vm-image.json';

/** What a machine is made from. */
export interface VmImage {
  readonly key: string;
  readonly architecture: Architecture;
  /** Never written: machines have layers above it. */
  readonly disk: string;
  /** As `qemu-img` calls it. */
  readonly diskFormat: 'raw' | 'qcow2' | 'vdi' | 'vmdk' | 'vpc' | 'vhdx' | 'parallels';
  readonly boot: BootSource;
}

export interface FindImageOptions {
  /** Folder with one image a folder. */
  readonly imagesFolder: string;
  readonly architecture: Architecture;
}

/**
 * Finds an image: by the path of its folder; by the name of a folder of the cache; by `mk-ci-node:VERSION` for the newest one of
 * a version; or a disk of somebody else, such as `.qcow2`, `.img` or `.vmdk`, with a boot loader and cloud-init.
 *
 * @returns `undefined` when there is none
 * @throws {MkCiError} `DRV_UNSUPPORTED` for one of another architecture, or whose files are not as they should be
 */
export async function findVmImage(reference: string, options: FindImageOptions): Promise<VmImage | undefined> {
  if (formatOf(reference) !== undefined) return await foreignImage(reference, options.architecture);
  const { imagesFolder } = options;
  const version = /^mk-ci-node:(v\d.*)$/.exec(reference)?.[1];
  const folders =
    version !== undefined
      ? await foldersOfVersion(imagesFolder, version)
      : [isAbsolute(reference) ? reference : resolve(imagesFolder, reference)];
  for (const folder of folders) {
    const image = await readVmImage(folder);
    if (image === undefined) continue;
    if (image.architecture !== options.architecture) {
      throw new MkCiError('DRV_UNSUPPORTED', {
        message: `the image ${folder} is for ${image.architecture}, machines here are ${options.architecture}`,
      });
    }
    return image;
  }
  return undefined;
}

/** @throws {MkCiError} `DRV_UNSUPPORTED` when a file is missing or has another size than it had */
export async function readVmImage(folder: string): Promise<VmImage | undefined> {
  const text = await readFile(join(folder, VM_IMAGE_FILE), 'utf8').catch((error: unknown) => {
    if (['ENOENT', 'ENOTDIR'].includes(systemErrorCode(error) ?? '')) return undefined;
    throw error;
  });
  if (text === undefined) return undefined;
  const facts = parseFacts(text);
  if (facts === undefined) throw damaged(folder, `${VM_IMAGE_FILE} can not be read`);
  const [disk, kernel, initrd] = [facts.disk, facts.kernel, facts.initrd].map((name) => join(folder, name));
  const size = await stat(disk ?? '').then(
    (info) => info.size,
    () => -1,
  );
  if (size !== facts.diskBytes) throw damaged(folder, `${facts.disk} has ${size} bytes in place of ${facts.diskBytes}`);
  return {
    key: facts.key,
    architecture: facts.architecture,
    disk: disk ?? '',
    diskFormat: 'raw',
    boot: { kind: 'kernel', kernel: kernel ?? '', initrd: initrd ?? '', append: facts.append },
  };
}

function parseFacts(text: string): VmImageFacts | undefined {
  try {
    return vmImageSchema.parse(JSON.parse(text));
  } catch {
    return undefined;
  }
}

function damaged(folder: string, why: string): MkCiError {
  return new MkCiError('DRV_UNSUPPORTED', {
    message: `the image ${folder} is damaged: ${why}`,
    advice: 'Delete its folder; it is made again by itself.',
  });
}

async function foldersOfVersion(imagesFolder: string, version: string): Promise<string[]> {
  const names = await readdir(imagesFolder).catch(() => []);
  const dated = await Promise.all(
    names
      .filter((name) => name.startsWith(`${version}-`))
      .map(async (name) => {
        const path = join(imagesFolder, name);
        const info = await stat(join(path, VM_IMAGE_FILE)).catch(() => undefined);
        return { path, at: info?.mtimeMs ?? 0 };
      }),
  );
  return dated.sort((left, right) => right.at - left.at).map(({ path }) => path);
}

/** Of a disk with a boot loader, by its name. */
const FORMATS = {
  ...{ img: 'raw', raw: 'raw', qcow2: 'qcow2', vdi: 'vdi', vmdk: 'vmdk', vhd: 'vpc', vhdx: 'vhdx', hdd: 'parallels' },
} as const satisfies Record<string, VmImage['diskFormat']>;

function formatOf(path: string): VmImage['diskFormat'] | undefined {
  const ending = /\.(\w+)$/.exec(path)?.[1] ?? '';
  return Object.entries(FORMATS).find(([known]) => known === ending)?.[1];
}

async function foreignImage(reference: string, architecture: Architecture): Promise<VmImage | undefined> {
  const disk = resolve(reference);
  const info = await stat(disk).catch(() => undefined);
  if (info === undefined) return undefined;
  // Reading all of a disk for its sum takes longer than a start; who writes to it changes its time.
  const key = createHash('sha256')
    .update(JSON.stringify([disk, info.size, info.mtimeMs]))
    .digest('hex')
    .slice(0, 16);
  return {
    key,
    architecture,
    disk,
    diskFormat: formatOf(disk) ?? 'raw',
    boot: { kind: 'firmware' },
  };
}

/** Console of the kernel that ends up in the serial log. */
export function consoleOf(architecture: Architecture): string {
  return architecture === 'amd64' ? 'ttyS0' : 'ttyAMA0';
}
