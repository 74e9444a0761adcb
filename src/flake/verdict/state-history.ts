import { dispersionOf, effectiveCounts } from '../statistics/dispersion.js';
import { dayOf, formatDay, outcomeOf } from '../store/record.js';
import type { HistoryRow } from '../store/store.js';
import { testStateOf, type TestState } from './test-state.js';

export interface StateNow {
  readonly state: TestState;
  /** First UTC day of it; absent for a test that was never anything else. */
  readonly since?: string;
}

type Attempt = Pick<HistoryRow, 'startedAtMs' | 'status' | 'commit' | 'runUid' | 'pullRequest'>;

const WINDOW_DAYS = 30;
/** A bad state is left only after this long without a failure; then what happened before it does not count. */
const CLEAN_DAYS = 14;

/**
 * State of a test in an environment, by going through its history day by day: each day's state depends on the one before,
 * so that a flaky test does not look healthy after one good week.
 *
 * Of pull requests only commits with both outcomes count, which no change explains; their failures may be their own.
 * Without any other attempts, theirs are all there is. Pure.
 *
 * @param rows attempts of one test in one environment, oldest first; the more of them, the truer
 */
export function stateByHistory(rows: readonly Attempt[]): StateNow {
  const base = rows.filter(({ pullRequest }) => pullRequest === undefined);
  const counted = (base.length > 0 ? base : rows).filter(({ status }) => outcomeOf(status) !== undefined);
  const mixed = base.length > 0 ? mixedCommits(rows.filter(({ pullRequest }) => pullRequest !== undefined)) : [];
  let now: StateNow = { state: 'healthy' };
  let rateWhenFlagged: number | undefined;
  let from = 0;
  for (const [index, row] of counted.entries()) {
    const day = dayOf(row.startedAtMs);
    const next = counted[index + 1];
    if (next !== undefined && dayOf(next.startedAtMs) === day) continue;
    while (dayOf(counted[from]?.startedAtMs ?? 0) <= day - WINDOW_DAYS) from += 1;
    const window = counted.slice(from, index + 1);
    const recent = mixed.filter((atMs) => dayOf(atMs) > day - WINDOW_DAYS && dayOf(atMs) <= day);
    const { state, rate } = stateAt(window, recent, row.startedAtMs, { state: now.state, rateWhenFlagged });
    if (isBad(state) && !isBad(now.state)) rateWhenFlagged = rate;
    if (state !== now.state) now = { state, since: formatDay(day) };
  }
  return now;
}

function stateAt(
  window: readonly Attempt[],
  mixedAtMs: readonly number[],
  nowMs: number,
  previous: { readonly state: TestState; readonly rateWhenFlagged: number | undefined },
): { readonly state: TestState; readonly rate: number } {
  const lastFailure = window.findLastIndex(isFailure);
  const clean = window.slice(lastFailure + 1);
  const sinceMs = Math.max(window[Math.max(0, lastFailure)]?.startedAtMs ?? nowMs, ...mixedAtMs);
  const cleanDays = (nowMs - sinceMs) / 86_400_000;
  const isMended = isBad(previous.state) && cleanDays >= CLEAN_DAYS;
  const used = isMended ? clean : window;
  const days = new Map<number, { failures: number; attempts: number }>();
  const commits = new Map<string, { passed: number; failed: number }>();
  for (const attempt of used) {
    const name = attempt.commit ?? attempt.runUid;
    const commit = commits.get(name) ?? { passed: 0, failed: 0 };
    commits.set(name, commit);
    const day = days.get(dayOf(attempt.startedAtMs)) ?? { failures: 0, attempts: 0 };
    days.set(dayOf(attempt.startedAtMs), day);
    day.attempts += 1;
    if (isFailure(attempt)) {
      commit.failed += 1;
      day.failures += 1;
    } else commit.passed += 1;
  }
  const failures = used.filter(isFailure).length;
  const { k, n } = effectiveCounts(failures, used.length, dispersionOf([...days.values()]));
  const state = testStateOf({
    // Newest first; those of pull requests last, so that they do not end a streak of failures of the default branch.
    commits: [...[...commits.values()].reverse(), ...(isMended ? [] : mixedAtMs.map(() => ({ passed: 1, failed: 1 })))],
    k,
    n,
    cleanRuns: new Set(clean.map(({ runUid }) => runUid)).size,
    cleanDays,
    previous: {
      state: previous.state,
      ...(previous.rateWhenFlagged === undefined ? {} : { rateWhenFlagged: previous.rateWhenFlagged }),
    },
  });
  return { state, rate: used.length === 0 ? 0 : failures / used.length };
}

/** When each commit with both outcomes was seen last. */
function mixedCommits(rows: readonly Attempt[]): number[] {
  const commits = new Map<string, { passed: boolean; failed: boolean; lastMs: number }>();
  for (const row of rows) {
    const outcome = outcomeOf(row.status);
    if (outcome === undefined || row.commit === undefined) continue;
    const commit = commits.get(row.commit) ?? { passed: false, failed: false, lastMs: row.startedAtMs };
    commits.set(row.commit, commit);
    if (outcome === 'fail') commit.failed = true;
    else commit.passed = true;
    commit.lastMs = Math.max(commit.lastMs, row.startedAtMs);
  }
  return [...commits.values()].filter(({ passed, failed }) => passed && failed).map(({ lastMs }) => lastMs);
}

function isFailure({ status }: Attempt): boolean {
  return outcomeOf(status) === 'fail';
}

function isBad(state: TestState): boolean {
  return state === 'flaky' || state === 'broken';
}
