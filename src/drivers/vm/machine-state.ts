import { constants } from 'node:fs';
import { chmod, copyFile, link, mkdir, readFile, rm, stat, symlink } from 'node:fs/promises';
import { join } from 'node:path';

import { z } from 'zod';

import { MkCiError, hostErrorOf, messageOf, systemErrorCode } from '../../errors.js';
import type { Exec } from '../../exec.js';
import { NEVER_WRITTEN, writeFileAtomically } from '../../files.js';
import type { MemoryFiles } from './hypervisor.js';
import type { MachinePaths, MachineRecord } from './machine-folder.js';
import type { VmImage } from './vm-image.js';

/**
 * A machine that runs, as files: its disk, its memory, and what it was made with. Machines that begin with them go on where it
 * was. The disk is a chain of layers above the image; nobody writes to them any more, so machines and copies of a state share
 * them as hard links, and it does not matter to a machine whether the state that it began with is still there.
 *
 * Layers name each other, and the image, relative to their folder: the same chain works wherever it is put.
 */

const FACTS = 'state.json';
const MEMORY = 'memory';
/** QEMU opens it for writing, although it writes to its own view only. */
const RAM = `ram${NEVER_WRITTEN}`;
const KEY = 'id_ed25519';
const SEED = 'seed.iso';
/** Link to the disk of the image, beside the layers. */
const IMAGE_LINK = 'image';
const IMAGE_MS = 60_000;

/** Raised when machines get other processors or devices: a guest that goes on would not find those it knew. */
const VERSION = 2;

const factsSchema = z.strictObject({
  version: z.literal(VERSION),
  imageKey: z.string(),
  architecture: z.enum(['amd64', 'arm64']),
  cpus: z.int(),
  memoryMiB: z.int(),
  hostKey: z.string(),
  layers: z.int().min(1),
  hasRam: z.exactOptional(z.literal(true)),
  hasClockConsole: z.exactOptional(z.literal(true)),
  secondMac: z.exactOptional(z.string()),
});

export interface SavedMachine {
  readonly folder: string;
  readonly facts: z.infer<typeof factsSchema>;
}

const layerIn = (folder: string, number: number): string => join(folder, layerName(number));
const layerName = (number: number): string => `layer-${number}.qcow2`;
const numbers = (count: number): readonly number[] => Array.from({ length: count }, (_, index) => index + 1);

/** Files of a state with the memory of its machine. */
export const memoryIn = (folder: string): Required<MemoryFiles> => ({
  stream: join(folder, MEMORY),
  ram: join(folder, RAM),
});

/** Those of them that a state has. */
export function memoryOf({ folder, facts }: SavedMachine): MemoryFiles {
  const { stream, ram } = memoryIn(folder);
  return { stream, ...(facts.hasRam === true ? { ram } : {}) };
}

/** Makes the folder, and empty files for the memory that only this user can read. */
export async function beginState(folder: string): Promise<void> {
  try {
    await mkdir(folder, { recursive: true, mode: 0o700 });
    for (const path of Object.values(memoryIn(folder))) await writeFileAtomically(path, '', { mode: 0o600 });
  } catch (error) {
    throw hostErrorOf(error, folder) ?? error;
  }
}

/** Copies the disk of a machine that stands still, with nothing unwritten, as the uppermost layer of a state. */
export async function copyDisk(
  { record, paths }: { readonly record: MachineRecord; readonly paths: MachinePaths },
  folder: string,
  { exec, signal }: { readonly exec: Exec; readonly signal: AbortSignal },
): Promise<void> {
  const have = record.layers ?? 0;
  const copy = layerIn(folder, have + 1);
  try {
    await copyFile(paths.disk, copy, constants.COPYFILE_FICLONE);
    signal.throwIfAborted();
    for (const number of numbers(have)) await linkOrCopy(layerIn(paths.folder, number), layerIn(folder, number));
  } catch (error) {
    throw hostErrorOf(error, folder) ?? error;
  }
  if (have > 0) return;
  const backing = ['-F', 'raw', '-b', IMAGE_LINK] as const;
  await exec(['qemu-img', 'rebase', '-q', '-u', '-f', 'qcow2', ...backing, copy], { timeoutMs: IMAGE_MS, signal });
}

