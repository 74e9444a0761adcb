import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import type { SeriesDayRow } from '../store/series-days.js';
import type { EnvironmentRunRow, TestRunRow } from '../store/test-runs.js';
import { httpUrl } from '../../results/http-url.js';
import { mondayOf, pointsOf, rateOf, splitGrowth } from './points.js';
import { rankEnvironments, rankTests } from './rank.js';
import { shownRunOf, type ShownRun } from './runs-cache.js';
import { attemptsOf, changepointsOf } from './test-page.js';

const day = (number: number, passed: number, failed: number) => ({
  day: number,
  passed,
  failed,
  durationMs: 1000 * (passed + failed),
});

describe('points', () => {
  it('are days or weeks from Monday, with k, n and an interval that holds the share', () => {
    // Day 20,000 is 2024-10-04, a Friday.
    const days = [day(20_000, 9, 1), day(20_001, 0, 0), day(20_002, 5, 5), day(20_003, 4, 0)];
    expect(pointsOf(days, 'day').map(({ at, failed, attempts }) => [at, failed, attempts])).toEqual([
      ['2024-10-04', 1, 10],
      ['2024-10-06', 5, 10],
      ['2024-10-07', 0, 4],
    ]);
    expect(pointsOf(days, 'week')).toMatchObject([
      { at: '2024-09-30', failed: 6, attempts: 20, rate: 0.3, durationMs: 1000 },
      { at: '2024-10-07', failed: 0, attempts: 4, rate: 0, low: 0 },
    ]);
  });

  it('never lose an attempt between days and weeks', () => {
    const anyDays = fc.uniqueArray(
      fc.record({ day: fc.integer({ min: 0, max: 900 }), passed: fc.nat(20), failed: fc.nat(20) }),
      {
        selector: (one) => one.day,
      },
    );
    fc.assert(
      fc.property(anyDays, (days) => {
        const sums = days.map((one) => ({ ...one, durationMs: 0 }));
        for (const by of ['day', 'week'] as const) {
          const points = pointsOf(sums, by);
          expect(points.reduce((sum, { attempts }) => sum + attempts, 0)).toBe(rateOf(sums).attempts);
          for (const { rate = 0, low, high } of points) {
            expect(low).toBeLessThanOrEqual(rate);
            expect(high).toBeGreaterThanOrEqual(rate);
          }
        }
      }),
      { numRuns: 30 },
    );
  });

  it('begin weeks on Mondays, before 1970 too', () => {
    expect([4, 5, 10, 11].map(mondayOf)).toEqual([4, 4, 4, 11]);
    expect(mondayOf(-1)).toBe(-3);
  });
});

describe('growth', () => {
  it('compares the 15 newest days that have data with the 15 before, whatever lies between', () => {
    const days = Array.from({ length: 40 }, (_, index) => ({ day: index * 3 }));
    const { recent, previous } = splitGrowth(days);
    expect(recent.map((one) => one.day)).toEqual(Array.from({ length: 15 }, (_, index) => 117 - index * 3));
    expect(previous).toHaveLength(15);
    expect(previous[0]?.day).toBe(72);
    expect(splitGrowth(days.slice(0, 7)).previous).toEqual([]);
  });
});

