import { readLastDay } from '../store/chart-runs.js';
import { type DaySpan, type RunScope } from '../store/chart-scope.js';
import { DAY_MS, formatDay } from '../store/record.js';
import type { FlakeStore } from '../store/store.js';
import type { Window } from './schemas.js';

/** What every page is asked with, and how long its lists are. */

export type ChartStore = Pick<FlakeStore, 'read' | 'environments'>;

export interface PageQuery {
  readonly repository?: string | undefined;
  /** @default 'all' */
  readonly runs?: 'all' | 'base' | 'pull-requests' | undefined;
  /** Length of the window. @default 90 */
  readonly days?: number | undefined;
  /** Last day, `2026-01-31`. @default the day of the newest run */
  readonly until?: string | undefined;
}

export const DEFAULT_DAYS = 90;

/** Longest lists. What is not shown is counted in `leftOut`. */
export const LIMITS = {
  environments: 60,
  tests: 50,
  curves: 10,
  commits: 30,
  attempts: 1_000,
  signatures: 50,
  runs: 300,
};

/** The window of a page. It ends with the newest run, so that an old history is not shown as an empty month. */
export async function spanOf(store: ChartStore, query: PageQuery, scope: RunScope): Promise<DaySpan> {
  const days = query.days ?? DEFAULT_DAYS;
  const to =
    query.until === undefined
      ? ((await store.read((db) => readLastDay(db, scope))) ?? Math.floor(Date.now() / DAY_MS))
      : Math.floor(Date.parse(query.until) / DAY_MS);
  return { from: to - days + 1, to };
}

export function windowOf({ from, to }: DaySpan): Window {
  return { from: formatDay(from), to: formatDay(to), days: to - from + 1 };
}

/** Of every list that was cut, how many are not shown. @param counts not above 0: nothing was cut */
export function leftOut(counts: Readonly<Record<string, number>>): Record<string, number> {
  return Object.fromEntries(Object.entries(counts).filter(([, count]) => count > 0));
}
