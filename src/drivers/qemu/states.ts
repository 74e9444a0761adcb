import { statfs } from 'node:fs/promises';
import { dirname } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

import { z } from 'zod';

import { MkCiError, isMkCiError } from '../../errors.js';
import type { Exec } from '../../exec.js';
import type { Hypervisor, VmFiles } from '../vm/index.js';
import { connectQmp, type QmpClient } from './qmp.js';

/**
 * Memory of a machine in a file, by way of QEMU's migration: the stream that another QEMU would be sent. Unlike a snapshot inside
 * the disk's file it can be loaded by any number of machines, each with a disk of its own.
 */

/** Gigabytes of memory are written or read. */
const MEMORY_MS = 300_000;
const POLL_MS = 50;
/** QEMU spares a network by default; this is a file. */
const BYTES_PER_SECOND = 2 ** 40;
/** Less free space than this where writing failed: it failed for that. */
const FULL_BYTES = 64 * 2 ** 20;

export interface QemuStatesOptions {
  readonly exec: Exec;
  /** Starts a machine that waits for its memory. */
  readonly launch: (machine: VmFiles, signal: AbortSignal) => Promise<void>;
}

export function createQemuStates({ exec, launch }: QemuStatesOptions): NonNullable<Hypervisor['states']> {
  return {
    exec,
    save: async ({ record: { name }, paths }, { memory, act, signal }) => {
      using qmp = await connectQmp(paths.monitorSocket, { signal });
      await qmp.execute('stop', undefined, { signal });
      try {
        await qmp.execute('migrate-set-parameters', { 'max-bandwidth': BYTES_PER_SECOND }, { signal });
        await qmp.execute('migrate', { uri: `exec:cat >${quote(memory)}` }, { signal });
        const { status, reason } = await waitForMemory(qmp, signal);
        if (status !== 'completed') {
          throw (
            (await fullDiskOf(memory)) ??
            new MkCiError('DRV_FAILED', { message: `the memory of ${name} can not be written (${status}): ${reason}` })
          );
        }
        await act();
      } finally {
        // Also without the caller's patience: a machine that was only to be looked at goes on.
        await qmp.execute('migrate_cancel').catch(() => undefined);
        await qmp.execute('cont');
      }
    },
    start: async (machine, memory, signal) => {
      await launch(machine, signal);
      const { record, paths } = machine;
      try {
        using qmp = await connectQmp(paths.monitorSocket, { signal });
        await qmp.execute('migrate-incoming', { uri: `exec:cat ${quote(memory)}` }, { signal });
        const { status, reason } = await waitForMemory(qmp, signal);
        if (status !== 'completed') throw new MkCiError('DRV_FAILED', { message: `QEMU: ${status} ${reason}` });
        // It is as the saved one was at that moment: standing still.
        await qmp.execute('cont', undefined, { signal });
      } catch (error) {
        signal.throwIfAborted();
        if (!isMkCiError(error, 'DRV_FAILED')) throw error;
        throw new MkCiError('K8S_SNAPSHOT_BROKEN', {
          message: `${record.name} can not go on with the memory in ${memory}: ${error.message}`,
          cause: error,
        });
      }
    },
  };
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
