import {
  correlationOf,
  dispersionOf,
  effectiveCounts,
  findDefaultPrior,
  isQuarantined,
  outcomeOf,
  readPriors,
  signatureOf,
  verdictOf,
  type FindPrior,
  type FlakeStore,
  type HistoryRow,
  type QuarantineFile,
  type VerdictInput,
} from '../../flake/index.js';
import { testKey, type RunResult } from '../../results/index.js';
import { failuresOf, seriesKey, type FailureEvidence, type TestFailure } from '../failures.js';

export interface EvidenceOptions {
  readonly repository: string;
  readonly pullRequest?: number;
  readonly sha: string;
  readonly nowMs: number;
  /** Paths that the pull request changes, as far as known. */
  readonly changedFiles?: readonly string[];
  readonly quarantine?: QuarantineFile;
  /** Open issues of the bot by test. */
  readonly issueOf?: (failure: TestFailure) => number | undefined;
  readonly signal: AbortSignal;
}

const DAY_MS = 86_400_000;
const BASELINE_DAYS = 30;
const SIGNATURE_DAYS = 90;
/** Attempts of one test that are looked at, newest first. */
const MOST_ROWS = 5_000;
/** Tests whose history is read. A change that breaks more is not understood test by test. */
const MOST_TESTS = 400;

/**
 * A verdict for every failure of a run, from the history of its test elsewhere and, for what is believed before that, from
 * the rates of all tests of the repository in its environment.
 *
 * @param store `undefined` when there is no database yet: every verdict is then undecided or infrastructure
 * @returns by {@link seriesKey}; failures of the tests beyond the first 400 have none
 */
export async function readEvidence(
  run: RunResult,
  store: Pick<FlakeStore, 'history' | 'counts'> | undefined,
  options: EvidenceOptions,
): Promise<Map<string, FailureEvidence>> {
  const failures = failuresOf(run);
  const byTest = new Map<string, TestFailure[]>();
  for (const failure of failures) {
    const key = testKey(failure.id);
    byTest.set(key, [...(byTest.get(key) ?? []), failure]);
  }
  const evidence = new Map<string, FailureEvidence>();
  if (failures.length === 0) return evidence;
  // Whole days: the day of the run holds the run itself when it is recorded already.
  const today = Math.floor(options.nowMs / DAY_MS) * DAY_MS;
  const priorOf: FindPrior =
    store === undefined
      ? findDefaultPrior
      : await readPriors(store, options.repository, { sinceMs: today - BASELINE_DAYS * DAY_MS, untilMs: today });
  for (const same of [...byTest.values()].slice(0, MOST_TESTS)) {
    options.signal.throwIfAborted();
    const [first] = same;
    if (first === undefined) continue;
    const rows =
      (await store?.history(
        { package: first.id.package, test: first.id.name, sinceMs: options.nowMs - SIGNATURE_DAYS * DAY_MS },
        MOST_ROWS,
      )) ?? [];
    for (const failure of same) {
      evidence.set(seriesKey(failure.id, failure.environment), evidenceOf(failure, rows, run, options, priorOf));
    }
  }
  return evidence;
}