describe('rankings', () => {
  const series = (seriesId: number) => ({
    seriesId,
    repository: 'o/r',
    environmentId: 1,
    environment: 'e',
    package: 'p',
    test: `T${String(seriesId)}`,
    failures: 1,
    failingCommits: 1,
    mixedCommits: 0,
  });
  const sums = (seriesId: number, at: number, passed: number, failed: number): SeriesDayRow => ({
    seriesId,
    ...day(at, passed, failed),
    runs: 1,
    failedRuns: 0,
    mixedRuns: 0,
  });

  it('put fifty of a hundred above one of one', () => {
    const ranked = rankTests(
      [series(1), series(2), series(3)],
      new Map([
        [1, [sums(1, 100, 0, 1)]],
        [2, Array.from({ length: 10 }, (_, index) => sums(2, 90 + index, 5, 5))],
        // Failed only in runs that were taken back.
        [3, [sums(3, 100, 4, 0)]],
      ]),
    );
    expect(ranked.map(({ rank, test }) => [rank, test])).toEqual([
      [1, 'T2'],
      [2, 'T1'],
    ]);
    expect(ranked[0]).not.toHaveProperty('growth');
  });

  it('give environments by failed tests a run, with growth', () => {
    const row = (environment: string, at: number, runs: number, failedTests: number) => ({
      environmentId: environment === 'a' ? 1 : 2,
      environment,
      day: at,
      runs,
      tests: runs * 100,
      failedTests,
      durationMs: runs * 1000,
      timedRuns: runs,
      excludedRuns: 0,
    });
    const rows = Array.from({ length: 30 }, (_, at) => [row('a', at, 2, at < 15 ? 0 : 8), row('b', at, 1, 3)]).flat();
    expect(rankEnvironments(rows)).toMatchObject([
      {
        rank: 1,
        environment: 'a',
        recent: { perRun: 4, runs: 30, days: 15 },
        previous: { perRun: 0 },
        growth: 4,
        durationMs: 1000,
      },
      { rank: 2, environment: 'b', recent: { perRun: 3 }, growth: 0, failedTests: 90 },
    ]);
  });
});

describe('attempts of a test', () => {
  type Overrides = Partial<Omit<TestRunRow, 'run'> & EnvironmentRunRow>;
  const row = (number: number, overrides: Overrides = {}): TestRunRow<ShownRun> => {
    const { attempt = 1, status = 'passed', durationMs = 5, message = null, ...run } = overrides;
    return {
      run: shownRunOf({
        id: number,
        uid: `run-${String(number)}`,
        sha: `c${String(number)}`,
        position: null,
        branch: null,
        pullRequest: null,
        url: null,
        startedAtMs: number * 86_400_000,
        excluded: null,
        ...run,
      }),
      attempt,
      status,
      durationMs,
      message,
    };
  };

  it('are linked only to addresses of the web', () => {
    const urls = [
      'https://ci.example/1',
      'javascript:alert(1)',
      'data:text/html,x',
      'not a url',
      'https://user:secret@ci.example/',
    ];
    expect(attemptsOf(urls.map((url, index) => row(index, { url }))).attempts.map(({ url }) => url)).toEqual([
      'https://ci.example/1',
      undefined,
      undefined,
      undefined,
      'https://ci.example/',
    ]);
    expect(httpUrl('ftp://x/')).toBeUndefined();
  });

  it('share a signature when only ids, or a tenth of the text, differ; excluded runs found none', () => {
    const message = (pod: string) =>
      `pod coredns-5d78c9869d-${pod} is not ready: context deadline exceeded while waiting for it`;
    const failed = (number: number, text: string, overrides: Overrides = {}) =>
      row(number, { status: 'failed', message: text, ...overrides });
    const { signatures, attempts } = attemptsOf([
      failed(5, message('x7k2p')),
      failed(4, message('b4d9z').replace('ready', 'Ready')),
      failed(3, 'expected 1, got 2'),
      failed(2, message('q8w5r')),
      failed(1, 'machine lost', { excluded: 'infrastructure: DRV_FAILED' }),
    ]);
    expect(signatures.map(({ count, firstAt, lastAt }) => [count, firstAt.slice(0, 10), lastAt.slice(0, 10)])).toEqual([
      [3, '1970-01-03', '1970-01-06'],
      [1, '1970-01-04', '1970-01-04'],
    ]);
    expect(attempts[0]?.signature).toBe(attempts[1]?.signature);
  });

  it('show a regression at its first commit, and leave pull requests out of it', () => {
    const rows = Array.from({ length: 120 }, (_, at) => row(at, { status: at >= 80 ? 'failed' : 'passed' }))
      .concat(
        Array.from({ length: 40 }, (_, at) =>
          row(10 + at, { sha: `pr${String(at)}`, status: 'failed', pullRequest: 7 }),
        ),
      )
      .reverse();
    expect(changepointsOf(rows, 1)).toMatchObject([
      {
        commit: 'c80',
        certainty: 'named',
        fromCommit: 'c79',
        rangeCommits: 2,
        before: { rate: 0, commits: 80 },
        after: { rate: 1 },
      },
    ]);
  });
});
