import { z } from 'zod';

import { MkCiError } from '../../errors.js';
import type { Exec } from '../../exec.js';
import { machinePaths, type Hypervisor } from '../vm/index.js';
import { connectQmp } from './qmp.js';

/** Disk and memory of a machine, kept inside its qcow2 file. */

/** Gigabytes of memory are written or read. */
const SNAPSHOT_MS = 300_000;
const LIST_MS = 30_000;

export interface QemuSnapshotsOptions {
  readonly exec: Exec;
  readonly folder: string;
  readonly isRunning: (name: string) => Promise<boolean>;
  /** Starts a machine that does not run from a snapshot. */
  readonly launch: (name: string, snapshot: string, signal: AbortSignal) => Promise<void>;
}

export function createQemuSnapshots(options: QemuSnapshotsOptions): NonNullable<Hypervisor['snapshots']> {
  const { exec, folder, isRunning, launch } = options;

  /** Runs a line of the monitor that says something only when it fails. */
  const act = async (name: string, line: string, signal: AbortSignal): Promise<void> => {
    using qmp = await connectQmp(machinePaths(folder, name).monitorSocket, { signal });
    const said = await qmp.monitor(line, { signal, timeoutMs: SNAPSHOT_MS });
    if (said !== '') throw snapshotError(said);
    // QEMU goes on by itself, except when it was stopped before.
    await qmp.execute('cont', undefined, { signal });
  };
  const imageCommand = async (args: readonly string[], signal: AbortSignal): Promise<string> =>
    (await exec(['qemu-img', ...args], { timeoutMs: LIST_MS, signal })).stdout;

  return {
    save: async (name, snapshot, signal) => {
      await act(name, `savevm ${snapshot}`, signal);
    },
    restore: async (name, snapshot, signal) => {
      if (await isRunning(name)) await act(name, `loadvm ${snapshot}`, signal);
      else await launch(name, snapshot, signal);
    },
    list: async (name, signal) => {
      // `-U`: the file is in use by the machine; its list of snapshots is only read.
      const { disk } = machinePaths(folder, name);
      return parseSnapshots(await imageCommand(['info', '-U', '--output=json', disk], signal));
    },
    delete: async (name, snapshot, signal) => {
      const { disk, monitorSocket } = machinePaths(folder, name);
      if (await isRunning(name)) {
        using qmp = await connectQmp(monitorSocket, { signal });
        const said = await qmp.monitor(`delvm ${snapshot}`, { signal, timeoutMs: SNAPSHOT_MS });
        if (said !== '') throw snapshotError(said);
      } else {
        await imageCommand(['snapshot', '-d', snapshot, disk], signal);
      }
    },
  };
}

const infoSchema = z.object({ snapshots: z.array(z.object({ name: z.string() })).optional() });

/** Names of snapshots from `qemu-img info --output=json`. Pure. @throws {MkCiError} `DRV_FAILED` for other output */
export function parseSnapshots(text: string): string[] {
  try {
    return (infoSchema.parse(JSON.parse(text)).snapshots ?? []).map(({ name }) => name);
  } catch (error) {
    throw new MkCiError('DRV_FAILED', { message: 'qemu-img info says what can not be read', cause: error });
  }
}

/** What the monitor said when it refused. Pure. */
export function snapshotError(said: string): MkCiError {
  const text = said.replace(/^Error: /, '').split(/\r?\n/, 1)[0] ?? '';
  if (/does not exist|does not have the requested snapshot|can't find/i.test(text)) {
    return new MkCiError('K8S_SNAPSHOT_NOT_FOUND', { message: text });
  }
  return new MkCiError(/no space left/i.test(said) ? 'HOST_DISK_FULL' : 'DRV_FAILED', { message: text });
}
