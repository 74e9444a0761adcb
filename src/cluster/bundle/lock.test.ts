import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';

import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import { createTemporaryFolder, type TemporaryFolder } from '../../files.js';
import { identifySelf } from '../../process.js';
import { acquireLock, type LockHolder } from './lock.js';

let folder: TemporaryFolder;
let path: string;
beforeEach(async () => {
  folder = await createTemporaryFolder();
  path = join(folder.path, 'locks', 'x.lock');
});
afterEach(async () => {
  await folder[Symbol.asyncDispose]();
});

const WAIT = { timeout: 15_000, interval: 2 };
const options = { purpose: 'testing', signal: new AbortController().signal, pollMs: 2 };

describe('acquireLock', () => {
  it('lets one in at a time', async () => {
    let inside = 0;
    let most = 0;
    await Promise.all(
      Array.from({ length: 8 }, async () => {
        await using _lock = await acquireLock(path, options);
        inside += 1;
        most = Math.max(most, inside);
        for (let turn = 0; turn < 20; turn += 1) await nextTurn();
        inside -= 1;
      }),
    );
    expect(most).toBe(1);
    expect(await readdir(join(folder.path, 'locks'))).toEqual([]);
  });

  it('says once for whom it waits', async () => {
    const first = await acquireLock(path, { ...options, purpose: 'making bundle v1.36.3' });
    const seen: LockHolder[] = [];
    const second = acquireLock(path, { ...options, onWait: (holder) => seen.push(holder) });
    await vi.waitFor(() => {
      expect(seen).not.toEqual([]);
    }, WAIT);
    await first[Symbol.asyncDispose]();
    await (await second)[Symbol.asyncDispose]();
    expect(seen).toHaveLength(1);
    expect(seen[0]).toMatchObject({ pid: process.pid, purpose: 'making bundle v1.36.3' });
  });

  it('takes over from a process that died, also when its number lives on in another process', async () => {
    const dead = { ...identifySelf(), startedAt: '1@00000000' };
    await acquireLock(path, { ...options, self: dead });
    await using _lock = await acquireLock(path, { ...options, signal: AbortSignal.timeout(15_000) });
    expect(await readdir(join(folder.path, 'locks'))).toEqual(['x.lock']);
  });

  it('takes over a lock file that says nothing', async () => {
    await acquireLock(path, options);
    await writeFile(path, '{"pid":');
    await using _lock = await acquireLock(path, { ...options, signal: AbortSignal.timeout(15_000) });
    expect(await readdir(join(folder.path, 'locks'))).toEqual(['x.lock']);
  });

  it('stops waiting when aborted and leaves nothing behind', async () => {
    await using _first = await acquireLock(path, options);
    const abort = new AbortController();
    let isWaiting = false;
    const second = acquireLock(path, { ...options, signal: abort.signal, onWait: () => (isWaiting = true) });
    await vi.waitFor(() => {
      expect(isWaiting).toBe(true);
    }, WAIT);
    abort.abort(new Error('interrupted'));
    await expect(second).rejects.toThrow('interrupted');
    expect(await readdir(join(folder.path, 'locks'))).toEqual(['x.lock']);
  });

  it('does not release a lock that another has taken over', async () => {
    const dead = { ...identifySelf(), startedAt: '1@00000000' };
    const first = await acquireLock(path, { ...options, self: dead });
    await using _second = await acquireLock(path, options);
    await first[Symbol.asyncDispose]();
    expect(await readdir(join(folder.path, 'locks'))).toEqual(['x.lock']);
  });

  it('says so when the folder can not be written', async () => {
    await writeFile(join(folder.path, 'file'), '');
    await expect(acquireLock(join(folder.path, 'file', 'x.lock'), options)).rejects.toMatchObject({
      code: 'HOST_PERMISSION',
    });
  });
});
