import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { editDistance, suggest } from './suggest.js';

describe('suggest', () => {
  it('finds a slip of the finger and nothing far away', () => {
    expect(suggest('timeuotMinutes', ['timeoutMinutes', 'retries'])).toBe('timeoutMinutes');
    expect(suggest('Retries', ['timeoutMinutes', 'retries'])).toBe('retries');
    expect(suggest('colour', ['timeoutMinutes', 'retries'])).toBeUndefined();
  });
});

describe('editDistance', () => {
  it('is zero for equal words, symmetric, and at most the longer length', () => {
    fc.assert(
      fc.property(fc.string(), fc.string(), (left, right) => {
        expect(editDistance(left, left)).toBe(0);
        expect(editDistance(left, right)).toBe(editDistance(right, left));
        expect(editDistance(left, right)).toBeLessThanOrEqual(Math.max(left.length, right.length));
      }),
    );
  });

  it('counts a swap of neighbours once', () => {
    expect(editDistance('abcd', 'abdc')).toBe(1);
  });
});
