import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { BLOCK_SERIES, WindowTotals, blockRowOf, decodeBlock, encodeBlock } from './daily-block.js';

const count = fc.oneof(fc.nat(3), fc.nat(300), fc.integer({ min: 0, max: 2 ** 40 }));
const durationMs = fc.oneof(fc.nat(600_000), fc.integer({ min: -(2 ** 45), max: 2 ** 45 }));
const row = fc.oneof(
  fc.tuple(count, durationMs).map(([passed, ms]) => [passed, 0, 0, 0, 0, 0, passed, 0, 0, ms, 0]),
  fc
    .tuple(fc.array(count, { minLength: 9, maxLength: 9 }), durationMs, durationMs)
    .map(([counts, passedMs, failedMs]) => [...counts, passedMs, failedMs]),
);
const rows = fc
  .array(fc.tuple(fc.nat(BLOCK_SERIES - 1), row), { maxLength: BLOCK_SERIES })
  .map((entries) => new Map(entries));

describe('daily block', () => {
  it('gives back what was put in, in the order of slots', () => {
    fc.assert(
      fc.property(rows, (block) => {
        const back = decodeBlock(encodeBlock(block));
        expect([...back]).toEqual([...block].sort(([left], [right]) => left - right));
      }),
    );
  });

  it('takes a few bytes for a test that passed and names every sum by its column', () => {
    const delta = {
      package: 'p',
      name: 'A',
      passed: 1,
      failed: 2,
      skipped: 3,
      error: 4,
      timedout: 5,
      notrun: 6,
      runs: 7,
      failedRuns: 8,
      mixedRuns: 9,
      passedMs: -10,
      failedMs: 11,
    };
    const { package: _package, name: _name, ...sums } = delta;
    const window = new WindowTotals();
    window.add(2, 20_000, encodeBlock(new Map([[5, blockRowOf(delta)]])));
    expect(window.of(2 * BLOCK_SERIES + 5)).toEqual({
      ...sums,
      clusters: 1,
      squares: 49 / 8,
      firstDay: 20_000,
      lastDay: 20_000,
    });
    expect(window.of(2 * BLOCK_SERIES + 4)).toBeUndefined();
    expect(window.of(5)).toBeUndefined();
    const plain = encodeBlock(new Map([[0, [10, 0, 0, 0, 0, 0, 10, 0, 0, 300_000, 0]]]));
    expect(plain).toHaveLength(5);
  });

  it('refuses bytes that end in a number or name a slot that a block does not have', () => {
    const bytes = encodeBlock(new Map([[3, [1, 1, 0, 0, 0, 0, 2, 1, 1, 5000, 70_000]]]));
    for (let length = 1; length < bytes.length; length += 1) {
      expect(() => decodeBlock(bytes.subarray(0, length))).toThrow(RangeError);
    }
    expect(() => decodeBlock(Buffer.from([0xff, 0x7f, 1, 1]))).toThrow(RangeError);
    expect(() => decodeBlock(Buffer.alloc(20, 0xff))).toThrow(RangeError);
  });
});
