import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { sampleHistory } from '../../../integration/support/flake-sample.js';
import { dispersionOf } from '../statistics/dispersion.js';
import { rateOf, rateOfSums } from '../charts/points.js';
import { readDaysOfBlocks, readDaysOfSeries, readSeriesDays, readSeriesSums } from './series-days.js';
import { createSqliteStore } from './sqlite-store.js';
import type { FlakeStore } from './store.js';

describe('days of series', () => {
  let store: FlakeStore;
  let ids: number[];
  const span = { from: 0, to: 40_000 };

  beforeAll(async () => {
    store = createSqliteStore(':memory:');
    await store.write(sampleHistory({ days: 30, runsADay: 3, tests: 20 }));
    ids = (await store.counts()).map(({ seriesId }) => seriesId);
  });

  afterAll(async () => {
    await store.close();
  });

  it('are the same by blocks and by rows, in every kind of run and span', async () => {
    const days = (await store.read((db) => readDaysOfSeries(db, ids, span))).get(ids[0] ?? 0) ?? [];
    const middle = days[Math.floor(days.length / 2)]?.day ?? expect.fail();
    for (const runs of ['all', 'base', 'pull-requests'] as const) {
      for (const part of [span, { from: middle - 3, to: middle + 3 }]) {
        for (const some of [ids, ids.slice(3, 7)]) {
          const byRows = await store.read((db) => readDaysOfSeries(db, some, part, runs));
          expect(byRows.size).toBeGreaterThan(0);
          const sorted = (map: typeof byRows) => [...map].sort(([left], [right]) => left - right);
          expect(sorted(await store.read((db) => readDaysOfBlocks(db, some, part, runs)))).toEqual(sorted(byRows));
          expect(sorted(await store.read((db) => readSeriesDays(db, some, part, runs)))).toEqual(sorted(byRows));
        }
      }
    }
  });

  it('add up to sums that give the same rate and interval', async () => {
    const days = await store.read((db) => readSeriesDays(db, ids, span));
    const sums = await store.read((db) => readSeriesSums(db, ids, span));
    expect(sums.size).toBe(ids.length);
    let bursty = 0;
    for (const [id, own] of days) {
      const clusters = own.map(({ passed, failed }) => ({ failures: failed, attempts: passed + failed }));
      if (dispersionOf(clusters) > 1.5) bursty += 1;
      const [left, right] = [rateOfSums(sums.get(id) ?? expect.fail()), rateOf(own)];
      expect(left).toMatchObject({ failed: right.failed, attempts: right.attempts });
      expect(left.low).toBeCloseTo(right.low, 9);
      expect(left.high).toBeCloseTo(right.high, 9);
    }
    expect(bursty).toBeGreaterThan(0);
  });

  it('are none of no series', async () => {
    expect(await store.read((db) => readSeriesDays(db, [], span))).toEqual(new Map());
    expect(await store.read((db) => readSeriesSums(db, [], span))).toEqual(new Map());
  });
});