/** Pure: what the rows of a test say of one of its failures. */
export function evidenceOf(
  failure: TestFailure,
  history: readonly HistoryRow[],
  run: RunResult,
  options: EvidenceOptions,
  priorOf: FindPrior = findDefaultPrior,
): FailureEvidence {
  const { repository, pullRequest, sha, nowMs } = options;
  // Names may hold `*`, which the store takes for any text.
  const rows = history.filter(
    (row) =>
      row.environment === failure.environment &&
      row.test === failure.id.name &&
      row.package === failure.id.package &&
      (row.repository === repository || row.repository === '') &&
      row.excluded === undefined,
  );
  const isOwn = (row: HistoryRow) =>
    row.commit === sha || (pullRequest !== undefined && row.pullRequest === pullRequest);
  const ownRun = (row: HistoryRow) => row.runUid.endsWith(`#${run.runId}/${failure.cell}`);
  const earlier = rows.filter((row) => row.commit === sha && !ownRun(row));
  const here = {
    failed: failure.failedAttempts + earlier.filter(({ status }) => outcomeOf(status) === 'fail').length,
    passed: failure.passedAttempts + earlier.filter(({ status }) => outcomeOf(status) === 'pass').length,
  };
  const others = rows.filter((row) => !isOwn(row) && outcomeOf(row.status) !== undefined);
  const baseline = others.filter(({ startedAtMs }) => startedAtMs >= nowMs - BASELINE_DAYS * DAY_MS);
  const isFail = (row: HistoryRow) => outcomeOf(row.status) === 'fail';
  const failed = baseline.filter(isFail).length;
  const { k, n } = effectiveCounts(failed, baseline.length, dispersionOf(clustersOf(baseline)));
  const signature = signatureOf({ message: failure.failure?.message ?? '' });
  const alike = others.filter(
    (row) => isFail(row) && signatureOf({ message: row.message ?? '' }).key === signature.key,
  );
  const lastFailure = others.filter(isFail).sort((a, b) => b.startedAtMs - a.startedAtMs)[0];
  const infrastructure = infrastructureOf(failure, run);
  const input: VerdictInput = {
    head: here,
    baseline: { k, n, attempts: baseline.length },
    correlation: correlationOf(clustersOf(baseline.filter((row) => row.pullRequest === undefined))),
    otherFailingCommits: new Set(alike.map(({ commit, runUid }) => commit ?? runUid)).size,
    base: baseOf(others),
    prior: priorOf(failure.environment),
    signature: { isWeak: signature.weak, isNew: alike.length === 0 },
    ...changeOf(failure, options.changedFiles),
    ...(infrastructure === undefined ? {} : { infrastructure }),
  };
  const issue = options.issueOf?.(failure);
  const today = new Date(nowMs).toISOString().slice(0, 10);
  const isInQuarantine =
    options.quarantine !== undefined &&
    isQuarantined(options.quarantine, { test: failure.id.name, environment: failure.environment, today });
  return {
    verdict: verdictOf(input),
    here,
    elsewhere: { failed, attempts: baseline.length },
    ...(lastFailure === undefined
      ? {}
      : {
          lastSeen: {
            day: new Date(lastFailure.startedAtMs).toISOString().slice(0, 10),
            ...(lastFailure.commit === undefined ? {} : { commit: lastFailure.commit }),
          },
        }),
    ...(isInQuarantine ? { quarantined: true } : {}),
    ...(issue === undefined ? {} : { issue }),
  };
}

/** The newest commit of the default branch on which the test came to an end. */
function baseOf(rows: readonly HistoryRow[]): VerdictInput['base'] {
  const base = rows.filter(({ pullRequest }) => pullRequest === undefined);
  const newest = [...base].sort((a, b) => b.startedAtMs - a.startedAtMs)[0];
  if (newest === undefined) return 'unknown';
  const same = base.filter((row) =>
    newest.commit === undefined ? row.runUid === newest.runUid : row.commit === newest.commit,
  );
  return same.some(({ status }) => outcomeOf(status) === 'pass') ? 'passes' : 'fails';
}

function clustersOf(rows: readonly HistoryRow[]): { failures: number; attempts: number }[] {
  const days = new Map<number, { failures: number; attempts: number }>();
  for (const { startedAtMs, status } of rows) {
    const day = Math.floor(startedAtMs / DAY_MS);
    const sum = days.get(day) ?? { failures: 0, attempts: 0 };
    days.set(day, sum);
    sum.attempts += 1;
    if (outcomeOf(status) === 'fail') sum.failures += 1;
  }
  return [...days.values()];
}

/** An infrastructure error of the cell or its cluster, or a failure that the runner itself called an error. */
function infrastructureOf(failure: TestFailure, run: RunResult): string | undefined {
  const error = run.errors.find(
    ({ infrastructure, cell, environment }) =>
      infrastructure && (cell === failure.cell || (cell === undefined && environment === failure.environment)),
  );
  if (error !== undefined) return `${error.message} (${error.code})`;
  return failure.status === 'error' && failure.failure?.kind === 'setup' ? 'setup failed' : undefined;
}

const DOCUMENT = /(?:^|\/)(?:docs?|site)\/|\.(?:md|rst|adoc|txt)$|(?:^|\/)(?:OWNERS|CODEOWNERS|LICENSE)$/;

/** What the change touches: the file of the test, documents only, or other code. */
function changeOf(
  failure: TestFailure,
  files: readonly string[] | undefined,
): { readonly change?: 'test' | 'code' | 'docs' } {
  if (files === undefined || files.length === 0) return {};
  if (files.every((file) => DOCUMENT.test(file))) return { change: 'docs' };
  const { file } = failure;
  const touchesTest =
    file !== undefined && files.some((one) => one === file || one.endsWith(`/${file}`) || file.endsWith(`/${one}`));
  return { change: touchesTest ? 'test' : 'code' };
}
