import { testKey, type TestId } from '../results/model.js';
import { jeffreysInterval } from './statistics/intervals.js';
import { DAY_MS, outcomeOf } from './store/record.js';
import type { CountRow, Filter, FlakeStore, HistoryRow } from './store/store.js';

/** What earlier runs say of one test in one environment. */
export interface TestHistory {
  /** Runs, oldest first, at most 30: `p`assed, `f`ailed, fla`k`y, `s`kipped, `e`rror or unfinished; '' when only sums are known. */
  readonly recent: string;
  /** Runs whose last outcome was a failure, and runs with an outcome. */
  readonly failed: number;
  readonly runs: number;
  /** failed ÷ runs with its 95 % interval, 0…1; absent without runs. */
  readonly rate?: number;
  readonly low?: number;
  readonly high?: number;
  /** Duration when it passes: the median of recent runs, or the mean when only sums are kept. */
  readonly usualMs?: number;
  /** Page of the newest earlier run that failed. */
  readonly url?: string;
}

/** Finds what is known of a test in an environment. */
export type FindHistory = (test: TestId, environment: string) => TestHistory | undefined;

export interface HistoryRequest {
  /** Tests of which every run is looked at, such as those that failed; all others have sums only. */
  readonly inDetail: readonly { readonly test: TestId; readonly environment: string }[];
  /** Only this repository, when known. */
  readonly repository?: string | undefined;
  /** Start of the run that the history is for: it and later ones are no history of it. */
  readonly beforeMs: number;
  /** @default 30 */
  readonly days?: number;
}

/** Looked at in detail at most: a run in which thousands fail has one cause, not thousands of histories. */
const MOST_IN_DETAIL = 300;
const RUNS_SHOWN = 30;
const MOST_ATTEMPTS = 600;

/**
 * The history of tests before a run: for each test sums of whole UTC days before its day, and for those asked for in detail
 * every run of the window.
 *
 * @throws {MkCiError} `DB_CORRUPT`, `DB_BUSY`
 */
export async function readTestHistories(
  store: Pick<FlakeStore, 'counts' | 'history'>,
  request: HistoryRequest,
): Promise<FindHistory> {
  const { repository, beforeMs, days = 30 } = request;
  const window: Filter = {
    ...(repository === undefined || repository === '' ? {} : { repository }),
    sinceMs: beforeMs - days * DAY_MS,
    untilMs: beforeMs,
  };
  const found = new Map<string, TestHistory>();
  // Sums are kept by day: the day of the run holds the run itself when it is recorded already.
  for (const row of await store.counts({ ...window, untilMs: Math.floor(beforeMs / DAY_MS) * DAY_MS })) {
    found.set(seriesKey({ package: row.package, name: row.test }, row.environment), historyOfCounts(row));
  }
  for (const { test, environment } of request.inDetail.slice(0, MOST_IN_DETAIL)) {
    const rows = await store.history({ ...window, package: test.package, test: test.name }, MOST_ATTEMPTS);
    const own = rows.filter(
      (row) =>
        // `*` in a name stands for any text to the store.
        row.test === test.name &&
        row.package === test.package &&
        row.excluded === undefined &&
        unnamed(row.environment) === unnamed(environment),
    );
    if (own.length > 0) found.set(seriesKey(test, environment), historyOfRows(own));
  }
  return (test, environment) => found.get(seriesKey(test, environment));
}

function seriesKey(test: TestId, environment: string): string {
  return `${unnamed(environment)}\0${testKey(test)}`;
}

/** Files that name no environment are read and recorded under several words for "none". */
function unnamed(environment: string): string {
  return environment === 'default' || environment === 'unknown' ? '' : environment;
}

/** Pure. @param row sums over a window */
export function historyOfCounts({ runs, failedRuns, passedMs, counts }: CountRow): TestHistory {
  return {
    recent: '',
    ...share(failedRuns, runs),
    ...(counts.passed > 0 ? { usualMs: Math.round(passedMs / counts.passed) } : {}),
  };
}

/** Pure. @param rows attempts of one test in one environment, newest run first */
export function historyOfRows(rows: readonly HistoryRow[]): TestHistory {
  const runs = new Map<string, HistoryRow[]>();
  for (const row of rows) {
    const attempts = runs.get(row.runUid);
    if (attempts === undefined) runs.set(row.runUid, [row]);
    else attempts.push(row);
  }
  const letters = [...runs.values()].map(letterOf);
  const failed = letters.filter((letter) => letter === 'f').length;
  const counted = letters.filter((letter) => letter === 'f' || letter === 'p' || letter === 'k').length;
  const passed = rows.flatMap(({ status, durationMs }) =>
    status === 'passed' && durationMs !== undefined ? [durationMs] : [],
  );
  const url = rows.find((row) => outcomeOf(row.status) === 'fail' && row.url !== undefined)?.url;
  return {
    recent: letters.slice(0, RUNS_SHOWN).reverse().join(''),
    ...share(failed, counted),
    ...(passed.length === 0 ? {} : { usualMs: Math.round(median(passed)) }),
    ...(url === undefined ? {} : { url }),
  };
}

/** One run: flaky when it has both outcomes and passed in the end. */
function letterOf(attempts: readonly HistoryRow[]): string {
  const outcomes = [...attempts].sort((a, b) => a.attempt - b.attempt).map(({ status }) => outcomeOf(status));
  const last = outcomes.findLast((outcome) => outcome !== undefined);
  if (last === 'fail') return 'f';
  if (last === 'pass') return outcomes.includes('fail') ? 'k' : 'p';
  return attempts.every(({ status }) => status === 'skipped') ? 's' : 'e';
}

function share(failed: number, runs: number): Pick<TestHistory, 'failed' | 'runs' | 'rate' | 'low' | 'high'> {
  if (runs === 0) return { failed, runs };
  const { low, high } = jeffreysInterval(failed, runs);
  return { failed, runs, rate: round(failed / runs), low: round(low), high: round(high) };
}

function round(share: number): number {
  return Math.round(share * 10_000) / 10_000;
}

function median(numbers: readonly number[]): number {
  const sorted = [...numbers].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? (sorted[middle] ?? 0) : ((sorted[middle - 1] ?? 0) + (sorted[middle] ?? 0)) / 2;
}
