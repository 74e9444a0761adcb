import { dispersionOf, dispersionOfSums, effectiveCounts, intervalDispersion } from '../statistics/dispersion.js';
import { jeffreysInterval, type Interval } from '../statistics/intervals.js';
import { formatDay } from '../store/record.js';
import type { SeriesSums } from '../store/series-days.js';
import type { Point, Rate } from './schemas.js';

/** Sums of one test on one day. */
export interface DaySums {
  readonly day: number;
  readonly passed: number;
  readonly failed: number;
  readonly durationMs: number;
}

/** Sum of one member over all rows. */
export function totalOf<Member extends string>(
  rows: readonly Readonly<Record<Member, number>>[],
  member: Member,
): number {
  return rows.reduce((sum, row) => sum + row[member], 0);
}

/** How many days with data growth compares, as gopogh does. */
export const GROWTH_DAYS = 15;

/** k of n with its interval; failures in bursts widen it. */
export function rateOf(days: readonly Pick<DaySums, 'passed' | 'failed'>[]): Rate {
  const failed = days.reduce((sum, day) => sum + day.failed, 0);
  const attempts = days.reduce((sum, day) => sum + day.passed + day.failed, 0);
  const dispersion = dispersionOfDays(days);
  return rateOfCounts(failed, attempts, dispersion);
}

/** The same of sums that the database made. */
export function rateOfSums({ failed, attempts, clusters, squares }: SeriesSums): Rate {
  const dispersion = dispersionOfSums({ failures: failed, attempts, clusters, squares });
  return rateOfCounts(failed, attempts, intervalDispersion(dispersion, clusters));
}

export const NO_SUMS: SeriesSums = { failed: 0, attempts: 0, clusters: 0, squares: 0 };

/** For intervals. */
function dispersionOfDays(days: readonly Pick<DaySums, 'passed' | 'failed'>[]): number {
  const clusters = days
    .map(({ passed, failed }) => ({ failures: failed, attempts: passed + failed }))
    .filter(({ attempts }) => attempts > 0);
  return intervalDispersion(dispersionOf(clusters), clusters.length);
}

/** A page has a thousand shares, and twelve more digits of each would be half of its bytes. */
export function roundShare(share: number): number {
  return Math.round(share * 1e6) / 1e6;
}

/** Most intervals that {@link rateOfCounts} remembers. */
const MOST_INTERVALS = 20_000;
const intervals = new Map<string, Interval>();

/**
 * An interval costs some 50 µs, a page has a hundred of them, and most of its days have the same counts: a function of three
 * numbers that remembers what it gave.
 *
 * @param dispersion at least 1
 */
export function rateOfCounts(failed: number, attempts: number, dispersion: number): Rate {
  const key = `${String(failed)} ${String(attempts)} ${String(dispersion)}`;
  let interval = intervals.get(key);
  if (interval === undefined) {
    const { k, n } = effectiveCounts(failed, attempts, dispersion);
    const { low, high } = jeffreysInterval(k, n);
    interval = { low: roundShare(low), high: roundShare(high) };
    if (intervals.size >= MOST_INTERVALS) intervals.clear();
    intervals.set(key, interval);
  }
  const { low, high } = interval;
  return { failed, attempts, ...(attempts === 0 ? {} : { rate: roundShare(failed / attempts) }), low, high };
}

/** Monday of the week of a day; 1970-01-01 was a Thursday. */
export function mondayOf(day: number): number {
  return day - ((((day + 3) % 7) + 7) % 7);
}

/**
 * Points of a curve, oldest first; days without an attempt have none.
 *
 * A single day has a handful of attempts, so its interval rests on the dispersion of the whole curve.
 */
export function pointsOf(days: readonly DaySums[], by: 'day' | 'week'): Point[] {
  const used = days.filter(({ passed, failed }) => passed + failed > 0);
  const dispersion = dispersionOfDays(used);
  const buckets = new Map<number, { failed: number; attempts: number; durationMs: number }>();
  for (const { day, passed, failed, durationMs } of [...used].sort((left, right) => left.day - right.day)) {
    const at = by === 'day' ? day : mondayOf(day);
    const bucket = buckets.get(at) ?? { failed: 0, attempts: 0, durationMs: 0 };
    buckets.set(at, bucket);
    bucket.failed += failed;
    bucket.attempts += passed + failed;
    bucket.durationMs += durationMs;
  }
  return [...buckets].map(([at, { failed, attempts, durationMs }]) => ({
    at: formatDay(at),
    ...rateOfCounts(failed, attempts, dispersion),
    durationMs: Math.round(durationMs / attempts),
  }));
}

/** The newest days with data, and the ones before them. @param days in any order, each once */
export function splitGrowth<T extends { readonly day: number }>(
  days: readonly T[],
): { readonly recent: readonly T[]; readonly previous: readonly T[] } {
  const sorted = [...days].sort((left, right) => right.day - left.day);
  return { recent: sorted.slice(0, GROWTH_DAYS), previous: sorted.slice(GROWTH_DAYS, 2 * GROWTH_DAYS) };
}
