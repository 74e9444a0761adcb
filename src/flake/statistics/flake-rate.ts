import type { CountRow } from '../store/store.js';
import { dispersionOfSums, effectiveCounts, intervalDispersion } from './dispersion.js';
import { jeffreysInterval, type Interval } from './intervals.js';

const MOST_REMEMBERED = 10_000;

/** What is said of one test in one environment over a window, with what it rests on. */
export interface FlakeRate {
  readonly repository: string;
  readonly environment: string;
  readonly package: string;
  readonly test: string;
  /** Failed attempts: `failed` and `timedout`. */
  readonly failed: number;
  readonly passed: number;
  /** Attempts in the denominator: passed + failed. Skipped, notrun and error are in `left out`. */
  readonly attempts: number;
  readonly leftOut: { readonly skipped: number; readonly error: number; readonly notrun: number };
  /** failed ÷ attempts, 0…1; absent without attempts. */
  readonly rate?: number;
  /** 95 % Jeffreys interval on the effective counts, wider for the dispersion's own uncertainty; 0…1 without attempts. */
  readonly interval: Interval;
  /** Attempts ÷ dispersion. */
  readonly effectiveAttempts: number;
  readonly dispersion: number;
  readonly runs: number;
  readonly failedRuns: number;
  /** Runs and commits in which the test both passed and failed. */
  readonly mixedRuns: number;
  readonly mixedCommits: number;
  readonly failingCommits: number;
  /** Mean over passed and failed attempts; absent without attempts. */
  readonly durationMs?: number;
  /** First and last UTC day with a run in the window, `2026-01-31`. */
  readonly firstDay: string;
  readonly lastDay: string;
}

/**
 * Rate of one test in one environment.
 *
 * @param row sums over the window
 */
export function flakeRateOf(row: CountRow): FlakeRate {
  const { counts } = row;
  const failed = counts.failed + counts.timedout;
  const attempts = counts.passed + failed;
  const sums = { failures: failed, attempts, clusters: row.clusters, squares: row.clusterSquares };
  const dispersion = dispersionOfSums(sums);
  const wide = effectiveCounts(failed, attempts, intervalDispersion(dispersion, row.clusters));
  return {
    repository: row.repository,
    environment: row.environment,
    package: row.package,
    test: row.test,
    failed,
    passed: counts.passed,
    attempts,
    leftOut: { skipped: counts.skipped, error: counts.error, notrun: counts.notrun },
    ...(attempts === 0 ? {} : { rate: failed / attempts, durationMs: (row.passedMs + row.failedMs) / attempts }),
    interval: intervalOf(wide.k, wide.n),
    effectiveAttempts: attempts / dispersion,
    dispersion,
    runs: row.runs,
    failedRuns: row.failedRuns,
    mixedRuns: row.mixedRuns,
    mixedCommits: row.mixedCommits,
    failingCommits: row.failingCommits,
    firstDay: dateOf(row.firstDay),
    lastDay: dateOf(row.lastDay),
  };
}

/** Most tests never failed, and of these most ran equally often. */
const spotless = new Map<number, Interval>();

function intervalOf(k: number, n: number): Interval {
  const known = k === 0 ? spotless.get(n) : undefined;
  if (known !== undefined) return known;
  const interval = jeffreysInterval(k, n);
  if (k === 0 && spotless.size < MOST_REMEMBERED) spotless.set(n, interval);
  return interval;
}

/** Few days and thousands of rates: a third of the time went here. */
const dates = new Map<number, string>();

function dateOf(day: number): string {
  let date = dates.get(day);
  if (date === undefined) {
    date = new Date(day * 86_400_000).toISOString().slice(0, 10);
    if (dates.size < MOST_REMEMBERED) dates.set(day, date);
  }
  return date;
}

/** Highest rate first, then most attempts, then by name: a total order. */
export function byRate(left: FlakeRate, right: FlakeRate): number {
  return (
    (right.rate ?? -1) - (left.rate ?? -1) ||
    right.attempts - left.attempts ||
    compare(left.repository, right.repository) ||
    compare(left.environment, right.environment) ||
    compare(left.package, right.package) ||
    compare(left.test, right.test)
  );
}

function compare(left: string, right: string): number {
  return left < right ? -1 : left > right ? 1 : 0;
}
