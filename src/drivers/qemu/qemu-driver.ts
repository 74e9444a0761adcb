import { readFile } from 'node:fs/promises';
import { totalmem } from 'node:os';
import { join } from 'node:path';

import { MkCiError, isMkCiError } from '../../errors.js';
import type { Exec } from '../../exec.js';
import type { Labels, ProcessIdentity } from '../../process.js';
import type { Architecture, Driver, Machine, MachineSpec, MachineState, MachineSummary } from '../driver.js';
import { createSshConnection, createSshMachine } from '../ssh-connection/index.js';
import {
  SSH_PORT,
  findMachineProcess,
  findVmImage,
  hasEnded,
  imageFor,
  listMachineFolders,
  listMachineProcesses,
  machinePaths,
  makeMachineFiles,
  makeOverlay,
  readMachineRecord,
  refuseSecondOf,
  removeMachineFolder,
  setClock,
  specDigest,
  waitForGuest,
  withdraw,
  type MachinePaths,
  type MachineRecord,
} from '../vm/index.js';
import { createAcceleratorChoice } from './accelerator-choice.js';
import { GUEST_ADDRESS, GUEST_GATEWAY, GUEST_NAMESERVER, type MachinePlan } from './arguments.js';
import { checkQemu } from './check.js';
import { endMachine, launchMachine, readRunState } from './machine-process.js';
import { parseForwards } from './qmp-messages.js';
import { connectQmp } from './qmp.js';
import { createQemuSnapshots } from './snapshots.js';

export interface QemuDriverOptions {
  readonly exec: Exec;
  /** One folder a machine. */
  readonly machinesFolder: string;
  /** One folder an image; see `vm-image.ts`. */
  readonly imagesFolder: string;
  readonly now?: () => Date;
  /** @default those of this host */
  readonly platform?: NodeJS.Platform;
  readonly architecture?: string;
  readonly memoryBytes?: number;
}

/** From the start of QEMU to a login. A translated guest on a busy host needs minutes. */
const BOOT_MS = { kvm: 90_000, hvf: 90_000, tcg: 900_000 } as const;
/** A translated control plane needs some ten minutes beside other work, a real one half a minute; which one it is, nobody knows yet. */
const START_MS = 1_800_000;
/** Time for an orderly end of the guest. */
const STOP_MS = { kvm: 45_000, hvf: 45_000, tcg: 90_000 } as const;
const IMAGE_MS = 60_000;
const CLOCK_MS = 60_000;

/**
 * Machines in QEMU, without privileges: user network with ports forwarded from the loopback, disks in layers above one
 * image that is never written, ssh as the way in.
 *
 * What belongs to a machine: its folder (record, disk, keys, serial log) and its process, both of which carry its labels.
 */
