import { stat, writeFile } from 'node:fs/promises';

import { MkCiError, messageOf } from '../../errors.js';
import type { Exec } from '../../exec.js';
import { makeFolder } from '../../files.js';
import type { Architecture, MachineSpec } from '../driver.js';
import { renderSeed, type SeedNetwork } from '../seed/index.js';
import { generateKeyPair } from '../ssh-connection/index.js';
import {
  listMachineFolders,
  machinePaths,
  makeMachineFolder,
  readMachineRecord,
  specDigest,
  type MachinePaths,
  type MachineRecord,
  type SecondNetwork,
} from './machine-folder.js';
import type { PlacedState, SavedMachine } from './machine-state.js';
import { findVmImage, type VmImage } from './vm-image.js';

/** What is made for a virtual machine before it runs, whatever runs it: keys, seed, record. */

export const SSH_PORT = 22;
const DEFAULT_CPUS = 2;
const DEFAULT_MEMORY_MIB = 4096;
const IMAGE_MS = 60_000;

export interface HostOfMachines {
  readonly machinesFolder: string;
  readonly imagesFolder: string;
  readonly architecture: Architecture;
  readonly memoryMiB: number;
}

/**
 * The image of a machine that this host has memory for.
 *
 * @throws {MkCiError} `HOST_RESOURCES`; `DRV_FAILED` without the image; `DRV_UNSUPPORTED` for a damaged or foreign one
 */
export async function imageFor(spec: MachineSpec, host: HostOfMachines): Promise<VmImage> {
  const memoryMiB = spec.memoryMiB ?? DEFAULT_MEMORY_MIB;
  if (memoryMiB > host.memoryMiB) {
    throw new MkCiError('HOST_RESOURCES', {
      message: `a machine of ${memoryMiB} MiB on a host of ${host.memoryMiB} MiB`,
      advice: 'Give the machine less memory with options.memoryMiB.',
    });
  }
  const image = spec.image === undefined ? undefined : await findVmImage(spec.image, host);
  if (image === undefined) {
    throw new MkCiError('DRV_FAILED', {
      message: `there is no disk image ${spec.image ?? ''}`,
      advice: 'Let mk-ci make it (mk-ci cluster start does), or give the path of one as node image.',
    });
  }
  return image;
}

export interface MachineFilesOptions {
  readonly machinesFolder: string;
  readonly image: VmImage;
  readonly network: SeedNetwork;
  readonly secondNetwork: SecondNetwork | undefined;
  readonly now: () => Date;
  /** Whether a new one gets a console at which its guest waits for the time. */
  readonly hasClockConsole: boolean;
  /** Makes the disk, where it is a file of the machine's folder. */
  readonly makeDisk: (disk: string) => Promise<void>;
  /** The state that it begins with, and how it is put into the folder in place of a disk. */
  readonly saved?: {
    readonly facts: SavedMachine['facts'];
    readonly place: (paths: MachinePaths) => Promise<PlacedState>;
  };
}

/**
 * Makes the folder of a machine as a whole: record, keys of its own, seed, disk.
 *
 * @returns `undefined` when another process made it meanwhile
 */
