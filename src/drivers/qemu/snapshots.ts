import { z } from 'zod';

import { MkCiError } from '../../errors.js';
import type { Exec } from '../../exec.js';
import type { ProcessIdentity } from '../../process.js';
import type { Machine, MachineSnapshots } from '../driver.js';
import { checkSnapshotName, type MachinePaths, type MachineRecord } from '../vm/index.js';
import { connectQmp } from './qmp.js';

/** Disk and memory of a machine, kept inside its qcow2 file. */

/** Gigabytes of memory are written or read. */
const SNAPSHOT_MS = 300_000;
const LIST_MS = 30_000;

export interface QemuSnapshotsOptions {
  readonly exec: Exec;
  readonly recordOf: (name: string) => Promise<{ readonly record: MachineRecord; readonly paths: MachinePaths }>;
  readonly processOf: (name: string, paths: MachinePaths) => Promise<ProcessIdentity | undefined>;
  /** Starts a machine that does not run from a snapshot, and waits for its guest. */
  readonly launch: (
    record: MachineRecord,
    paths: MachinePaths,
    signal: AbortSignal,
    snapshot: string,
  ) => Promise<Machine>;
  /** Waits for the guest of a machine that was taken back, and sets its clock. */
  readonly resume: (
    record: MachineRecord,
    paths: MachinePaths,
    identity: ProcessIdentity,
    signal: AbortSignal,
  ) => Promise<Machine>;
}

export function createQemuSnapshots(options: QemuSnapshotsOptions): MachineSnapshots {
  const { exec, recordOf, processOf, launch, resume } = options;

  /** Runs a line of the monitor that says something only when it fails. */
  const act = async (paths: MachinePaths, line: string, signal: AbortSignal): Promise<void> => {
    using qmp = await connectQmp(paths.monitorSocket, { signal });
    const said = await qmp.monitor(line, { signal, timeoutMs: SNAPSHOT_MS });
    if (said !== '') throw snapshotError(said);
    // QEMU goes on by itself, except when it was stopped before.
    await qmp.execute('cont', undefined, { signal });
  };
  const imageCommand = async (args: readonly string[], signal: AbortSignal): Promise<string> =>
    (await exec(['qemu-img', ...args], { timeoutMs: LIST_MS, signal })).stdout;

  return {
    save: async (machine, snapshot, signal) => {
      checkSnapshotName(snapshot);
      const { record, paths } = await recordOf(machine);
      const identity = await processOf(machine, paths);
      if (identity === undefined) throw new MkCiError('DRV_FAILED', { message: `${machine} does not run` });
      await act(paths, `savevm ${snapshot}`, signal);
      await resume(record, paths, identity, signal);
    },
    restore: async (machine, snapshot, signal) => {
      checkSnapshotName(snapshot);
      const { record, paths } = await recordOf(machine);
      const identity = await processOf(machine, paths);
      if (identity !== undefined) {
        await act(paths, `loadvm ${snapshot}`, signal);
        return await resume(record, paths, identity, signal);
      }
      await launch(record, paths, signal, snapshot);
      const started = await processOf(machine, paths);
      if (started === undefined) throw new MkCiError('DRV_FAILED', { message: `${machine} ended while it started` });
      return await resume(record, paths, started, signal);
    },
    list: async (machine, signal) => {
      const { paths } = await recordOf(machine);
      // `-U`: the file is in use by the machine; its list of snapshots is only read.
      return parseSnapshots(await imageCommand(['info', '-U', '--output=json', paths.disk], signal));
    },
    delete: async (machine, snapshot, signal) => {
      checkSnapshotName(snapshot);
      const { paths } = await recordOf(machine);
      if ((await processOf(machine, paths)) !== undefined) {
        using qmp = await connectQmp(paths.monitorSocket, { signal });
        const said = await qmp.monitor(`delvm ${snapshot}`, { signal, timeoutMs: SNAPSHOT_MS });
        if (said !== '') throw snapshotError(said);
      } else {
        await imageCommand(['snapshot', '-d', snapshot, paths.disk], signal);
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