export function createQemuDriver(options: QemuDriverOptions): Driver {
  const { exec, machinesFolder, imagesFolder, now = () => new Date(), platform = process.platform } = options;
  const guest: Architecture = (options.architecture ?? process.arch) === 'arm64' ? 'arm64' : 'amd64';
  const memoryMiB = Math.floor((options.memoryBytes ?? totalmem()) / 1024 / 1024);
  const choice = createAcceleratorChoice({
    exec,
    architecture: guest,
    platform,
    cacheFile: join(machinesFolder, '.accelerator.json'),
  });

  const recordOf = async (name: string): Promise<{ readonly record: MachineRecord; readonly paths: MachinePaths }> => {
    const paths = machinePaths(machinesFolder, name);
    const record = await readMachineRecord(paths);
    if (record === undefined) throw new MkCiError('DRV_MACHINE_NOT_FOUND', { message: `${name} (qemu)` });
    return { record, paths };
  };
  const processOf = async (name: string, paths: MachinePaths): Promise<ProcessIdentity | undefined> =>
    await findMachineProcess(machinesFolder, name, paths);
  const stateOf = async (name: string, paths: MachinePaths, signal: AbortSignal): Promise<MachineState> =>
    (await processOf(name, paths)) === undefined ? 'stopped' : await readRunState(paths, signal);

  /** A machine whose QEMU runs: its ports are what QEMU took. */
  const machineOf = async (record: MachineRecord, paths: MachinePaths, signal: AbortSignal): Promise<Machine> => {
    using qmp = await connectQmp(paths.monitorSocket, { signal });
    const ports = parseForwards(await qmp.monitor('info usernet', { signal }));
    const sshPort = ports.get(SSH_PORT);
    if (sshPort === undefined) throw new MkCiError('DRV_FAILED', { message: `${record.name} has no port for ssh` });
    const privateKey = await readFile(paths.key, 'utf8');
    const target = { host: '127.0.0.1', port: sshPort, user: 'root', privateKey, hostKey: record.hostKey };
    return createSshMachine({
      name: record.name,
      connection: createSshConnection({ target }),
      internalAddress: GUEST_ADDRESS,
      endpointOf: (port) => {
        const found = ports.get(port);
        return found === undefined ? undefined : { host: '127.0.0.1', port: found };
      },
    });
  };

  const waitFor = async (
    machine: Machine,
    paths: MachinePaths,
    identity: ProcessIdentity,
    limitMs: number,
    signal: AbortSignal,
  ): Promise<void> => {
    const ended = async (waitMs: number): Promise<boolean> => await hasEnded(identity, waitMs, signal);
    await waitForGuest(machine, { serialLog: paths.serialLog, limitMs, hasEnded: ended, signal });
  };

  const launch = async (
    record: MachineRecord,
    paths: MachinePaths,
    signal: AbortSignal,
    snapshot?: string,
  ): Promise<Machine> => {
    const accelerator = await choice.choose(signal);
    const plan: MachinePlan = {
      name: record.name,
      architecture: record.architecture,
      accelerator,
      cpus: record.cpus,
      memoryMiB: record.memoryMiB,
      boot:
        record.boot.kind === 'kernel'
          ? record.boot
          : { kind: 'firmware', ...(record.boot.code === undefined ? {} : { code: record.boot.code }) },
      disk: paths.disk,
      seed: paths.seed,
      qmpSocket: paths.monitorSocket,
      pidFile: paths.pidFile,
      serialLog: paths.serialLog,
      forwardedPorts: record.forwardedPorts,
      ...(snapshot === undefined ? {} : { snapshot }),
    };
    const identity = await launchMachine(plan, { exec, paths, machinesFolder, labels: record.labels, signal });
    try {
      const machine = await machineOf(record, paths, signal);
      await waitFor(machine, paths, identity, BOOT_MS[accelerator], signal);
      return machine;
    } catch (error) {
      await endMachine(identity, paths);
      throw error;
    }
  };

  const start = async (name: string, signal: AbortSignal): Promise<Machine> => {
    signal.throwIfAborted();
    const { record, paths } = await recordOf(name);
    if ((await processOf(name, paths)) === undefined) return await launch(record, paths, signal);
    if ((await readRunState(paths, signal)) === 'paused') await unpause(name, signal);
    return await machineOf(record, paths, signal);
  };

  const unpause = async (name: string, signal: AbortSignal): Promise<void> => {
    const { record, paths } = await recordOf(name);
    if ((await stateOf(name, paths, signal)) !== 'paused') return;
    using qmp = await connectQmp(paths.monitorSocket, { signal });
    await qmp.execute('cont', undefined, { signal });
    qmp[Symbol.dispose]();
    await setClock(await machineOf(record, paths, signal), now(), signal);
  };

  const removeAll = async (name: string): Promise<void> => {
    const paths = machinePaths(machinesFolder, name);
    const identity = await processOf(name, paths);
    if (identity !== undefined) await endMachine(identity, paths);
    await removeMachineFolder(paths);
  };

  const create = async (spec: MachineSpec, signal: AbortSignal): Promise<Machine> => {
    signal.throwIfAborted();
    const paths = machinePaths(machinesFolder, spec.name);
    const have = await readMachineRecord(paths);
    if (have !== undefined) return await startSame(have, spec, signal);
    // Without a record it is what a killed process left, or a process whose folder was deleted.
    await removeAll(spec.name);
    const image = await imageFor(spec, { machinesFolder, imagesFolder, architecture: guest, memoryMiB });
    const made = await makeMachineFiles(spec, {
      machinesFolder,
      image,
      network: { address: GUEST_ADDRESS, prefix: 24, gateway: GUEST_GATEWAY, nameserver: GUEST_NAMESERVER },
      now,
      makeDisk: async (disk) => {
        await makeOverlay(disk, { exec, image, spec, signal });
      },
    });
    if (made === undefined) return await startSame((await recordOf(spec.name)).record, spec, signal);
    try {
      await refuseSecondOf(made.record, { machinesFolder, driver: 'qemu' });
      const machine = await launch(made.record, paths, signal);
      if (spec.diskMiB !== undefined && image.boot.kind === 'kernel') {
        await machine.exec(['resize2fs', '/dev/vda'], { timeoutMs: IMAGE_MS, signal });
      }
      return machine;
    } catch (error) {
      throw await withdraw(spec.name, error, async () => {
        await removeAll(spec.name);
      });
    }
  };
  const startSame = async (have: MachineRecord, spec: MachineSpec, signal: AbortSignal): Promise<Machine> => {
    if (have.specDigest !== specDigest(spec)) {
      throw new MkCiError('DRV_MACHINE_EXISTS', { message: `${spec.name} of another owner or configuration (qemu)` });
    }
    return await start(spec.name, signal);
  };

  const stop = async (name: string, signal: AbortSignal): Promise<void> => {
    const { paths } = await recordOf(name);
    const identity = await processOf(name, paths);
    if (identity === undefined) return;
    const accelerator = await choice.choose(signal);
    try {
      using qmp = await connectQmp(paths.monitorSocket, { signal });
      await qmp.execute('cont', undefined, { signal });
      await qmp.execute('system_powerdown', undefined, { signal });
    } catch (error) {
      signal.throwIfAborted();
      if (!isMkCiError(error)) throw error; // without a monitor only force is left
      await endMachine(identity, paths);
      return;
    }
    if (!(await hasEnded(identity, STOP_MS[accelerator], signal))) await endMachine(identity, paths);
  };

  const list = async (labels: Labels, signal: AbortSignal): Promise<readonly MachineSummary[]> => {
    signal.throwIfAborted();
    const found = new Map<string, MachineSummary>();
    for (const name of await listMachineFolders(machinesFolder)) {
      const paths = machinePaths(machinesFolder, name);
      const record = await readMachineRecord(paths);
      const state = record === undefined ? 'broken' : await stateOf(name, paths, signal);
      found.set(name, { name, state, labels: record?.labels ?? {} });
    }
    // A process whose folder is gone, or has lost its record, is known by its own labels.
    for (const { name, labels: own } of listMachineProcesses(machinesFolder)) {
      const known = found.get(name);
      if (known === undefined || known.state === 'broken') found.set(name, { name, state: 'broken', labels: own });
    }
    const wanted = Object.entries(labels);
    return [...found.values()].filter((machine) => wanted.every(([key, value]) => machine.labels[key] === value));
  };

  return {
    info: {
      name: 'qemu',
      summary: 'virtual machines of QEMU: KVM, HVF or translation, no privileges',
      machines: 'created',
      bootstrap: 'kubeadm',
      maxMachines: 1,
      platforms: ['linux', 'darwin'],
      architectures: ['amd64', 'arm64'],
      containerRuntimes: ['containerd', 'docker'],
      experimental: true,
      startMs: START_MS,
    },
    check: async (signal) => await checkQemu({ exec, choice, architecture: guest, platform, memoryMiB, signal }),
    images: {
      identify: async (reference, signal) => {
        signal.throwIfAborted();
        return (await findVmImage(reference, { imagesFolder, architecture: guest }))?.key;
      },
    },
    machines: {
      create,
      start,
      stop,
      unpause,
      list,
      attach: async (name, signal) => {
        const { record, paths } = await recordOf(name);
        const state = await stateOf(name, paths, signal);
        if (state !== 'running') throw new MkCiError('DRV_FAILED', { message: `${name} does not run (${state})` });
        return await machineOf(record, paths, signal);
      },
      pause: async (name, signal) => {
        const { paths } = await recordOf(name);
        if ((await stateOf(name, paths, signal)) !== 'running') return;
        using qmp = await connectQmp(paths.monitorSocket, { signal });
        await qmp.execute('stop', undefined, { signal });
      },
      remove: async (name, signal) => {
        signal.throwIfAborted();
        await removeAll(name);
      },
    },
    snapshots: createQemuSnapshots({
      exec,
      recordOf,
      processOf,
      launch,
      resume: async (record, paths, identity, signal) => {
        const machine = await machineOf(record, paths, signal);
        await waitFor(machine, paths, identity, CLOCK_MS, signal);
        await setClock(machine, now(), signal);
        return machine;
      },
    }),
  };
}