/** Adds to disk and memory what a machine needs to be the same one, and makes the large files read-only. */
export async function finishState(
  { record, paths }: { readonly record: MachineRecord; readonly paths: MachinePaths },
  folder: string,
): Promise<void> {
  const { imageKey, architecture, cpus, memoryMiB, hostKey, hasClockConsole, secondNetwork } = record;
  const layers = (record.layers ?? 0) + 1;
  try {
    await copyFile(paths.key, join(folder, KEY));
    await copyFile(paths.seed, join(folder, SEED));
    const { stream, ram } = memoryIn(folder);
    for (const path of [stream, ...numbers(layers).map((number) => layerIn(folder, number))]) await chmod(path, 0o400);
    const hasRam = (await stat(ram)).size > 0;
    if (!hasRam) await rm(ram);
    const facts: SavedMachine['facts'] = {
      ...{ version: VERSION, imageKey, architecture, cpus, memoryMiB, hostKey, layers },
      ...(hasRam ? { hasRam } : {}),
      ...(hasClockConsole === undefined ? {} : { hasClockConsole }),
      ...(secondNetwork === undefined ? {} : { secondMac: secondNetwork.mac }),
    };
    await writeFileAtomically(join(folder, FACTS), JSON.stringify(facts), { mode: 0o600 });
  } catch (error) {
    throw hostErrorOf(error, folder) ?? error;
  }
}

/**
 * @param image that of the machine to be made, which has to be the one below the layers
 * @throws {MkCiError} `K8S_SNAPSHOT_BROKEN`, `DRV_UNSUPPORTED` for a state of another image
 */
export async function readState(folder: string, image: Pick<VmImage, 'key' | 'disk'>): Promise<SavedMachine> {
  const broken = (why: string, cause?: unknown): MkCiError =>
    new MkCiError('K8S_SNAPSHOT_BROKEN', { message: `${folder}: ${why}`, cause });
  try {
    const facts = factsSchema.parse(JSON.parse(await readFile(join(folder, FACTS), 'utf8')));
    const { stream, ram } = memoryOf({ folder, facts });
    const memory = ram === undefined ? [stream] : [stream, ram];
    for (const path of [...memory, ...numbers(facts.layers).map((number) => layerIn(folder, number))]) {
      if ((await stat(path)).size === 0) throw broken(`${path} is empty`);
    }
    if (facts.imageKey !== image.key) {
      throw new MkCiError('DRV_UNSUPPORTED', {
        message: `the state of a machine of another image (${facts.imageKey}, this one is ${image.key})`,
        advice: 'Save it again from a cluster of this image.',
      });
    }
    return { folder, facts };
  } catch (error) {
    throw error instanceof MkCiError ? error : broken(messageOf(error), error);
  }
}

export interface PlacedState {
  readonly privateKey: string;
  readonly seed: Buffer;
}

/** Puts the layers of a state into the folder of a machine, with a new one above them, which is its disk. */
export async function placeState(
  { folder, facts }: SavedMachine,
  paths: Pick<MachinePaths, 'folder' | 'disk'>,
  { image, exec, signal }: { readonly image: Pick<VmImage, 'disk'>; readonly exec: Exec; readonly signal: AbortSignal },
): Promise<PlacedState> {
  for (const number of numbers(facts.layers)) await linkOrCopy(layerIn(folder, number), layerIn(paths.folder, number));
  await symlink(image.disk, join(paths.folder, IMAGE_LINK));
  const backing = ['-F', 'qcow2', '-b', layerName(facts.layers)] as const;
  await exec(['qemu-img', 'create', '-q', '-f', 'qcow2', ...backing, paths.disk], { timeoutMs: IMAGE_MS, signal });
  return { privateKey: await readFile(join(folder, KEY), 'utf8'), seed: await readFile(join(folder, SEED)) };
}

async function linkOrCopy(from: string, to: string): Promise<void> {
  try {
    await link(from, to);
  } catch (error) {
    // Other file systems, and those that know no second name of a file.
    if (!['EXDEV', 'EPERM', 'ENOTSUP', 'EMLINK'].includes(systemErrorCode(error) ?? '')) throw error;
    await copyFile(from, to, constants.COPYFILE_FICLONE);
  }
}
