import { readFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';

import { MkCiError } from '../../errors.js';
import type { Labels } from '../../process.js';
import type {
  Driver,
  DriverInfo,
  Machine,
  MachineSnapshots,
  MachineSpec,
  MachineState,
  MachineStates,
  MachineSummary,
} from '../driver.js';
import { createSshConnection, createSshMachine } from '../ssh-connection/index.js';
import { setClock, waitForGuest } from './guest.js';
import type { Hypervisor, VmFiles, VmReach } from './hypervisor.js';
import { imageFor, makeMachineFiles, refuseSecondOf, withdraw, type HostOfMachines } from './machine-files.js';
import {
  listMachineFolders,
  machinePaths,
  readMachineRecord,
  removeMachineFolder,
  specDigest,
  type MachinePaths,
} from './machine-folder.js';
import { beginState, copyDisk, finishState, memoryIn, memoryOf, placeState, readState } from './machine-state.js';
import { checkSnapshotName } from './snapshot-name.js';
import { findVmImage } from './vm-image.js';

const RESIZE_MS = 60_000;
/** Of the time of a boot, and at least a minute: a translated guest on a busy host takes half a minute for a command. */
const RESUME_SHARE = 1 / 3;
const MIN_RESUME_MS = 60_000;

export interface VmDriverOptions extends HostOfMachines {
  readonly info: DriverInfo;
  readonly hypervisor: Hypervisor;
  readonly now?: () => Date;
  /** Between two looks at a machine that is awaited. @default 500 */
  readonly pollMs?: number;
}

/** A driver for machines of a hypervisor: files of each machine, order of the steps, ssh as the way in. */
export function createVmDriver(options: VmDriverOptions): Driver {
  const { info, hypervisor, machinesFolder, now = () => new Date(), pollMs = 500 } = options;

  const filesOf = async (name: string): Promise<VmFiles> => {
    const paths = machinePaths(machinesFolder, name);
    const record = await readMachineRecord(paths);
    if (record === undefined) throw new MkCiError('DRV_MACHINE_NOT_FOUND', { message: `${name} (${info.name})` });
    return { record, paths };
  };
  const stateOf = async (name: string, signal: AbortSignal): Promise<MachineState | undefined> =>
    (await hypervisor.find(name, signal))?.state;
  const isGone = (state: MachineState | undefined): boolean => state === undefined || state === 'stopped';

  const machineAt = async ({ record, paths }: VmFiles, reach: VmReach): Promise<Machine> => {
    const privateKey = await readFile(paths.key, 'utf8');
    const target = { ...reach.ssh, user: 'root', privateKey, hostKey: record.hostKey };
    return createSshMachine({
      name: record.name,
      connection: createSshConnection({ target }),
      internalAddress: reach.internalAddress,
      endpointOf: reach.endpointOf,
    });
  };
  const machineOf = async (files: VmFiles, signal: AbortSignal): Promise<Machine | undefined> => {
    const reach = await hypervisor.reach(files, signal);
    return reach && (await machineAt(files, reach));
  };

  /** Waits until the guest has an address, then until it takes commands there. */
  const waitForMachine = async (
    files: VmFiles,
    { limitMs, goesOn }: { readonly limitMs: number; readonly goesOn: boolean },
    signal: AbortSignal,
  ): Promise<Machine> => {
    const { name } = files.record;
    const startedAt = performance.now();
    const placeOf = (reach: VmReach | undefined): string => `${reach?.ssh.host ?? ''}:${reach?.ssh.port ?? 0}`;
    const hasEnded = async (waitMs: number): Promise<boolean> => {
      if (waitMs > 0) await delay(waitMs, undefined, { signal });
      return isGone(await stateOf(name, signal));
    };
    for (;;) {
      const reach = await hypervisor.reach(files, signal);
      const leftMs = limitMs - (performance.now() - startedAt);
      if (reach !== undefined) {
        const machine = await machineAt(files, reach);
        const moved = new Error('the guest has another address now'); // it was that of its last run
        try {
          await waitForGuest(machine, {
            serialLog: files.paths.serialLog,
            limitMs: leftMs,
            goesOn,
            hasEnded: async (waitMs) => {
              if (await hasEnded(waitMs)) return true;
              if (placeOf(await hypervisor.reach(files, signal)) !== placeOf(reach)) throw moved;
              return false;
            },
            signal,
          });
          return machine;
        } catch (error) {
          if (error !== moved) throw error;
          continue;
        }
      }
      if (leftMs <= 0 || (await hasEnded(pollMs))) {
        const what = leftMs <= 0 ? `got no address within ${Math.round(limitMs / 1000)} s` : 'ended while it started';
        throw new MkCiError('DRV_FAILED', {
          message: `the guest of ${name} ${what}`,
          advice: `See ${files.paths.serialLog}, and that the network of the hypervisor gives addresses.`,
        });
      }
    }
  };

  const waitForResumed = async (files: VmFiles, signal: AbortSignal): Promise<Machine> => {
    const { bootMs } = await hypervisor.limits(signal);
    const limitMs = Math.max(MIN_RESUME_MS, bootMs * RESUME_SHARE);
    return await waitForMachine(files, { limitMs, goesOn: true }, signal);
  };

  /** Waits for a guest that goes on where it stood still, and sets its clock, which stood still with it. */
  const catchUp = async (files: VmFiles, signal: AbortSignal): Promise<Machine> => {
    const isSet = (await hypervisor.setClock?.(files, now, signal)) ?? false;
    const machine = isSet ? await running(files, signal) : await waitForResumed(files, signal);
    if (!isSet) await setClock(machine, now(), signal);
    return machine;
  };

  const launch = async (
    files: VmFiles,
    signal: AbortSignal,
    resume?: (files: VmFiles) => Promise<void>,
  ): Promise<Machine> => {
    const { bootMs } = await hypervisor.limits(signal);
    try {
      if (resume !== undefined) {
        await resume(files);
        return await catchUp(files, signal);
      }
      await hypervisor.start(files, signal);
      return await waitForMachine(files, { limitMs: bootMs, goesOn: false }, signal);
    } catch (error) {
      await hypervisor.kill(files.record.name);
      throw error;
    }
  };

  const unpause = async (name: string, signal: AbortSignal): Promise<void> => {
    const files = await filesOf(name);
    if ((await stateOf(name, signal)) !== 'paused') return;
    await hypervisor.resume(name, signal);
    await catchUp(files, signal);
  };

  const running = async (files: VmFiles, signal: AbortSignal): Promise<Machine> =>
    (await machineOf(files, signal)) ?? (await waitForResumed(files, signal));

  const start = async (name: string, signal: AbortSignal): Promise<Machine> => {
    signal.throwIfAborted();
    const files = await filesOf(name);
    const state = await stateOf(name, signal);
    if (state === undefined) await hypervisor.define(files, signal); // somebody removed it, its disk is still there
    if (state === 'broken') await hypervisor.kill(name);
    if (isGone(state) || state === 'broken') return await launch(files, signal);
    if (state === 'paused') await unpause(name, signal);
    return await running(files, signal);
  };

  const removeAll = async (name: string): Promise<void> => {
    await hypervisor.kill(name);
    await hypervisor.remove(name);
    await removeMachineFolder(machinePaths(machinesFolder, name));
  };

  const startSame = async (spec: MachineSpec, signal: AbortSignal): Promise<Machine> => {
    const { record } = await filesOf(spec.name);
    if (record.specDigest !== specDigest(spec)) {
      const message = `${spec.name} of another owner or configuration (${info.name})`;
      throw new MkCiError('DRV_MACHINE_EXISTS', { message });
    }
    return await start(spec.name, signal);
  };

  const make = async (spec: MachineSpec, state: string | undefined, signal: AbortSignal): Promise<Machine> => {
    signal.throwIfAborted();
    const have = await readMachineRecord(machinePaths(machinesFolder, spec.name));
    if (have !== undefined) return await startSame(spec, signal);
    // Without a record it is what a killed process left.
    await removeAll(spec.name);
    const image = await imageFor(spec, options);
    hypervisor.accept?.(image);
    const secondNetwork = hypervisor.secondNetwork?.(spec);
    const { states } = hypervisor;
    const saved = state === undefined ? undefined : await readState(state, image);
    const undo = async (error: unknown): Promise<unknown> =>
      await withdraw(spec.name, error, async () => {
        await removeAll(spec.name);
      });
    const makeDisk = async (disk: string): Promise<void> => {
      await hypervisor.makeDisk(disk, { image, spec, signal });
    };
    const place =
      saved === undefined || states === undefined
        ? {}
        : {
            saved: {
              facts: saved.facts,
              place: async (paths: MachinePaths) =>
                await placeState(saved, paths, { image, exec: states.exec, signal }),
            },
          };
    // Who waits there is in the setup of our own images.
    const hasClockConsole = hypervisor.setClock !== undefined && image.boot.kind === 'kernel';
    const files = await hypervisor
      .reserveAddress(spec, signal)
      .then(
        async (network) =>
          await makeMachineFiles(spec, {
            ...{ machinesFolder, image, network, secondNetwork, now, hasClockConsole, makeDisk },
            ...place,
          }),
      )
      .catch(async (error: unknown) => {
        throw await undo(error);
      });
    if (files === undefined) return await startSame(spec, signal);
    try {
      // One that begins with a state may take the place of the machine that it is of, which is there until then.
      if (saved === undefined && (await hypervisor.isIsolated(signal))) {
        await refuseSecondOf(files.record, { machinesFolder, driver: info.name });
      }
      await hypervisor.define(files, signal);
      if (saved !== undefined) {
        return await launch(files, signal, async () => {
          await states?.start(files, memoryOf(saved), signal);
        });
      }
      const machine = await launch(files, signal);
      if (spec.diskMiB !== undefined && image.boot.kind === 'kernel') {
        await machine.exec(['resize2fs', '/dev/vda'], { timeoutMs: RESIZE_MS, signal });
      }
      return machine;
    } catch (error) {
      throw await undo(error);
    }
  };

  const stop = async (name: string, signal: AbortSignal): Promise<void> => {
    const files = await filesOf(name);
    const state = await stateOf(name, signal);
    if (isGone(state)) return;
    if (state === 'paused') await hypervisor.resume(name, signal);
    if (state !== 'broken') {
      const { stopMs } = await hypervisor.limits(signal);
      const deadline = performance.now() + stopMs;
      await hypervisor.pressPowerButton(files, signal);
      while (performance.now() < deadline) {
        if (isGone(await stateOf(name, signal))) return;
        await delay(pollMs, undefined, { signal });
      }
    }
    await hypervisor.kill(name);
  };

  const list = async (labels: Labels, signal: AbortSignal): Promise<readonly MachineSummary[]> => {
    signal.throwIfAborted();
    const found = new Map((await hypervisor.list(signal)).map((machine) => [machine.name, machine]));
    const names = new Set([...(await listMachineFolders(machinesFolder)), ...found.keys()]);
    const machines: MachineSummary[] = [];
    for (const name of names) {
      const record = await readMachineRecord(machinePaths(machinesFolder, name));
      const { state = 'stopped', labels: own = {} } = found.get(name) ?? {};
      // One without its keys can not be used again.
      machines.push({ name, state: record === undefined ? 'broken' : state, labels: record?.labels ?? own });
    }
    const wanted = Object.entries(labels);
    return machines.filter((machine) => wanted.every(([key, value]) => machine.labels[key] === value));
  };

  const kept = hypervisor.snapshots;
  const snapshots: MachineSnapshots | undefined = kept && {
    save: async (name, snapshot, signal) => {
      checkSnapshotName(snapshot);
      const files = await filesOf(name);
      if (isGone(await stateOf(name, signal))) throw new MkCiError('DRV_FAILED', { message: `${name} does not run` });
      await kept.save(name, snapshot, signal);
      await catchUp(files, signal);
    },
    restore: async (name, snapshot, signal) => {
      checkSnapshotName(snapshot);
      const files = await filesOf(name);
      await kept.restore(name, snapshot, signal);
      return await catchUp(files, signal);
    },
    list: async (name, signal) => {
      await filesOf(name);
      return await kept.list(name, signal);
    },
    delete: async (name, snapshot, signal) => {
      checkSnapshotName(snapshot);
      await filesOf(name);
      await kept.delete(name, snapshot, signal);
    },
  };

  const { states: kind } = hypervisor;
  const states: MachineStates | undefined = kind && {
    save: async (name, folder, signal) => {
      const files = await filesOf(name);
      if (isGone(await stateOf(name, signal))) throw new MkCiError('DRV_FAILED', { message: `${name} does not run` });
      await beginState(folder);
      await kind.save(files, {
        memory: memoryIn(folder),
        act: async () => {
          await copyDisk(files, folder, { exec: kind.exec, signal });
        },
        signal,
      });
      await finishState(files, folder);
      await catchUp(files, signal);
    },
    create: async (spec, folder, signal) => await make(spec, folder, signal),
    canRepeat: (given) => hypervisor.secondNetwork?.({ options: given }) === undefined,
  };

  return {
    info,
    check: async (signal) => {
      signal.throwIfAborted();
      return await hypervisor.check(signal);
    },
    images: {
      identify: async (reference, signal) => {
        signal.throwIfAborted();
        return (await findVmImage(reference, options))?.key;
      },
    },
    machines: {
      create: async (spec, signal) => await make(spec, undefined, signal),
      start,
      stop,
      unpause,
      list,
      attach: async (name, signal) => {
        const files = await filesOf(name);
        const state = (await stateOf(name, signal)) ?? 'stopped';
        if (state !== 'running') throw new MkCiError('DRV_FAILED', { message: `${name} does not run (${state})` });
        return await running(files, signal);
      },
      pause: async (name, signal) => {
        await filesOf(name);
        if ((await stateOf(name, signal)) === 'running') await hypervisor.pause(name, signal);
      },
      remove: async (name, signal) => {
        signal.throwIfAborted();
        await removeAll(name);
      },
    },
    ...(snapshots === undefined ? {} : { snapshots }),
    ...(states === undefined ? {} : { states }),
  };
}
