import { describe, expect, it } from 'vitest';

import { steadyClock } from './clock.js';

describe('steadyClock', () => {
  it('begins with the wall clock and then follows the monotonic one, whatever somebody does to the wall clock', () => {
    let wall = Date.parse('2026-11-21T12:00:00Z');
    let monotonic = 5000;
    const now = steadyClock({ wall: () => wall, monotonic: () => monotonic });
    expect(now().toISOString()).toBe('2026-11-21T12:00:00.000Z');
    monotonic += 1500;
    wall -= 7_200_000;
    expect(now().toISOString()).toBe('2026-11-21T12:00:01.500Z');
    monotonic += 1;
    wall += 365 * 86_400_000;
    expect(now().toISOString()).toBe('2026-11-21T12:00:01.501Z');
  });

  it('reads the clocks of this host when none are given', () => {
    const now = steadyClock();
    const first = now();
    expect(Math.abs(first.getTime() - Date.now())).toBeLessThan(60_000);
    expect(now().getTime()).toBeGreaterThanOrEqual(first.getTime());
  });
});
