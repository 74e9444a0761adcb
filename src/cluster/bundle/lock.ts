import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { copyFile, link, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

import { z } from 'zod';

import { hostErrorOf, systemErrorCode } from '../../errors.js';
import { makeFolder } from '../../files.js';
import { identifySelf, isAlive, type ProcessIdentity } from '../../process.js';

/** Who holds a lock, as written into the lock file. */
export interface LockHolder extends ProcessIdentity {
  /** What the holder does, for those who wait. */
  readonly purpose: string;
  /** ISO 8601. */
  readonly since: string;
  /** Tells two locks of one process apart. */
  readonly token: string;
}

const holderSchema = z.object({
  pid: z.number().int().positive(),
  startedAt: z.string(),
  purpose: z.string(),
  since: z.string(),
  token: z.string(),
}) satisfies z.ZodType<LockHolder>;

export interface LockOptions {
  readonly purpose: string;
  readonly signal: AbortSignal;
  /** Called when the lock is held by a living process, once per holder. */
  readonly onWait?: (holder: LockHolder) => void;
  /** @default 200 */
  readonly pollMs?: number;
  /** @default identifySelf() */
  readonly self?: ProcessIdentity;
  /** @default isAlive */
  readonly alive?: (identity: ProcessIdentity) => boolean;
}

/**
 * Takes a lock between processes of this host: a file that names its holder by pid and start time. A holder that died,
 * however, holds nothing: the next one takes over. Waits while the holder lives.
 *
 * What the lock guards must stay correct when two holders meet, because a take-over can, in a window of microseconds
 * between three processes, let two in: here it only saves work, and every result becomes visible by one rename.
 *
 * @throws the signal's reason; {MkCiError} `HOST_DISK_FULL`, `HOST_PERMISSION`
 */
export async function acquireLock(path: string, options: LockOptions): Promise<AsyncDisposable> {
  const { signal, pollMs = 200, self = identifySelf(), alive = isAlive } = options;
  const token = randomBytes(8).toString('hex');
  const own: LockHolder = { ...self, purpose: options.purpose, since: new Date().toISOString(), token };
  const claim = `${path}.${token}`;
  let announced = '';
  try {
    await makeFolder(dirname(path));
    await writeFile(claim, JSON.stringify(own), { flag: 'wx' });
    for (;;) {
      signal.throwIfAborted();
      // A link appears with its content or not at all, so nobody reads a half-written lock.
      if (await tryLink(claim, path)) break;
      const holder = await readHolder(path);
      if (holder === 'none') continue;
      if (holder === 'broken' || !alive(holder)) {
        await removeStale(path, holder === 'broken' ? undefined : holder.token);
        continue;
      }
      if (announced !== holder.token) {
        announced = holder.token;
        options.onWait?.(holder);
      }
      await delay(pollMs, undefined, { signal }).catch(() => undefined);
    }
  } catch (error) {
    signal.throwIfAborted();
    throw hostErrorOf(error, path) ?? error;
  } finally {
    await rm(claim, { force: true }).catch(() => undefined); // why it is not there is being thrown
  }
  return {
    [Symbol.asyncDispose]: async () => {
      const holder = await readHolder(path);
      if (holder !== 'none' && holder !== 'broken' && holder.token === token) await rm(path, { force: true });
    },
  };
}

async function tryLink(from: string, to: string): Promise<boolean> {
  try {
    await link(from, to);
    return true;
  } catch (error) {
    const code = systemErrorCode(error);
    if (code === 'EEXIST') return false;
    // A file system without links: the copy can be read half-written, which then counts as broken and is taken over.
    if (code === 'EPERM' || code === 'ENOTSUP') return await tryCopy(from, to);
    throw error;
  }
}

async function tryCopy(from: string, to: string): Promise<boolean> {
  try {
    await copyFile(from, to, constants.COPYFILE_EXCL);
    return true;
  } catch (error) {
    if (systemErrorCode(error) === 'EEXIST') return false;
    throw error;
  }
}

async function readHolder(path: string): Promise<LockHolder | 'none' | 'broken'> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return 'none';
    throw error;
  }
  try {
    return holderSchema.parse(JSON.parse(text));
  } catch {
    return 'broken';
  }
}

/** Moves the lock aside and looks again at what was moved: a lock that somebody took in the meantime is put back. */
async function removeStale(path: string, staleToken: string | undefined): Promise<void> {
  const aside = `${path}.stale-${randomBytes(6).toString('hex')}`;
  try {
    await rename(path, aside);
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return;
    throw error;
  }
  const moved = await readHolder(aside);
  if (moved !== 'none' && moved !== 'broken' && moved.token !== staleToken) await tryLink(aside, path);
  await rm(aside, { force: true });
}
