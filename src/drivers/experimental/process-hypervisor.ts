import { spawn } from 'node:child_process';
import { constants } from 'node:fs';
import { copyFile, open, rm, stat, truncate } from 'node:fs/promises';

import { MkCiError, hostErrorOf } from '../../errors.js';
import type { Argv, Exec } from '../../exec.js';
import {
  LABEL_VARIABLE,
  formatLabels,
  identifyProcess,
  signalProcess,
  type Labels,
  type ProcessIdentity,
} from '../../process.js';
import {
  SSH_PORT,
  createProcessMachines,
  hasEnded,
  noteProcess,
  processLabels,
  type Hypervisor,
  type MachinePaths,
  type ProcessStates,
  type VmFiles,
} from '../vm/index.js';
import { checkTool, type CheckedTool } from './tool-hypervisor.js';

const LIMITS = { bootMs: 180_000, stopMs: 60_000 } as const;
const KILL_MS = 5000;

/** Starts a program that goes on when this one ends. @returns its process id */
export type SpawnDetached = (
  argv: Argv,
  options: { readonly logFile: string; readonly labels: Labels },
) => Promise<number>;

/** A program that is one machine for as long as it runs. */
export interface ProcessTraits extends CheckedTool, ProcessStates {
  argv(machine: VmFiles): Argv;
  pressPowerButton(paths: MachinePaths, identity: ProcessIdentity, signal: AbortSignal): Promise<void>;
  pause(paths: MachinePaths, identity: ProcessIdentity, signal: AbortSignal): Promise<void>;
  resume(paths: MachinePaths, identity: ProcessIdentity, signal: AbortSignal): Promise<void>;
  /** `undefined` while the guest has none. */
  addressOf(machine: VmFiles): Promise<string | undefined>;
}

export interface ProcessHypervisorOptions {
  readonly exec: Exec;
  readonly folder: string;
  readonly traits: ProcessTraits;
  /** @default 22 */
  readonly sshPort?: number;
  readonly spawnDetached?: SpawnDetached;
}

export function createProcessHypervisor(options: ProcessHypervisorOptions): Hypervisor {
  const { exec, folder, traits, sshPort = SSH_PORT, spawnDetached = spawnAndLeave } = options;
  const machines = createProcessMachines(folder, traits);

  return {
    ...{ find: machines.find, list: machines.list },
    check: async (signal) => await checkTool(exec, traits, signal),
    limits: async () => LIMITS,
    accept: (image) => {
      if (image.boot.kind === 'kernel' && image.diskFormat === 'raw') return;
      throw new MkCiError('DRV_UNSUPPORTED', {
        message: `driver ${traits.driver} starts the kernel of an image of mk-ci, and ${image.disk} is none`,
        advice: 'Leave the node image away; mk-ci makes it.',
      });
    },
    isIsolated: async () => false,
    reserveAddress: async () => 'dhcp',
    makeDisk: async (disk, { image, spec }) => {
      try {
        // Shares its blocks with the image where the file system can, as APFS does.
        await copyFile(image.disk, disk, constants.COPYFILE_FICLONE);
        const bytes = (spec.diskMiB ?? 0) * 1024 * 1024;
        if (bytes > (await stat(disk)).size) await truncate(disk, bytes);
      } catch (error) {
        throw hostErrorOf(error, disk) ?? error;
      }
    },
    define: async () => undefined, // it is its folder, until it runs
    start: async (files, signal) => {
      signal.throwIfAborted();
      const { record, paths } = files;
      await rm(paths.monitorSocket, { force: true });
      const labels = processLabels(folder, record.name, record.labels);
      const pid = await spawnDetached(traits.argv(files), { logFile: `${paths.folder}/${traits.driver}.log`, labels });
      const identity = identifyProcess(pid);
      if (identity === undefined) {
        const message = `${traits.driver} of ${record.name} ended as soon as it ran`;
        throw new MkCiError('DRV_FAILED', { message, advice: `See ${paths.folder}/${traits.driver}.log.` });
      }
      await noteProcess(paths, identity);
    },
    pressPowerButton: async ({ record }, signal) => {
      await machines.withProcess(record.name, async (paths, identity) => {
        await traits.pressPowerButton(paths, identity, signal);
      });
    },
    kill: async (name) => {
      await machines.withProcess(name, async (_, identity) => {
        signalProcess(identity, 'SIGKILL');
        if (await hasEnded(identity, KILL_MS, undefined)) return;
        throw new MkCiError('DRV_FAILED', { message: `${traits.driver} (process ${identity.pid}) can not be ended` });
      });
    },
    pause: async (name, signal) => {
      await machines.withProcess(name, async (paths, identity) => {
        await traits.pause(paths, identity, signal);
      });
    },
    resume: async (name, signal) => {
      await machines.withProcess(name, async (paths, identity) => {
        await traits.resume(paths, identity, signal);
      });
    },
    reach: async (files) => {
      const host = await traits.addressOf(files);
      return host === undefined
        ? undefined
        : { ssh: { host, port: sshPort }, internalAddress: host, endpointOf: (port) => ({ host, port }) };
    },
    remove: async () => undefined,
  };
}

/** A group of its own, output into a file. */
export const spawnAndLeave: SpawnDetached = async ([program, ...args], { logFile, labels }) => {
  await using log = await open(logFile, 'a', 0o600);
  const env = { ...process.env, [LABEL_VARIABLE]: formatLabels(labels) };
  const child = spawn(program, args, { detached: true, stdio: ['ignore', log.fd, log.fd], env });
  return await new Promise((resolve, reject) => {
    child.once('error', (cause) => {
      reject(new MkCiError('HOST_MISSING_TOOL', { message: program, cause }));
    });
    child.once('spawn', () => {
      child.unref();
      resolve(child.pid ?? 0);
    });
  });
};
