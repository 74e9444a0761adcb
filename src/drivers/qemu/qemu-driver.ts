import { stat, readFile, writeFile } from 'node:fs/promises';
import { totalmem } from 'node:os';
import { join } from 'node:path';

import { MkCiError, isMkCiError, messageOf } from '../../errors.js';
import { lastLines, type Exec } from '../../exec.js';
import { makeFolder } from '../../files.js';
import type { Labels, ProcessIdentity } from '../../process.js';
import type { Architecture, Driver, Machine, MachineSpec, MachineState, MachineSummary } from '../driver.js';
import { renderSeed } from '../seed/index.js';
import { createSshConnection, createSshMachine, generateKeyPair } from '../ssh-connection/index.js';
import { createAcceleratorChoice } from './accelerator-choice.js';
import { GUEST_ADDRESS, GUEST_GATEWAY, GUEST_NAMESERVER, type MachinePlan } from './arguments.js';
import { checkQemu } from './check.js';
import {
  listMachineFolders,
  machinePaths,
  makeMachineFolder,
  readMachineRecord,
  removeMachineFolder,
  specDigest,
  type MachinePaths,
  type MachineRecord,
} from './machine-folder.js';
import {
  endMachine,
  findMachineProcess,
  hasEnded,
  launchMachine,
  listMachineProcesses,
  readRunState,
} from './machine-process.js';
import { parseForwards } from './qmp-messages.js';
import { connectQmp } from './qmp.js';
import { createQemuSnapshots } from './snapshots.js';
import { findVmImage } from './vm-image.js';

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

