import { inCommitOrder } from './commit-order.js';
import { durationRegression, type DurationRegression } from './statistics/duration-regression.js';
import { findChangepoints, type Changepoint, type CommitCounts } from './statistics/changepoint.js';
import type { FlakeRate } from './statistics/flake-rate.js';
import { readRates } from './rates.js';
import { DAY_MS, outcomeOf } from './store/record.js';
import type { Filter, FlakeStore, HistoryRow, SignatureRow } from './store/store.js';
import { stateByHistory, type StateNow } from './verdict/state-history.js';
import { duration, formatTable, harmless, paint, percent, sparkline } from './text/table.js';

/** One signature of a test's failures. */
export interface SignatureSeen {
  readonly key: string;
  readonly text: string;
  readonly weak: boolean;
  /** Failed attempts, and the commits they were on. */
  readonly count: number;
  readonly commits: number;
  /** ISO 8601. */
  readonly firstAt: string;
  readonly lastAt: string;
}

/** Everything that is said of one test in one environment. */
export interface TestReport {
  readonly rate: FlakeRate;
  /** Failed share by UTC day that had an attempt, oldest first. */
  readonly days: readonly { readonly day: string; readonly failed: number; readonly attempts: number }[];
  readonly changepoints: readonly (Changepoint & { readonly commit: string })[];
  /** Healthy, suspected, flaky or broken, and since when: by up to 60 days more than the window. */
  readonly state: StateNow;
  /** Newest passes against those before; absent with fewer than 10 of each. */
  readonly durations?: DurationRegression;
  /** Added by callers that know the owners. */
  readonly owner?: string;
  /** Most frequent first. */
  readonly signatures: readonly SignatureSeen[];
}

const STATE_DAYS = 60;

/** @param limit most attempts that are looked at; newest first */
export async function readTestReports(
  store: Pick<FlakeStore, 'counts' | 'history' | 'signatures'>,
  filter: Filter,
  limit: number,
): Promise<TestReport[]> {
  const rates = await readRates(store, filter);
  const history = new Map<string, HistoryRow[]>();
  const { sinceMs } = filter;
  const longer = sinceMs === undefined ? filter : { ...filter, sinceMs: sinceMs - STATE_DAYS * DAY_MS };
  for (const row of await store.history(longer, limit)) {
    if (row.excluded !== undefined) continue;
    const key = seriesKey(row);
    const list = history.get(key);
    if (list === undefined) history.set(key, [row]);
    else list.push(row);
  }
  const signatures = await store.signatures(filter);
  return rates.map((rate) => {
    const all = [...(history.get(seriesKey(rate)) ?? [])].reverse();
    const rows = sinceMs === undefined ? all : all.filter(({ startedAtMs }) => startedAtMs >= sinceMs);
    const durations = durationRegression(passTimes(rows));
    const commits = commitsOf(rows);
    return {
      rate,
      days: daysOf(rows),
      state: stateByHistory(all),
      ...(durations === undefined ? {} : { durations }),
      changepoints: findChangepoints(commits, rate.dispersion).map((change) => ({
        ...change,
        commit: commits[change.index]?.commit ?? '',
      })),
      signatures: signaturesOf(signatures.filter((row) => seriesKey(row) === seriesKey(rate))),
    };
  });
}

function seriesKey(row: Pick<HistoryRow, 'repository' | 'environment' | 'package' | 'test'>): string {
  return [row.repository, row.environment, row.package, row.test].join('\0');
}

/** Of first attempts: failures measure time limits, and reruns find everything warm. */
function passTimes(rows: readonly HistoryRow[]): number[] {
  return rows.flatMap(({ status, attempt, durationMs }) =>
    status === 'passed' && attempt === 1 && durationMs !== undefined ? [durationMs] : [],
  );
}

/** Counts by commit in the order of first-parent numbers where they are known, else of first runs. */
function commitsOf(rows: readonly HistoryRow[]): CommitCounts[] {
  const commits = new Map<string, { commit: string; failed: number; attempts: number; position?: number }>();
  for (const row of rows) {
    const outcome = outcomeOf(row.status);
    if (outcome === undefined) continue;
    const name = row.commit ?? row.runUid;
    let commit = commits.get(name);
    if (commit === undefined) {
      commit = {
        commit: name,
        failed: 0,
        attempts: 0,
        ...(row.position === undefined ? {} : { position: row.position }),
      };
      commits.set(name, commit);
    }
    commit.attempts += 1;
    if (outcome === 'fail') commit.failed += 1;
  }
  return inCommitOrder([...commits.values()]);
}

function daysOf(rows: readonly HistoryRow[]): TestReport['days'] {
  const days = new Map<string, { day: string; failed: number; attempts: number }>();
  for (const { startedAtMs, status } of rows) {
    const outcome = outcomeOf(status);
    if (outcome === undefined) continue;
    const day = new Date(startedAtMs).toISOString().slice(0, 10);
    const sum = days.get(day) ?? { day, failed: 0, attempts: 0 };
    days.set(day, sum);
    sum.attempts += 1;
    if (outcome === 'fail') sum.failed += 1;
  }
  return [...days.values()];
}

