import { describe, expect, it } from 'vitest';

import { openFlakeStore } from './store/open.js';
import { results, runRecord } from './store/store-contract.test-kit.js';
import { readTestHistories } from './test-histories.js';

const DAY_20 = Date.UTC(2026, 0, 20, 12);
const test = { package: 'p', name: 'A' };

describe('history of tests before a run', () => {
  it('shows the runs of a failed test, oldest first, with k of n and its interval', async () => {
    await using store = await openFlakeStore(':memory:');
    await store.write([
      runRecord({ day: 1, results: results('A:P') }),
      runRecord({ day: 2, results: results('A:F'), url: 'https://ci.example.com/2' }),
      runRecord({ day: 3, results: results('A:FP') }),
      runRecord({ day: 4, results: results('A:S') }),
      runRecord({ day: 5, results: results('A:N') }),
    ]);
    const find = await readTestHistories(store, { inDetail: [{ test, environment: 'docker' }], beforeMs: DAY_20 });
    expect(find(test, 'docker')).toEqual({
      recent: 'pfkse',
      failed: 1,
      runs: 3,
      rate: 0.3333,
      low: expect.any(Number) as number,
      high: expect.any(Number) as number,
      usualMs: 1500,
      url: 'https://ci.example.com/2',
    });
    expect(find(test, 'kvm2')).toBeUndefined();
  });

  it('does not count the run itself nor later ones', async () => {
    await using store = await openFlakeStore(':memory:');
    await store.write([
      runRecord({ day: 1, results: results('A:P') }),
      runRecord({ day: 20, results: results('A:F', 'B:F') }),
      runRecord({ day: 21, results: results('A:F') }),
    ]);
    const find = await readTestHistories(store, { inDetail: [{ test, environment: 'docker' }], beforeMs: DAY_20 });
    expect(find(test, 'docker')).toMatchObject({ recent: 'p', failed: 0, runs: 1 });
    expect(find({ package: 'p', name: 'B' }, 'docker')).toBeUndefined();
  });

  it('has sums for tests that are not asked for in detail', async () => {
    await using store = await openFlakeStore(':memory:');
    await store.write([1, 2].map((day) => runRecord({ day, results: results('A:P') })));
    const find = await readTestHistories(store, { inDetail: [], beforeMs: DAY_20 });
    expect(find(test, 'docker')).toMatchObject({ recent: '', failed: 0, runs: 2, usualMs: 1000 });
  });

  it('takes a star in a name for a star, and runs left out of rates for nothing', async () => {
    await using store = await openFlakeStore(':memory:');
    await store.write([
      runRecord({ day: 1, results: results('A*:P', 'AB:F') }),
      runRecord({ day: 2, results: results('A*:F'), excluded: 'infrastructure' }),
    ]);
    const star = { package: 'p', name: 'A*' };
    const find = await readTestHistories(store, {
      inDetail: [{ test: star, environment: 'docker' }],
      beforeMs: DAY_20,
    });
    expect(find(star, 'docker')).toMatchObject({ recent: 'p', runs: 1 });
  });

  it('knows files without an environment by any word for none', async () => {
    await using store = await openFlakeStore(':memory:');
    await store.write([runRecord({ day: 1, environment: 'unknown', results: results('A:F') })]);
    const find = await readTestHistories(store, { inDetail: [{ test, environment: 'default' }], beforeMs: DAY_20 });
    expect(find(test, 'default')).toMatchObject({ recent: 'f', failed: 1, runs: 1 });
  });
});
