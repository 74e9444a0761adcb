import { describe, expect, it } from 'vitest';

import { checkInotify } from '../../drivers/inotify.js';
import { MkCiError } from '../../errors.js';
import type { PhaseEvent } from '../cluster.js';
import { createPhases } from '../phases.js';
import { whenRoom } from './when-room.js';

const { signal } = new AbortController();

/** Fails for want of inotify instances, as often as this. */
function startAfter(shortages: number): () => Promise<string> {
  let left = shortages;
  return async () => {
    left -= 1;
    const host = { limit: 128, canCount: true, countWithout: async () => (left >= 0 ? 100 : 0) };
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
    expect(told).toEqual([expect.stringContaining('inotify allows 128 instances, other programs have 100')]);
  });

  it('tells of a later start what comes after the want of room, or why it failed', async () => {
    const told: string[] = [];
    const options = {
      ...{ signal, pauseMs: 1, onWait: () => undefined },
      onPhase: ({ name, state }: PhaseEvent) => told.push(`${name} ${state}`),
    };
    const starts = (shortages: number, end: 'ok' | 'failed'): Promise<void> => {
      const attempt = startAfter(shortages);
      return whenRoom(async (onPhase) => {
        const phases = createPhases('demo', onPhase);
        await phases.run('image', async () => undefined);
        await phases.run('machines', async () => {
          await attempt();
          if (end === 'failed') throw new Error('no engine');
        });
        await phases.run('init', async () => undefined);
      }, options);
    };
    const first = ['image started', 'image ok', 'machines started', 'machines failed'];
    const last = ['image started', 'image ok', 'machines started', 'machines ok', 'init started', 'init ok'];
    await starts(3, 'ok');
    expect(told.splice(0)).toEqual([...first, ...last]);
    await starts(0, 'ok');
    expect(told.splice(0)).toEqual(last);
    await expect(starts(2, 'failed')).rejects.toThrow('no engine');
    expect(told).toEqual([...first, ...first]);
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