function signaturesOf(rows: readonly SignatureRow[]): SignatureSeen[] {
  return rows.map(({ key, text, weak, failures, commits, firstAtMs, lastAtMs }) => ({
    key,
    text,
    weak,
    count: failures,
    commits,
    firstAt: new Date(firstAtMs).toISOString(),
    lastAt: new Date(lastAtMs).toISOString(),
  }));
}

const STATE_COLORS = { healthy: 'green', suspected: 'yellow', flaky: 'yellow', broken: 'red' } as const;

function durationLine(durations: DurationRegression, color: boolean): string {
  const { slower, medianBeforeMs, medianNowMs, p, samplesBefore, samplesNow } = durations;
  const medians = `median ${duration(medianBeforeMs)} over ${samplesBefore} passes → ${duration(medianNowMs)} over the last ${samplesNow}`;
  const chance = p < 0.001 ? 'p < 0.001' : `p = ${p.toFixed(3)}`;
  return slower ? `  ${paint('slower than before', 'yellow', color)}: ${medians} (${chance})` : `  time    ${medians}`;
}

/** For people. */
export function testReportText(
  reports: readonly TestReport[],
  { color, window }: { readonly color: boolean; readonly window: string },
): string {
  if (reports.length === 0) return `no attempt ${window}\n`;
  return reports
    .map(({ rate, days, changepoints, signatures, state, durations, owner }) => {
      const lines = [
        paint(harmless(`${rate.package === '' ? '' : `${rate.package} `}${rate.test}`), 'bold', color) +
          harmless(` in ${rate.environment}: `) +
          paint(state.state, STATE_COLORS[state.state], color) +
          (state.since === undefined ? '' : ` since ${state.since}`) +
          (owner === undefined ? '' : harmless(`; owner ${owner}`)),
        `  failed ${rate.failed} of ${rate.attempts} attempts ${window}: ${percent(rate.rate)}, 95 % interval ${percent(rate.interval.low)} – ${percent(rate.interval.high)}`,
        `  mixed results on ${rate.mixedCommits} of ${rate.failingCommits} failing commits and in ${rate.mixedRuns} of ${rate.runs} runs; mean time ${duration(rate.durationMs)}`,
        `  by day  ${sparkline(
          days.map(({ failed, attempts }) => failed / attempts),
          1,
        )}  ${days[0]?.day ?? ''} – ${days.at(-1)?.day ?? ''}`,
        ...changepoints.map(
          ({ commit, certainty, before, after, range }) =>
            `  changed at ${harmless(commit.slice(0, 12))} (${certainty}, within ${range[1] - range[0] + 1} commits): ${percent(before.rate)} over ${before.commits} commits → ${percent(after.rate)} over ${after.commits}`,
        ),
        ...(durations === undefined ? [] : [durationLine(durations, color)]),
      ];
      const table =
        signatures.length === 0
          ? ''
          : formatTable(
              signatures,
              [
                { title: '  signature', value: ({ key }) => `  ${key}` },
                { title: 'times', align: 'right', value: ({ count }) => String(count) },
                { title: 'first seen', value: ({ firstAt }) => firstAt.slice(0, 10) },
                { title: 'last seen', value: ({ lastAt }) => lastAt.slice(0, 10) },
                {
                  title: 'failure',
                  value: ({ text, weak }) => `${text.split('\n')[0] ?? ''}${weak ? ' (names no cause)' : ''}`,
                  maxWidth: 100,
                },
              ],
              { color },
            );
      return `${lines.join('\n')}\n${table}`;
    })
    .join('\n');
}

/** Attempts as a table. */
export function historyTable(rows: readonly HistoryRow[], options: { readonly color: boolean }): string {
  if (rows.length === 0) return 'no attempt\n';
  return formatTable(
    rows,
    [
      { title: 'when', value: ({ startedAtMs }) => new Date(startedAtMs).toISOString().slice(0, 16).replace('T', ' ') },
      { title: 'environment', value: ({ environment }) => environment, maxWidth: 32 },
      { title: 'test', value: ({ test }) => test, maxWidth: 60 },
      { title: 'commit', value: ({ commit }) => commit?.slice(0, 10) ?? '–' },
      { title: 'attempt', align: 'right', value: ({ attempt }) => String(attempt) },
      {
        title: 'status',
        value: ({ status, excluded }) => (excluded === undefined ? status : `${status} (not counted)`),
        color: ({ status }) => (status === 'passed' ? 'green' : status === 'skipped' ? 'dim' : 'red'),
      },
      { title: 'time', align: 'right', value: ({ durationMs }) => duration(durationMs) },
      { title: 'failure', value: ({ message }) => message ?? '', maxWidth: 80 },
    ],
    options,
  );
}
