import { isMkCiError, MkCiError } from '../../errors.js';
import type { Exec } from '../../exec.js';
import type { Architecture } from '../driver.js';
import {
  SSH_PORT,
  createProcessMachines,
  machinePaths,
  makeOverlay,
  readMachineRecord,
  type Hypervisor,
  type VmFiles,
} from '../vm/index.js';
import type { AcceleratorChoice } from './accelerator-choice.js';
import { GUEST_ADDRESS, GUEST_GATEWAY, GUEST_NAMESERVER, type MachinePlan } from './arguments.js';
import { checkQemu } from './check.js';
import { tellTime } from './clock-console.js';
import { endMachine, launchMachine, readRunState } from './machine-process.js';
import { parseForwards } from './qmp-messages.js';
import { connectQmp } from './qmp.js';
import { readSecondNetwork, waitForSecondNetwork } from './second-network.js';
import { createQemuSnapshots } from './snapshots.js';
import { createQemuStates, findSharedMemory } from './states.js';

/** From the start to a login, and from the power button to the end. A translated guest on a busy host needs minutes. */
export const QEMU_LIMITS = {
  kvm: { bootMs: 90_000, stopMs: 45_000 },
  hvf: { bootMs: 90_000, stopMs: 45_000 },
  tcg: { bootMs: 900_000, stopMs: 90_000 },
} as const;

const LOOPBACK = '127.0.0.1';

export interface QemuOptions {
  readonly exec: Exec;
  readonly folder: string;
  readonly choice: AcceleratorChoice;
  readonly architecture: Architecture;
  readonly platform: NodeJS.Platform;
  readonly memoryMiB: number;
  /** @default {@link findSharedMemory} */
  readonly findMemory?: typeof findSharedMemory;
}

/** QEMU itself: each machine is a process with a monitor, alone in QEMU's user network. */
export function createQemu(options: QemuOptions): Hypervisor {
  const { exec, folder, choice, architecture, platform, memoryMiB, findMemory = findSharedMemory } = options;
  const machines = createProcessMachines(folder, {
    stateOf: async (paths, _identity, signal) => await readRunState(paths, signal),
  });

  const launch = async (
    { record, paths }: VmFiles,
    signal: AbortSignal,
    begin: Pick<MachinePlan, 'memory' | 'snapshot' | 'isIncoming'>,
  ): Promise<void> => {
    const { boot } = record;
    const code = boot.kind === 'firmware' && boot.code !== undefined ? { code: boot.code } : {};
    const plan: MachinePlan = {
      name: record.name,
      architecture: record.architecture,
      accelerator: await choice.choose(signal),
      cpus: record.cpus,
      memoryMiB: record.memoryMiB,
      boot: boot.kind === 'kernel' ? boot : { kind: 'firmware', ...code },
      disk: paths.disk,
      seed: paths.seed,
      qmpSocket: paths.monitorSocket,
      pidFile: paths.pidFile,
      serialLog: paths.serialLog,
      ...(record.hasClockConsole === true ? { clockSocket: paths.clockSocket } : {}),
      forwardedPorts: record.forwardedPorts,
      ...(record.secondNetwork === undefined ? {} : { secondNetwork: record.secondNetwork }),
      ...begin,
    };
    const identity = await launchMachine(plan, { exec, paths, machinesFolder: folder, labels: record.labels, signal });
    if (record.secondNetwork?.kind !== 'socket') return;
    try {
      using qmp = await connectQmp(paths.monitorSocket, { signal });
      const ask = async (): Promise<string> => await qmp.monitor('info network', { signal });
      await waitForSecondNetwork(record.secondNetwork, ask, signal);
    } catch (error) {
      await endMachine(identity, paths);
      throw error;
    }
  };
  const command = async (name: string, verb: 'stop' | 'cont', signal: AbortSignal): Promise<void> => {
    using qmp = await connectQmp(machinePaths(folder, name).monitorSocket, { signal });
    await qmp.execute(verb, undefined, { signal });
  };

  return {
    ...{ find: machines.find, list: machines.list },
    check: async (signal) => await checkQemu({ exec, choice, architecture, platform, memoryMiB, signal }),
    limits: async (signal) => QEMU_LIMITS[await choice.choose(signal)],
    isIsolated: async () => true,
    reserveAddress: async () => ({
      address: GUEST_ADDRESS,
      prefix: 24,
      gateway: GUEST_GATEWAY,
      nameserver: GUEST_NAMESERVER,
    }),
    secondNetwork: ({ options: given = {} }) => readSecondNetwork(given, platform),
    makeDisk: async (disk, { image, spec, signal }) => {
      await makeOverlay(disk, { exec, image, spec, signal });
    },
    define: async () => undefined, // it is its folder, until it runs
    start: async (files, signal) => {
      await launch(files, signal, { memory: { kind: platform === 'linux' ? 'shared' : 'own' } });
    },
    pressPowerButton: async ({ record }, signal) => {
      await machines.withProcess(record.name, async (paths, identity) => {
        try {
          using qmp = await connectQmp(paths.monitorSocket, { signal });
          await qmp.execute('system_powerdown', undefined, { signal });
        } catch (error) {
          signal.throwIfAborted();
          if (!isMkCiError(error)) throw error; // without a monitor only force is left
          await endMachine(identity, paths);
        }
      });
    },
    kill: async (name) => {
      await machines.withProcess(name, async (paths, identity) => {
        await endMachine(identity, paths);
      });
    },
    pause: async (name, signal) => {
      await command(name, 'stop', signal);
    },
    resume: async (name, signal) => {
      await command(name, 'cont', signal);
    },
    reach: async ({ paths }, signal) => {
      try {
        using qmp = await connectQmp(paths.monitorSocket, { signal });
        const ports = parseForwards(await qmp.monitor('info usernet', { signal }));
        const at = (port: number) => {
          const found = ports.get(port);
          return found === undefined ? undefined : { host: LOOPBACK, port: found };
        };
        const ssh = at(SSH_PORT);
        return ssh && { ssh, internalAddress: GUEST_ADDRESS, endpointOf: at };
      } catch (error) {
        signal.throwIfAborted();
        // The monitor of a machine that is translated on a busy host may be late: it is asked again.
        if (!isMkCiError(error)) throw error;
        return undefined;
      }
    },
    setClock: async ({ record, paths }, at, signal) =>
      record.hasClockConsole === true && (await tellTime(paths.clockSocket, at, signal)),
    remove: async () => undefined,
    states: createQemuStates({
      exec,
      memoryOf: async (name) => {
        const identity = await machines.identityOf(name);
        return identity === undefined ? undefined : await findMemory(identity.pid);
      },
      launch: async (files, memory, signal) => {
        await launch(files, signal, { memory, isIncoming: true });
      },
    }),
    snapshots: createQemuSnapshots({
      exec,
      folder,
      isRunning: async (name) => (await machines.identityOf(name)) !== undefined,
      launch: async (name, snapshot, signal) => {
        const paths = machinePaths(folder, name);
        const record = await readMachineRecord(paths);
        if (record === undefined) throw new MkCiError('DRV_MACHINE_NOT_FOUND', { message: `${name} (qemu)` });
        await launch({ record, paths }, signal, { memory: { kind: 'own' }, snapshot });
      },
    }),
  };
}
