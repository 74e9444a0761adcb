import {
  outcomeOf,
  readRates,
  signatureOf,
  testStateOf,
  type FlakeRate,
  type FlakeStore,
  type HistoryRow,
  type TestState,
} from '../../flake/index.js';
import type { TestId } from '../../results/index.js';
import { issueId, type EnvironmentHealth, type IssueMemory, type TestHealth } from './model.js';

export interface HealthOptions {
  readonly repository: string;
  readonly nowMs: number;
  /** What open issues remember, by id. */
  readonly memories: ReadonlyMap<string, IssueMemory>;
  readonly signal: AbortSignal;
}

const DAY_MS = 86_400_000;
const WINDOW_DAYS = 30;
const MOST_ROWS = 5_000;
const MOST_TESTS = 1_000;

/** Tests of the default branch that failed in the last 30 days or have an issue; the worst first, at most 1,000. */
export async function readHealth(
  store: Pick<FlakeStore, 'counts' | 'history'>,
  options: HealthOptions,
): Promise<TestHealth[]> {
  const sinceMs = options.nowMs - WINDOW_DAYS * DAY_MS;
  const rates = (await readRates(store, { sinceMs, runs: 'base' })).filter(
    ({ repository }) => repository === options.repository || repository === '',
  );
  const byTest = new Map<string, FlakeRate[]>();
  for (const rate of rates) {
    const key = `${rate.package}\0${rate.test}`;
    byTest.set(key, [...(byTest.get(key) ?? []), rate]);
  }
  const tests: TestHealth[] = [];
  for (const same of byTest.values()) {
    options.signal.throwIfAborted();
    const [first] = same;
    if (first === undefined) continue;
    const id = { package: first.package, name: first.test };
    const memory = options.memories.get(issueId(options.repository, id));
    if (same.every(({ failed }) => failed === 0) && memory === undefined) continue;
    if (tests.length >= MOST_TESTS) break;
    const rows = await store.history({ package: id.package, test: id.name, sinceMs, runs: 'base' }, MOST_ROWS);
    tests.push(healthOf(id, same, rows, memory, options.nowMs));
  }
  return tests;
}

/** Pure. @param history newest first */
export function healthOf(
  id: TestId,
  rates: readonly FlakeRate[],
  history: readonly HistoryRow[],
  memory: Pick<IssueMemory, 'state' | 'rate'> | undefined,
  nowMs: number,
): TestHealth {
  const rows = history.filter(
    (row) => row.test === id.name && row.package === id.package && row.excluded === undefined,
  );
  const signature = commonSignature(rows);
  return {
    id,
    environments: rates
      .map((rate) =>
        environmentHealth(
          rate,
          rows.filter(({ environment }) => environment === rate.environment),
          memory,
          nowMs,
        ),
      )
      .sort((a, b) => (a.environment < b.environment ? -1 : 1)),
    ...(signature === undefined ? {} : { signature }),
  };
}

function environmentHealth(
  rate: FlakeRate,
  rows: readonly HistoryRow[],
  memory: Pick<IssueMemory, 'state' | 'rate'> | undefined,
  nowMs: number,
): EnvironmentHealth {
  const counted = rows.filter(({ status }) => outcomeOf(status) !== undefined);
  const failures = counted.filter(({ status }) => outcomeOf(status) === 'fail');
  const lastFailureMs = failures[0]?.startedAtMs;
  const commits = new Map<string, { passed: number; failed: number }>();
  const days = new Map<string, { day: string; failed: number; attempts: number }>();
  for (const row of counted) {
    const failed = outcomeOf(row.status) === 'fail';
    const key = row.commit ?? row.runUid;
    const commit = commits.get(key) ?? { passed: 0, failed: 0 };
    commits.set(key, commit);
    commit[failed ? 'failed' : 'passed'] += 1;
    const name = new Date(row.startedAtMs).toISOString().slice(0, 10);
    const day = days.get(name) ?? { day: name, failed: 0, attempts: 0 };
    days.set(name, day);
    day.attempts += 1;
    if (failed) day.failed += 1;
  }
  const clean =
    lastFailureMs === undefined ? counted : counted.filter(({ startedAtMs }) => startedAtMs > lastFailureMs);
  const firstMs = counted.at(-1)?.startedAtMs ?? nowMs;
  // An issue is open: the test was bad in one environment, and is asked to be healthy in all.
  const previousState: TestState | undefined =
    memory === undefined
      ? undefined
      : memory.state === 'healthy'
        ? 'flaky'
        : memory.state === 'suspected'
          ? 'flaky'
          : memory.state;
  const effectiveFailed = rate.failed / rate.dispersion;
  // What happened before the last two clean weeks must not keep a test that was mended from being healthy.
  const cleanDays = (nowMs - (lastFailureMs ?? firstMs)) / DAY_MS;
  const isMended = previousState !== undefined && failures.length > 0 && cleanDays >= 14;
  const recent = isMended ? clean : counted;
  const state = testStateOf({
    commits: isMended
      ? [...new Set(recent.map((row) => row.commit ?? row.runUid))].map(
          (key) => commits.get(key) ?? { passed: 0, failed: 0 },
        )
      : [...commits.values()],
    k: isMended ? 0 : effectiveFailed,
    n: isMended ? recent.length / rate.dispersion : rate.effectiveAttempts,
    cleanRuns: new Set(clean.map(({ runUid }) => runUid)).size,
    cleanDays,
    ...(previousState === undefined || (memory !== undefined && failures.length === 0 && counted.length === 0)
      ? {}
      : { previous: { state: previousState, ...(memory === undefined ? {} : { rateWhenFlagged: memory.rate }) } }),
  });
  return {
    environment: rate.environment,
    state,
    failed: rate.failed,
    attempts: rate.attempts,
    low: rate.interval.low,
    high: rate.interval.high,
    mixedCommits: rate.mixedCommits,
    days: [...days.values()].reverse(),
    failures: failures.slice(0, 20).map(({ startedAtMs, commit, url, message }) => ({
      atMs: startedAtMs,
      ...(commit === undefined ? {} : { commit }),
      ...(url === undefined ? {} : { url }),
      ...(message === undefined ? {} : { message }),
    })),
  };
}

/** The signature of more than half of the failures, when it names a cause. */
function commonSignature(rows: readonly HistoryRow[]): TestHealth['signature'] {
  const failures = rows.filter(({ status, message }) => outcomeOf(status) === 'fail' && message !== undefined);
  const seen = new Map<string, { readonly text: string; count: number }>();
  for (const { message = '' } of failures) {
    const { key, text, weak } = signatureOf({ message });
    if (weak) continue;
    const one = seen.get(key) ?? { text, count: 0 };
    seen.set(key, one);
    one.count += 1;
  }
  const [most] = [...seen].sort(([, a], [, b]) => b.count - a.count);
  return most !== undefined && most[1].count * 2 > failures.length ? { key: most[0], text: most[1].text } : undefined;
}
