import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { assignEvenly, assignShards } from './shards.js';

/** Time of the longest shard in the best of all ways to spread them, each of which is tried. */
function bestPossible(durations: readonly number[], total: number): number {
  const loads = Array.from({ length: total }, () => 0);
  let best = Infinity;
  const place = (index: number): void => {
    const duration = durations[index];
    if (duration === undefined) {
      best = Math.min(best, Math.max(...loads));
      return;
    }
    for (const [shard, load] of loads.entries()) {
      if (load + duration >= best || loads.indexOf(load) < shard) continue; // no better, or the same as on an earlier one
      loads[shard] = load + duration;
      place(index + 1);
      loads[shard] = load;
    }
  };
  place(0);
  return best;
}

describe('shards', () => {
  const items = fc.uniqueArray(
    fc.record({ key: fc.string({ minLength: 1 }), durationMs: fc.nat({ max: 10_000 }) }, { requiredKeys: ['key'] }),
    { selector: ({ key }) => key, maxLength: 40 },
  );

  it('gives every item to exactly one shard, the same way each time', () => {
    fc.assert(
      fc.property(items, fc.integer({ min: 1, max: 8 }), (list, total) => {
        const shards = assignShards(list, total);
        expect(shards).toHaveLength(total);
        expect(shards.flat().sort()).toEqual(list.map(({ key }) => key).sort());
        expect(assignShards(list, total)).toEqual(shards);
      }),
    );
  });

  it('is at most 4/3 of the best possible with known durations', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 1, max: 1000 }), { minLength: 1, maxLength: 9 }),
        fc.integer({ min: 1, max: 5 }),
        (durations, total) => {
          const list = durations.map((durationMs, index) => ({ key: String(index), durationMs }));
          const loads = assignShards(list, total).map((keys) =>
            keys.reduce((sum, key) => sum + (durations[Number(key)] ?? 0), 0),
          );
          const best = bestPossible(durations, total);
          expect(Math.max(...loads)).toBeGreaterThanOrEqual(best);
          expect(Math.max(...loads)).toBeLessThanOrEqual((4 / 3 - 1 / (3 * total)) * best + 1e-9);
        },
      ),
      // The best possible is 1343 here, far more than the mean and the longest tell.
      { examples: [[[354, 494, 989, 989, 989, 495, 989], 5]] },
    );
  });

  it('puts the longest first: 8 7 6 5 4 on two shards is 8+5+4 and 7+6', () => {
    const list = [4, 5, 6, 7, 8].map((durationMs) => ({ key: String(durationMs), durationMs }));
    expect(assignShards(list, 2)).toEqual([
      ['4', '5', '8'],
      ['6', '7'],
    ]);
  });

  it('moves no other test when one is added and no duration is known', () => {
    const names = Array.from({ length: 50 }, (_, index) => `Test${index}`);
    const before = assignShards(
      names.map((key) => ({ key })),
      4,
    );
    const after = assignShards(
      [...names, 'TestNew'].map((key) => ({ key })),
      4,
    );
    expect(after.map((shard) => shard.filter((key) => key !== 'TestNew'))).toEqual(before);
  });

  it('spreads cells over machines evenly, whatever their order in the list', () => {
    fc.assert(
      fc.property(fc.uniqueArray(fc.string(), { maxLength: 30 }), fc.integer({ min: 1, max: 6 }), (keys, total) => {
        const sizes = assignEvenly(keys, total).map((shard) => shard.length);
        expect(Math.max(...sizes) - Math.min(...sizes)).toBeLessThanOrEqual(1);
        const reversed = assignEvenly([...keys].reverse(), total);
        expect(reversed.map((shard) => [...shard].sort())).toEqual(
          assignEvenly(keys, total).map((shard) => [...shard].sort()),
        );
      }),
    );
  });
});
