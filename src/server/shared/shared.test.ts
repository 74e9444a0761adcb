import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { formatGrowth, formatShare, rateLines, scaleOf, ticksOf, tidyTick, weeksOf } from './chart-data.js';
import { apiPathOf, formatRoute, pageFileOf, parseRoute, routeOfGopogh, type Route } from './route.js';

// Half a surrogate pair can not stand in an address.
const anyText = fc.string({ unit: 'binary', maxLength: 60 }).filter((text) => !/[\ud800-\udfff]/u.test(text));
const anyRoute = fc.record({
  kind: fc.constant('test' as const),
  repository: anyText,
  environment: anyText,
  package: anyText,
  test: anyText,
});

describe('addresses', () => {
  it('come back as they went, whatever the names hold', () => {
    fc.assert(
      fc.property(anyRoute, (route) => {
        expect(parseRoute(formatRoute(route))).toEqual(route);
      }),
    );
  });

  it('give the overview for what means nothing', () => {
    expect(parseRoute('#nonsense?x=1')).toEqual({ kind: 'overview' });
    expect(parseRoute('')).toEqual({ kind: 'overview' });
  });

  it('name files by the names alone, so that another window is the same page', () => {
    const route: Route = { kind: 'test', environment: 'docker', test: '../../etc/passwd' };
    expect(pageFileOf(route)).toMatch(/^test-[0-9a-f]{16}$/);
    expect(pageFileOf({ ...route, days: '14' })).toBe(pageFileOf(route));
    expect(pageFileOf({ ...route, test: '../../etc/passwe' })).not.toBe(pageFileOf(route));
    expect(apiPathOf({ ...route, days: '14' })).toBe(
      'api/pages/test?environment=docker&test=..%2F..%2Fetc%2Fpasswd&days=14',
    );
  });

  it('name ten thousand tests by ten thousand files', () => {
    const files = Array.from({ length: 10_000 }, (_, index) =>
      pageFileOf({ kind: 'test', environment: 'e', test: `Test${String(index)}` }),
    );
    expect(new Set(files).size).toBe(10_000);
  });

  it("read the links of gopogh's server", () => {
    expect(routeOfGopogh('?env=Docker_Linux')).toEqual({ kind: 'environment', environment: 'Docker_Linux' });
    expect(routeOfGopogh('?env=Docker_Linux&test=TestA/b')).toEqual({
      kind: 'test',
      environment: 'Docker_Linux',
      test: 'TestA/b',
    });
    expect(routeOfGopogh('?x=1')).toBeUndefined();
  });
});

describe('weeksOf', () => {
  it('sums from Monday to Sunday and weighs durations by runs', () => {
    const day = (at: string, runs: number, durationMs?: number) => ({
      at,
      runs,
      tests: 10 * runs,
      failedTests: runs,
      excludedRuns: 0,
      ...(durationMs === undefined ? {} : { durationMs }),
    });
    // 2026-10-04 is a Sunday.
    expect(weeksOf([day('2026-10-02', 1, 100), day('2026-10-04', 3, 500), day('2026-10-05', 2)])).toEqual([
      { at: '2026-09-28', runs: 4, tests: 40, failedTests: 4, excludedRuns: 0, durationMs: 400 },
      { at: '2026-10-05', runs: 2, tests: 20, failedTests: 2, excludedRuns: 0 },
    ]);
  });
});

describe('axes', () => {
  it('have ticks inside, in order, and never too many', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 2e12 }),
        fc.integer({ min: 0, max: 3e11 }),
        fc.integer({ min: 2, max: 20 }),
        (from, length, most) => {
          const ticks = ticksOf(from, from + length, most);
          expect(ticks.length).toBeLessThanOrEqual(most);
          for (const [index, tick] of ticks.entries()) {
            expect(tick).toBeGreaterThanOrEqual(from);
            expect(tick).toBeLessThanOrEqual(from + length);
            if (index > 0) expect(tick).toBeGreaterThan(ticks[index - 1] ?? 0);
          }
        },
      ),
    );
  });

  it('put the ticks of weeks on Mondays', () => {
    const ticks = ticksOf(Date.UTC(2026, 7, 2), Date.UTC(2026, 9, 30), 14);
    expect(ticks.map((tick) => new Date(tick).getUTCDay())).toEqual(ticks.map(() => 1));
    expect(ticks.length).toBeGreaterThan(6);
  });

  it('end above the largest value at a whole number of steps, and never above 100 %', () => {
    fc.assert(
      fc.property(fc.double({ min: 0, max: 1e9, noNaN: true }), fc.boolean(), (top, durations) => {
        const { max, step } = scaleOf(top, { durations });
        expect(max).toBeGreaterThanOrEqual(top);
        expect(max / step).toBeLessThanOrEqual(8);
        expect(Math.abs(max / step - Math.round(max / step))).toBeLessThan(1e-6);
      }),
    );
    expect(scaleOf(0.999, { mostY: 1 })).toEqual({ max: 1, step: 0.2 });
    expect(scaleOf(3_300_000, { durations: true })).toEqual({ max: 3_600_000, step: 600_000 });
  });
});

describe('words', () => {
  it('never call a failure nothing, nor a pass nothing', () => {
    expect([0, 0.0001, 0.004, 0.5, 0.996, 0.9999, 1].map(formatShare)).toEqual([
      '0 %',
      '< 0.1 %',
      '0.4 %',
      '50 %',
      '99.6 %',
      '> 99.9 %',
      '100 %',
    ]);
  });

  it('say k of n and the interval', () => {
    expect(rateLines({ failed: 3, attempts: 20, rate: 0.15, low: 0.05, high: 0.36 })).toEqual([
      '15 %: 3 of 20 attempts failed',
      '95 % interval 5.0 % – 36 %',
    ]);
    expect(rateLines({ failed: 0, attempts: 0, low: 0, high: 1 })).toEqual(['no attempt']);
  });

  it('have signs and no empty parts', () => {
    expect([0.04, 1.26, -3].map((value) => formatGrowth(value))).toEqual(['±0', '+1.3', '−3.0']);
    expect(['10 min 00 s', '1 h 00 min', '5.0 s', '0 ms', '5.0 %'].map(tidyTick)).toEqual([
      '10 min',
      '1 h',
      '5 s',
      '0',
      '5 %',
    ]);
  });
});
