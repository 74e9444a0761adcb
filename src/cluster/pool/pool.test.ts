import { setTimeout as delay } from 'node:timers/promises';

import { describe, expect, it } from 'vitest';

import { createPool, type PoolOptions } from './pool.js';

function rig(options: Partial<PoolOptions<number>> = {}) {
  let made = 0;
  const discarded: number[] = [];
  const failures: unknown[] = [];
  const pool = createPool<number>({
    size: { min: 1, max: 3 },
    prepare: async () => ++made,
    discard: async (item) => {
      discarded.push(item);
    },
    room: () => ({ fits: true, isIdle: true }),
    onFailure: (error) => failures.push(error),
    ...options,
  });
  return { pool, discarded, failures, made: () => made };
}

describe('createPool', () => {
  it('prepares nothing before it is asked, then up to its size, and hands out in order', async () => {
    const { pool, made } = rig();
    expect(await pool.take()).toBeUndefined();
    pool.fill();
    await delay(1);
    expect(made()).toBe(3);
    expect([await pool.take(), await pool.take()]).toEqual([1, 2]);
    pool.fill();
    await delay(1);
    expect(made()).toBe(5);
  });

  it('prepares only the least number on a busy host and none on a full one', async () => {
    const busy = rig({ room: () => ({ fits: true, isIdle: false }) });
    busy.pool.fill();
    await delay(1);
    expect(busy.made()).toBe(1);
    const full = rig({ room: () => ({ fits: false, isIdle: true }) });
    full.pool.fill();
    await delay(1);
    expect(full.made()).toBe(0);
  });

  it('waits for the one that is being prepared', async () => {
    const { pool } = rig({ size: { min: 1, max: 1 }, prepare: async () => await delay(5, 7) });
    pool.fill();
    expect(await pool.take()).toBe(7);
  });

  it('reports a failure once, does not try again by itself, and recovers', async () => {
    let tries = 0;
    const { pool, failures } = rig({
      size: { min: 1, max: 1 },
      prepare: async () => {
        tries += 1;
        if (tries === 1) throw new Error('no memory');
        return tries;
      },
    });
    pool.fill();
    expect(await pool.take()).toBeUndefined();
    await delay(1);
    expect([tries, failures.length]).toEqual([1, 1]);
    pool.fill();
    expect(await pool.take()).toBe(2);
  });

  it('aborts what it prepares and discards what nobody took when it is closed', async () => {
    const slow = rig({
      prepare: async (signal) => {
        await delay(60_000, undefined, { signal });
        return 1;
      },
    });
    slow.pool.fill();
    await slow.pool[Symbol.asyncDispose]();
    expect(slow.failures).toEqual([]);
    const { pool, discarded, made } = rig();
    pool.fill();
    await delay(1);
    await pool[Symbol.asyncDispose]();
    expect(discarded).toEqual([1, 2, 3]);
    pool.fill();
    await delay(1);
    expect(made()).toBe(3);
  });

  it('refreshes those that wait, again and again, and hands none out meanwhile', async () => {
    const refreshed: number[] = [];
    let going = 0;
    const { pool, failures } = rig({
      size: { min: 2, max: 2 },
      refreshMs: 1,
      refresh: async (item) => {
        going += 1;
        refreshed.push(item);
        await delay(2);
        going -= 1;
        if (item === 2) throw new Error('does not answer');
      },
    });
    pool.fill();
    await expect.poll(() => [1, 2].every((item) => refreshed.filter((other) => other === item).length > 2)).toBe(true);
    expect([await pool.take(), await pool.take()]).toEqual([1, 2]);
    expect(going).toBe(0);
    const count = refreshed.length;
    await delay(10);
    expect(refreshed).toHaveLength(count);
    expect(failures.length).toBeGreaterThan(2);
  });

  it('names everything that could not be discarded', async () => {
    const { pool } = rig({
      discard: async (item) => {
        throw new Error(`stuck ${item}`);
      },
    });
    pool.fill();
    await delay(1);
    await expect(pool[Symbol.asyncDispose]()).rejects.toMatchObject({ errors: [{}, {}, {}] });
  });
});