const SSH_PORT = 22;
const DEFAULT_CPUS = 2;
const DEFAULT_MEMORY_MIB = 4096;
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
    using qmp = await connectQmp(paths.qmpSocket, { signal });
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

  /** Waits until commands run in the guest. Ends at once when QEMU does. */
  const waitForGuest = async (
    machine: Machine,
    {
      paths,
      identity,
      limitMs,
      signal,
    }: {
      readonly paths: MachinePaths;
      readonly identity: ProcessIdentity;
      readonly limitMs: number;
      readonly signal: AbortSignal;
    },
  ): Promise<void> => {
    const startedAt = performance.now();
    let seen = 'nothing yet';
    // A connection that QEMU takes while nobody listens in the guest may stay silent: short tries first, then longer ones.
    for (let tryMs = 2000; ; tryMs = Math.min(tryMs * 1.4, 20_000)) {
      const leftMs = limitMs - (performance.now() - startedAt);
      if (leftMs <= 0 || (await hasEnded(identity, 0, signal))) {
        const log = lastLines((await readFile(paths.serialLog, 'utf8').catch(() => '')).replaceAll('\0', ''), 15);
        const what = leftMs <= 0 ? `did not answer within ${Math.round(limitMs / 1000)} s` : 'ended while it started';
        throw new MkCiError('DRV_FAILED', {
          message: `the guest of ${machine.name} ${what}; ssh said last: ${seen}`,
          advice: `Read the last lines of its console below, or all of them in ${paths.serialLog}.`,
          details: { output: log.join('\n'), seen },
        });
      }
      try {
        await machine.exec(['true'], { timeoutMs: Math.min(tryMs, leftMs), graceMs: 0, signal });
        return;
      } catch (error) {
        signal.throwIfAborted();
        if (isMkCiError(error, 'NET_SSH_AUTH') || isMkCiError(error, 'NET_SSH_HOST_KEY')) throw error;
        seen = messageOf(error);
        await hasEnded(identity, 250, signal);
      }
    }
  };

  /** The guest's clock stands still while it does; certificates and leases depend on it. */
  const setClock = async (machine: Machine, signal: AbortSignal): Promise<void> => {
    await machine.exec(['date', '-u', '-s', `@${(now().getTime() / 1000).toFixed(3)}`], {
      timeoutMs: CLOCK_MS,
      signal,
    });
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
      qmpSocket: paths.qmpSocket,
      pidFile: paths.pidFile,
      serialLog: paths.serialLog,
      forwardedPorts: record.forwardedPorts,
      ...(snapshot === undefined ? {} : { snapshot }),
    };
    const identity = await launchMachine(plan, { exec, paths, machinesFolder, labels: record.labels, signal });
    try {
      const machine = await machineOf(record, paths, signal);
      await waitForGuest(machine, { paths, identity, limitMs: BOOT_MS[accelerator], signal });
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
    using qmp = await connectQmp(paths.qmpSocket, { signal });
    await qmp.execute('cont', undefined, { signal });
    qmp[Symbol.dispose]();
    await setClock(await machineOf(record, paths, signal), signal);
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
    const wanted = { cpus: spec.cpus ?? DEFAULT_CPUS, memoryMiB: spec.memoryMiB ?? DEFAULT_MEMORY_MIB };
    if (wanted.memoryMiB > memoryMiB) {
      throw new MkCiError('HOST_RESOURCES', {
        message: `a machine of ${wanted.memoryMiB} MiB on a host of ${memoryMiB} MiB`,
        advice: 'Give the machine less memory with options.memoryMiB.',
      });
    }
    const image =
      spec.image === undefined ? undefined : await findVmImage(spec.image, { imagesFolder, architecture: guest });
    if (image === undefined) {
      throw new MkCiError('DRV_FAILED', {
        message: `there is no disk image ${spec.image ?? ''}`,
        advice: 'Let mk-ci make it (mk-ci cluster start does), or give the path of one as node image.',
      });
    }
    const [hostKeys, userKeys] = await Promise.all([generateKeyPair(spec.name), generateKeyPair('mk-ci')]);
    const record: MachineRecord = {
      version: 1,
      name: spec.name,
      labels: { ...spec.labels },
      specDigest: specDigest(spec),
      network: spec.network ?? spec.name,
      imageKey: image.key,
      architecture: image.architecture,
      boot: image.boot,
      cpus: Math.max(1, Math.round(wanted.cpus)),
      memoryMiB: wanted.memoryMiB,
      forwardedPorts: [...new Set([SSH_PORT, ...(spec.publishedPorts ?? [])])],
      hostKey: hostKeys.publicKey,
      createdAt: now().toISOString(),
    };
    await makeFolder(machinesFolder, { mode: 0o700 });
    const isOurs = await makeMachineFolder(machinesFolder, record, async (hidden) => {
      await writeFile(hidden.key, userKeys.privateKey, { mode: 0o600 });
      const seed = renderSeed({
        name: spec.name,
        authorizedKey: userKeys.publicKey,
        hostKey: hostKeys,
        network: { address: GUEST_ADDRESS, prefix: 24, gateway: GUEST_GATEWAY, nameserver: GUEST_NAMESERVER },
        createdAt: now(),
      });
      await writeFile(hidden.seed, seed, { mode: 0o600 });
      await exec(
        [
          'qemu-img',
          'create',
          '-q',
          '-f',
          'qcow2',
          '-F',
          image.diskFormat,
          '-b',
          image.disk,
          hidden.disk,
          ...(await sizeArguments(spec, image.disk)),
        ],
        {
          timeoutMs: IMAGE_MS,
          signal,
        },
      );
    });
    if (!isOurs) return await startSame((await recordOf(spec.name)).record, spec, signal);
    try {
      await refuseSecondOf(record);
      const machine = await launch(record, paths, signal);
      if (spec.diskMiB !== undefined && image.boot.kind === 'kernel') {
        await machine.exec(['resize2fs', '/dev/vda'], { timeoutMs: IMAGE_MS, signal });
      }
      return machine;
    } catch (error) {
      await removeAll(spec.name).catch((second: unknown) => {
        throw new MkCiError('DRV_FAILED', {
          message: `${messageOf(error)}; and what was made of ${spec.name} could not be removed`,
          advice: 'Run mk-ci gc --yes.',
          cause: new AggregateError([error, second]),
        });
      });
      throw error;
    }
  };
  /** Each machine is alone in the user network of its QEMU. Checked when its record is there: of two at a time none gets by. */
  const refuseSecondOf = async ({ name, network }: MachineRecord): Promise<void> => {
    for (const other of await listMachineFolders(machinesFolder)) {
      const record = other === name ? undefined : await readMachineRecord(machinePaths(machinesFolder, other));
      if (record?.network !== network) continue;
      throw new MkCiError('DRV_UNSUPPORTED', {
        message: `machines of qemu can not reach each other: ${name} and ${other} of ${network}`,
        advice: 'Use one node, or the driver docker or podman for more.',
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
      using qmp = await connectQmp(paths.qmpSocket, { signal });
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
        using qmp = await connectQmp(paths.qmpSocket, { signal });
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
        await waitForGuest(machine, { paths, identity, limitMs: CLOCK_MS, signal });
        await setClock(machine, signal);
        return machine;
      },
    }),
  };
}

/** Size of a disk that is to be larger than its image; a smaller one would cut it off. */
async function sizeArguments({ diskMiB }: MachineSpec, image: string): Promise<string[]> {
  if (diskMiB === undefined) return [];
  const { size } = await stat(image);
  return diskMiB * 1024 * 1024 > size ? [`${diskMiB}M`] : [];
}
