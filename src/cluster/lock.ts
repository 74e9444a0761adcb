import { randomBytes } from 'node:crypto';
import { readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

import { MkCiError, hostErrorOf } from '../errors.js';
import { makeFolder } from '../files.js';
import { isAlive, type ProcessIdentity } from '../process.js';

export interface LockOptions {
  /** One folder for each thing that is locked; made when absent. */
  readonly folder: string;
  readonly owner: ProcessIdentity;
  readonly signal: AbortSignal;
  /** How long another holder is waited for. */
  readonly timeoutMs: number;
  /** Called once when somebody else holds the lock. */
  readonly onWait?: (holder: ProcessIdentity) => void;
}

/**
 * Holds a lock across the processes of this host until it is disposed or the owner ends.
 *
 * Each comer puts down a file whose name tells who it is, and only then looks around: who sees a living other takes its
 * own file back and tries again after a moment. Of two at the same time at least one sees the other. No file is written
 * twice and no name used twice, so clearing away after a dead owner can not hit a living one.
 *
 * @throws {MkCiError} `HOST_LOCKED` with the holder after `timeoutMs`; `HOST_PERMISSION`, `HOST_DISK_FULL`
 */
export async function acquireLock(options: LockOptions): Promise<AsyncDisposable> {
  const { folder, owner, signal, timeoutMs } = options;
  const deadline = performance.now() + timeoutMs;
  const name = `${owner.pid}~${owner.startedAt}~${randomBytes(6).toString('hex')}`;
  const path = join(folder, name);
  let waited = false;
  for (;;) {
    signal.throwIfAborted();
    try {
      await makeFolder(folder);
      await writeFile(path, '');
    } catch (error) {
      throw hostErrorOf(error, folder) ?? error;
    }
    const holder = await findOther(folder, name);
    if (holder === undefined) {
      return {
        [Symbol.asyncDispose]: async () => {
          await rm(path, { force: true });
        },
      };
    }
    await rm(path, { force: true });
    if (!waited) options.onWait?.(holder);
    waited = true;
    if (performance.now() >= deadline) {
      throw new MkCiError('HOST_LOCKED', { message: `process ${holder.pid} holds ${folder}` });
    }
    await delay(10 + Math.random() * 40, undefined, { signal }).catch(() => {
      signal.throwIfAborted();
    });
  }
}

async function findOther(folder: string, mine: string): Promise<ProcessIdentity | undefined> {
  for (const name of await readdir(folder)) {
    const match = /^(\d+)~([^~]*)~[0-9a-f]+$/.exec(name);
    if (match === null || name === mine) continue;
    const holder = { pid: Number(match[1]), startedAt: match[2] ?? '' };
    if (isAlive(holder)) return holder;
    await rm(join(folder, name), { force: true });
  }
  return undefined;
}