export async function makeMachineFiles(
  spec: MachineSpec,
  { machinesFolder, image, network, secondNetwork, now, hasClockConsole, makeDisk, saved }: MachineFilesOptions,
): Promise<{ readonly record: MachineRecord; readonly paths: MachinePaths } | undefined> {
  const [hostKeys, userKeys] = await Promise.all([generateKeyPair(spec.name), generateKeyPair('mk-ci')]);
  const {
    cpus = spec.cpus,
    memoryMiB = spec.memoryMiB,
    hostKey = hostKeys.publicKey,
    layers,
    secondMac,
  } = saved?.facts ?? {};
  const record: MachineRecord = {
    version: 1,
    name: spec.name,
    labels: { ...spec.labels },
    specDigest: specDigest(spec),
    network: spec.network ?? spec.name,
    imageKey: image.key,
    architecture: image.architecture,
    boot: image.boot,
    cpus: Math.max(1, Math.round(cpus ?? DEFAULT_CPUS)),
    memoryMiB: memoryMiB ?? DEFAULT_MEMORY_MIB,
    forwardedPorts: [...new Set([SSH_PORT, ...(spec.publishedPorts ?? [])])],
    // The guest that goes on knows its cards.
    ...(secondNetwork && { secondNetwork: { ...secondNetwork, mac: secondMac ?? secondNetwork.mac } }),
    hostKey,
    ...(layers === undefined ? {} : { layers }),
    ...((saved === undefined ? hasClockConsole : saved.facts.hasClockConsole) === true
      ? { hasClockConsole: true }
      : {}),
    createdAt: now().toISOString(),
  };
  await makeFolder(machinesFolder, { mode: 0o700 });
  const isOurs = await makeMachineFolder(machinesFolder, record, async (hidden) => {
    if (saved !== undefined) {
      const placed = await saved.place(hidden);
      await writeFile(hidden.key, placed.privateKey, { mode: 0o600 });
      await writeFile(hidden.seed, placed.seed, { mode: 0o600 });
      return;
    }
    await writeFile(hidden.key, userKeys.privateKey, { mode: 0o600 });
    const { publicKey: authorizedKey } = userKeys;
    const second = secondNetwork === undefined ? {} : { secondMac: secondNetwork.mac };
    const seed = renderSeed({
      name: spec.name,
      authorizedKey,
      hostKey: hostKeys,
      network,
      ...second,
      createdAt: now(),
    });
    await writeFile(hidden.seed, seed, { mode: 0o600 });
    await makeDisk(hidden.disk);
  });
  return isOurs ? { record, paths: machinePaths(machinesFolder, spec.name) } : undefined;
}

/** A qcow2 disk above an image that is never written. */
export async function makeOverlay(
  disk: string,
  {
    exec,
    image,
    spec,
    signal,
  }: { readonly exec: Exec; readonly image: VmImage; readonly spec: MachineSpec; readonly signal: AbortSignal },
): Promise<void> {
  const size = await sizeArguments(spec, image.disk);
  const argv = ['qemu-img', 'create', '-q', '-f', 'qcow2', '-F', image.diskFormat, '-b', image.disk, disk] as const;
  await exec([...argv, ...size], { timeoutMs: IMAGE_MS, signal });
}

/** Size of a disk that is to be larger than its image; a smaller one would cut it off. */
async function sizeArguments({ diskMiB }: MachineSpec, image: string): Promise<string[]> {
  if (diskMiB === undefined) return [];
  const { size } = await stat(image);
  return diskMiB * 1024 * 1024 > size ? [`${diskMiB}M`] : [];
}

/** Where each machine is alone in its network. Checked when its record is there: of two at a time none gets by. */
export async function refuseSecondOf(
  { name, network }: MachineRecord,
  { machinesFolder, driver }: { readonly machinesFolder: string; readonly driver: string },
): Promise<void> {
  for (const other of await listMachineFolders(machinesFolder)) {
    const record = other === name ? undefined : await readMachineRecord(machinePaths(machinesFolder, other));
    if (record?.network !== network) continue;
    throw new MkCiError('DRV_UNSUPPORTED', {
      message: `machines of ${driver} can not reach each other: ${name} and ${other} of ${network}`,
      advice: 'Use one node, or the driver docker or podman for more.',
    });
  }
}

/** The error of a create, after what it had made was removed; or one that names what is left. */
export async function withdraw(name: string, error: unknown, remove: () => Promise<void>): Promise<unknown> {
  try {
    await remove();
    return error;
  } catch (second) {
    return new MkCiError('DRV_FAILED', {
      message: `${messageOf(error)}; and what was made of ${name} could not be removed`,
      advice: 'Run mk-ci gc --yes.',
      cause: new AggregateError([error, second]),
    });
  }
}
