import { formatDay } from '../store/record.js';
import type { EnvironmentDayRow } from '../store/chart-runs.js';
import type { FailingSeriesRow } from '../store/chart-series.js';
import type { SeriesDayRow } from '../store/series-days.js';
import { rateOf, roundShare, splitGrowth, totalOf, type DaySums } from './points.js';
import type { EnvironmentDay, RankedEnvironment, RankedTest } from './schemas.js';

/**
 * Tests by how surely they fail often now: the lower end of the interval of their recent rate, so that one failure of one
 * run does not stand above fifty of a hundred.
 */
export function rankTests(
  failing: readonly FailingSeriesRow[],
  days: ReadonlyMap<number, readonly SeriesDayRow[]>,
): (RankedTest & { readonly seriesId: number })[] {
  return failing
    .map((series) => {
      const own = (days.get(series.seriesId) ?? []).filter(({ passed, failed }) => passed + failed > 0);
      return { ...rankedTest(series, own), seriesId: series.seriesId };
    })
    .filter(({ window }) => window.failed > 0)
    .sort(
      (left, right) =>
        right.recent.low - left.recent.low ||
        right.window.low - left.window.low ||
        right.window.failed - left.window.failed ||
        left.seriesId - right.seriesId,
    )
    .map((row, index) => ({ ...row, rank: index + 1 }));
}

function rankedTest(series: FailingSeriesRow, days: readonly DaySums[]): RankedTest {
  const { recent, previous } = splitGrowth(days);
  const recentRate = rateOf(recent);
  const previousRate = previous.length === 0 ? undefined : rateOf(previous);
  const window = rateOf(days);
  const { repository, environment, package: pkg, test, mixedCommits, failingCommits } = series;
  return {
    rank: 1,
    repository,
    environment,
    package: pkg,
    test,
    window,
    recent: recentRate,
    ...(previousRate === undefined
      ? {}
      : { previous: previousRate, growth: roundShare((recentRate.rate ?? 0) - (previousRate.rate ?? 0)) }),
    mixedCommits,
    failingCommits,
    ...(window.attempts === 0 ? {} : { durationMs: Math.round(totalOf(days, 'durationMs') / window.attempts) }),
    lastDay: formatDay(Math.max(0, ...days.map(({ day }) => day))),
  };
}

/** Environments by failed tests a run in their newest days, as gopogh ranks them. */
export function rankEnvironments(rows: readonly EnvironmentDayRow[]): RankedEnvironment[] {
  const groups = new Map<string, EnvironmentDayRow[]>();
  for (const row of rows) {
    const group = groups.get(row.environment);
    if (group === undefined) groups.set(row.environment, [row]);
    else group.push(row);
  }
  return [...groups]
    .map(([environment, days]) => rankedEnvironment(environment, days))
    .sort((left, right) => right.recent.perRun - left.recent.perRun || (left.environment < right.environment ? -1 : 1))
    .map((row, index) => ({ ...row, rank: index + 1 }));
}

function rankedEnvironment(environment: string, days: readonly EnvironmentDayRow[]): RankedEnvironment {
  const counted = days.filter(({ runs }) => runs > 0);
  const { recent, previous } = splitGrowth(counted);
  const recentFailures = failuresOf(recent);
  const previousFailures = previous.length === 0 ? undefined : failuresOf(previous);
  const timedRuns = totalOf(days, 'timedRuns');
  return {
    rank: 1,
    environment,
    recent: recentFailures,
    ...(previousFailures === undefined
      ? {}
      : { previous: previousFailures, growth: recentFailures.perRun - previousFailures.perRun }),
    runs: totalOf(days, 'runs'),
    tests: totalOf(days, 'tests'),
    failedTests: totalOf(days, 'failedTests'),
    excludedRuns: totalOf(days, 'excludedRuns'),
    ...(timedRuns === 0 ? {} : { durationMs: Math.round(totalOf(days, 'durationMs') / timedRuns) }),
    lastDay: formatDay(Math.max(0, ...days.map(({ day }) => day))),
    days: days.map(environmentDay),
  };
}

function failuresOf(days: readonly EnvironmentDayRow[]) {
  const runs = totalOf(days, 'runs');
  const failedTests = totalOf(days, 'failedTests');
  return { failedTests, runs, perRun: runs === 0 ? 0 : failedTests / runs, days: days.length };
}

export function environmentDay(row: EnvironmentDayRow): EnvironmentDay {
  const { day, runs, tests, failedTests, durationMs, timedRuns, excludedRuns } = row;
  return {
    at: formatDay(day),
    runs,
    tests,
    failedTests,
    ...(timedRuns === 0 ? {} : { durationMs: Math.round(durationMs / timedRuns) }),
    excludedRuns,
  };
}
