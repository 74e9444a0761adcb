import { open, readdir, readlink, statfs } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

import { z } from 'zod';

import { MkCiError, hostErrorOf, isMkCiError } from '../../errors.js';
import type { Exec } from '../../exec.js';
import { forEachFilledBlock } from '../../files.js';
import type { Hypervisor, VmFiles } from '../vm/index.js';
import type { GuestMemory } from './arguments.js';
import { connectQmp, type QmpClient } from './qmp.js';

/**
 * Memory of a machine in files, by way of QEMU's migration: the stream that another QEMU would be sent. Unlike a snapshot inside
 * the disk's file it can be loaded by any number of machines, each with a disk of its own.
 *
 * Gigabytes of a stream are read for seconds. Memory that lies in a file is copied as it is in place of that, and machines that
 * begin with the copy read of it what their guest looks at: the capability below leaves shared memory out of the stream, and to
 * the machine that begins its view is not shared.
 */

const IGNORE_SHARED = 'x-ignore-shared';

/** Gigabytes of memory are written or read. */
const MEMORY_MS = 300_000;
const POLL_MS = 50;
/** QEMU spares a network by default; this is a file. */
const BYTES_PER_SECOND = 2 ** 40;
/** Less free space than this where writing failed: it failed for that. */
const FULL_BYTES = 64 * 2 ** 20;

export interface QemuStatesOptions {
  readonly exec: Exec;
  /** File behind the memory of a machine that runs; `undefined` when it has none that can be read. */
  readonly memoryOf: (name: string) => Promise<string | undefined>;
  /** Starts a machine that waits for what it shall know. */
  readonly launch: (machine: VmFiles, memory: GuestMemory, signal: AbortSignal) => Promise<void>;
}

export function createQemuStates({ exec, memoryOf, launch }: QemuStatesOptions): NonNullable<Hypervisor['states']> {
  return {
    exec,
    save: async ({ record: { name }, paths }, { memory, act, signal }) => {
      const shared = await memoryOf(name);
      using qmp = await connectQmp(paths.monitorSocket, { signal });
      await qmp.execute('stop', undefined, { signal });
      try {
        await qmp.execute('migrate-set-parameters', { 'max-bandwidth': BYTES_PER_SECOND }, { signal });
        if (shared !== undefined) await setIgnoreShared(qmp, true);
        await qmp.execute('migrate', { uri: `exec:cat >${quote(memory.stream)}` }, { signal });
        const { status, reason } = await waitForMemory(qmp, signal);
        if (status !== 'completed') {
          throw (
            (await fullDiskOf(memory.stream)) ??
            new MkCiError('DRV_FAILED', { message: `the memory of ${name} can not be written (${status}): ${reason}` })
          );
        }
        if (shared !== undefined) await copyMemory(shared, memory.ram, signal);
        await act();
      } finally {
        // Also without the caller's patience: a machine that was only to be looked at goes on.
        await qmp.execute('migrate_cancel').catch(() => undefined);
        try {
          // Snapshots inside the disk have all of the memory in them.
          if (shared !== undefined) await setIgnoreShared(qmp, false);
        } finally {
          await qmp.execute('cont');
        }
      }
    },
    start: async (machine, { stream, ram }, signal) => {
      await launch(machine, ram === undefined ? { kind: 'own' } : { kind: 'view', file: ram }, signal);
      const { record, paths } = machine;
      try {
        using qmp = await connectQmp(paths.monitorSocket, { signal });
        if (ram !== undefined) await setIgnoreShared(qmp, true);
        await qmp.execute('migrate-incoming', { uri: `exec:cat ${quote(stream)}` }, { signal });
        const { status, reason } = await waitForMemory(qmp, signal);
        if (status !== 'completed') throw new MkCiError('DRV_FAILED', { message: `QEMU: ${status} ${reason}` });
        if (ram !== undefined) await setIgnoreShared(qmp, false);
        // It is as the saved one was at that moment: standing still.
        await qmp.execute('cont', undefined, { signal });
      } catch (error) {
        signal.throwIfAborted();
        if (!isMkCiError(error, 'DRV_FAILED')) throw error;
        throw new MkCiError('K8S_SNAPSHOT_BROKEN', {
          message: `${record.name} can not go on with the memory in ${stream}: ${error.message}`,
          cause: error,
        });
      }
    },
  };
}

async function setIgnoreShared(qmp: QmpClient, state: boolean): Promise<void> {
  await qmp.execute('migrate-set-capabilities', { capabilities: [{ capability: IGNORE_SHARED, state }] });
}

/**
 * The file behind the memory of a QEMU on Linux, as `memory-backend-memfd` makes it. Works for processes of this user.
 *
 * @returns a path that can be read; `undefined` where there is none
 */
export async function findSharedMemory(pid: number): Promise<string | undefined> {
  const folder = `/proc/${pid}/fd`;
  const names = await readdir(folder).catch(() => []);
  for (const name of names) {
    const target = await readlink(join(folder, name)).catch(() => '');
    if (target.startsWith('/memfd:memory-backend-memfd')) return join(folder, name);
  }
  return undefined;
}

/** Of a machine that stands still. What it never touched becomes holes. @param to is there, and empty */
async function copyMemory(from: string, to: string, signal: AbortSignal): Promise<void> {
  await using source = await open(from, 'r');
  await using target = await open(to, 'r+');
  try {
    const bytes = await forEachFilledBlock(source, async (block, offset) => {
      signal.throwIfAborted();
      await target.write(block, 0, block.length, offset);
    });
    await target.truncate(bytes);
  } catch (error) {
    throw hostErrorOf(error, to) ?? error;
  }
}

/** Inside a command that QEMU gives to a shell. */
function quote(path: string): string {
  return `'${path.replaceAll("'", `'\\''`)}'`;
}

const statusSchema = z.object({ status: z.string().optional(), 'error-desc': z.string().optional() });

export interface MemoryProgress {
  /** `none` before it began. */
  readonly status: string;
  readonly reason: string;
  readonly hasEnded: boolean;
}

/** Answer to `query-migrate`. Pure. @see QEMU's `MigrationStatus` */
export function readProgress(answer: unknown): MemoryProgress {
  const { status = 'none', 'error-desc': reason = '' } = statusSchema.parse(answer);
  return { status, reason, hasEnded: ['completed', 'failed', 'cancelled'].includes(status) };
}

async function waitForMemory(qmp: QmpClient, signal: AbortSignal): Promise<MemoryProgress> {
  const deadline = performance.now() + MEMORY_MS;
  for (;;) {
    const progress = readProgress(await qmp.execute('query-migrate', undefined, { signal, timeoutMs: MEMORY_MS }));
    if (progress.hasEnded) return progress;
    if (performance.now() > deadline) {
      throw new MkCiError('DRV_FAILED', { message: `QEMU: memory not moved within ${MEMORY_MS / 1000} s` });
    }
    await delay(POLL_MS, undefined, { signal });
  }
}

async function fullDiskOf(path: string): Promise<MkCiError | undefined> {
  const { bavail, bsize } = await statfs(dirname(path));
  return bavail * bsize < FULL_BYTES ? new MkCiError('HOST_DISK_FULL', { message: dirname(path) }) : undefined;
}
