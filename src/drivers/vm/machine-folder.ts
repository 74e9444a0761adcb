import { createHash } from 'node:crypto';
import { mkdir, readFile, readdir, rename, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { z } from 'zod';

import { hostErrorOf, systemErrorCode } from '../../errors.js';
import { writeFileAtomically } from '../../files.js';
import type { MachineSpec } from '../driver.js';

const mac = z.string().regex(/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/);
/** A network besides the one by which mk-ci reaches the machine. Its own server tells the machine an address. */
const secondNetworkSchema = z.discriminatedUnion('kind', [
  /** Of the host's kernel, by name. */
  z.strictObject({ kind: z.literal('bridge'), bridge: z.string(), mac }),
  /** A Unix socket whose owner takes frames, each after its length in four bytes. */
  z.strictObject({ kind: z.literal('socket'), path: z.string(), mac }),
]);
export type SecondNetwork = z.infer<typeof secondNetworkSchema>;

/** What is kept of a machine, `machine.json` in its folder. */
export const recordSchema = z.strictObject({
  version: z.literal(1),
  name: z.string(),
  labels: z.record(z.string(), z.string()),
  /** Of the spec it was made from. */
  specDigest: z.string(),
  /** Machines of one network would have to reach each other. */
  network: z.string(),
  /** Key and disk of its image. */
  imageKey: z.string(),
  architecture: z.enum(['amd64', 'arm64']),
  boot: z.discriminatedUnion('kind', [
    z.strictObject({ kind: z.literal('kernel'), kernel: z.string(), initrd: z.string(), append: z.string() }),
    z.strictObject({ kind: z.literal('firmware'), code: z.string().optional() }),
  ]),
  cpus: z.int(),
  memoryMiB: z.int(),
  /** Of the guest; ssh is always among them. */
  forwardedPorts: z.array(z.int()),
  secondNetwork: z.exactOptional(secondNetworkSchema),
  hostKey: z.string(),
  /** Layers between disk and image that another machine left, see `machine-state.ts`. */
  layers: z.int().optional(),
  /** Whether it has a console at which its guest waits for the time. */
  hasClockConsole: z.exactOptional(z.literal(true)),
  createdAt: z.iso.datetime(),
});
export type MachineRecord = z.infer<typeof recordSchema>;

/** Paths of one machine. */
export interface MachinePaths {
  readonly folder: string;
  readonly record: string;
  /** Private key of root. */
  readonly key: string;
  readonly disk: string;
  readonly seed: string;
  readonly serialLog: string;
  readonly pidFile: string;
  /** Process with its start time. */
  readonly process: string;
  readonly monitorSocket: string;
  readonly clockSocket: string;
}

/** A path of a socket has 107 bytes; Linux and others differ a little. */
const SOCKET_PATH_BYTES = 100;

export function machinePaths(machinesFolder: string, name: string): MachinePaths {
  const folder = join(machinesFolder, name);
  const id = createHash('sha256').update(folder).digest('hex').slice(0, 16);
  const socket = (file: string, short: string): string => {
    const path = join(folder, file);
    return Buffer.byteLength(path) <= SOCKET_PATH_BYTES ? path : join(tmpdir(), short);
  };
  return {
    folder,
    record: join(folder, 'machine.json'),
    key: join(folder, 'id_ed25519'),
    disk: join(folder, 'disk.qcow2'),
    seed: join(folder, 'seed.iso'),
    serialLog: join(folder, 'serial.log'),
    pidFile: join(folder, 'qemu.pid'),
    process: join(folder, 'process'),
    monitorSocket: socket('qmp.sock', `mk-ci-${id}.sock`),
    clockSocket: socket('clock.sock', `mk-ci-${id}.clock.sock`),
  };
}

export function specDigest(spec: MachineSpec): string {
  const { name, labels, cpus, memoryMiB, diskMiB, image, publishedPorts, network, options } = spec;
  const sorted = Object.entries(labels).sort(([left], [right]) => (left < right ? -1 : 1));
  const have = [name, sorted, cpus, memoryMiB, diskMiB, image, publishedPorts, network];
  const content = JSON.stringify(options === undefined ? have : [...have, options]);
  return createHash('sha256').update(content).digest('hex').slice(0, 16);
}

/** @returns `undefined` for a machine that is not there or whose record can not be read */
export async function readMachineRecord(paths: Pick<MachinePaths, 'record'>): Promise<MachineRecord | undefined> {
  try {
    return recordSchema.parse(JSON.parse(await readFile(paths.record, 'utf8')));
  } catch {
    return undefined;
  }
}

/** Names of machines that have a folder, readable or not. */
export async function listMachineFolders(machinesFolder: string): Promise<string[]> {
  try {
    const entries = await readdir(machinesFolder, { withFileTypes: true });
    return entries.filter((entry) => entry.isDirectory() && !entry.name.startsWith('.')).map(({ name }) => name);
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return [];
    throw hostErrorOf(error, machinesFolder) ?? error;
  }
}

/**
 * Makes the folder of a machine as a whole: it is filled under another name, which then becomes its own.
 *
 * @param fill is given the paths under the other name
 * @returns false when another process was faster
 */
export async function makeMachineFolder(
  machinesFolder: string,
  record: MachineRecord,
  fill: (paths: MachinePaths) => Promise<void>,
): Promise<boolean> {
  const hidden = machinePaths(machinesFolder, `.${record.name}.${process.pid}`);
  const paths = machinePaths(machinesFolder, record.name);
  try {
    await rm(hidden.folder, { recursive: true, force: true });
    await mkdir(hidden.folder, { recursive: true, mode: 0o700 });
    await fill(hidden);
    await writeFileAtomically(hidden.record, `${JSON.stringify(record, undefined, 2)}\n`, { mode: 0o600 });
    await rename(hidden.folder, paths.folder);
    return true;
  } catch (error) {
    await rm(hidden.folder, { recursive: true, force: true });
    if (['ENOTEMPTY', 'EEXIST'].includes(systemErrorCode(error) ?? '')) return false;
    throw hostErrorOf(error, paths.folder) ?? error;
  }
}

export async function removeMachineFolder(paths: MachinePaths): Promise<void> {
  try {
    await rm(paths.folder, { recursive: true, force: true, maxRetries: 3 });
    for (const socket of [paths.monitorSocket, paths.clockSocket]) await rm(socket, { force: true });
  } catch (error) {
    throw hostErrorOf(error, paths.folder) ?? error;
  }
}
