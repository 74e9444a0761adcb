import { describe, expect, it } from 'vitest';

import { checkInotify } from '../../drivers/inotify.js';
import { MkCiError } from '../../errors.js';
import { whenRoom } from './when-room.js';

const { signal } = new AbortController();

/** Fails for want of inotify instances, as often as this. */
function startAfter(shortages: number): () => Promise<string> {
  let left = shortages;
  return async () => {
    left -= 1;
    const host = { limit: 128, now: 0, canCount: true, countWithout: async () => (left >= 0 ? 100 : 0) };
    await checkInotify('a', [{ id: 'a', startedAt: 0, instances: 33 }], host);
    return 'up';
  };
}

describe('whenRoom', () => {
  it('starts again until others have ended, and says once that it waits', async () => {
    const told: string[] = [];
    const options = { signal, pauseMs: 1, onWait: (error: Error) => told.push(error.message) };
    expect(await whenRoom(startAfter(0), options)).toBe('up');
    expect(told).toEqual([]);
    expect(await whenRoom(startAfter(3), options)).toBe('up');
    expect(told).toEqual([expect.stringContaining('inotify allows 128 instances, 100 are taken')]);
  });

  it('does not wait for ever, nor for anything else, nor when the run is ended', async () => {
    const onWait = (): void => undefined;
    await expect(whenRoom(startAfter(Infinity), { signal, pauseMs: 1, limitMs: 20, onWait })).rejects.toThrow(
      'inotify',
    );
    const failed = whenRoom(async () => await Promise.reject(new MkCiError('HOST_RESOURCES', { message: 'memory' })), {
      ...{ signal, onWait },
    });
    await expect(failed).rejects.toThrow('memory');
    const ended = AbortSignal.abort(new Error('interrupted'));
    await expect(whenRoom(startAfter(1), { signal: ended, onWait })).rejects.toThrow(/abort/);
  });
});
