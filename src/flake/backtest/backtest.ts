import { correlationOf, dispersionOf, effectiveCounts, type Cluster } from '../statistics/dispersion.js';
import { fitPrior, DEFAULT_PRIOR, type BetaPrior } from '../statistics/prior.js';
import { dayOf } from '../store/record.js';
import { verdictOf, type Verdict, type VerdictInput } from '../verdict/verdict.js';

/** Attempts of one test in one run, as far as a verdict needs them. */
export interface RunOutcome {
  readonly atMs: number;
  readonly commit: string;
  readonly pullRequest?: number;
  readonly passed: number;
  readonly failed: number;
  /** Of the failures; empty when nothing failed or no message is known. */
  readonly signatures: readonly { readonly key: string; readonly weak: boolean }[];
}

/** All runs of one test in one environment, oldest first. */
export interface Series {
  readonly repository: string;
  readonly environment: string;
  readonly package: string;
  readonly test: string;
  readonly runs: readonly RunOutcome[];
}

/**
 * What became known afterwards. `flake`: the test passed on the very same commit. `caused`: it failed there in at least
 * three attempts and never passed, the default branch passed after it, and a flake of the rate that the test has elsewhere
 * would not do that ({@link SURE} to one). Everything else stays open and is not scored.
 */
export type Truth = 'flake' | 'caused' | 'open';

export interface Judgement {
  readonly repository: string;
  readonly environment: string;
  readonly package: string;
  readonly test: string;
  readonly pullRequest: number;
  readonly commit: string;
  readonly atMs: number;
  readonly verdict: Verdict;
  readonly truth: Truth;
}

/** Window of the baseline: what a verdict at that time would have been based on. */
const BASELINE_MS = 30 * 86_400_000;
const NEW_SIGNATURE_MS = 90 * 86_400_000;
/** Chance that a pull request breaks a given test, and the odds from which that is taken for known. */
const BREAKS = 0.002;
const SURE = 99;

/**
 * What would have been said of each failure on a pull request at the time of its run, from nothing that came later, and
 * what later came out. Pure.
 *
 * @param series their runs oldest first
 * @returns oldest first; one judgement for each test, environment and run of a pull request with a failure, so that a
 *   rerun is judged with what the run before it showed
 */
export function backtest(series: readonly Series[]): Judgement[] {
  const priors = new PriorCache(series);
  return series
    .flatMap((one) => judgeSeries(one, priors))
    .sort((left, right) => left.atMs - right.atMs || (left.test < right.test ? -1 : left.test > right.test ? 1 : 0));
}

function judgeSeries(one: Series, priors: PriorCache): Judgement[] {
  return one.runs.flatMap((run, index) => {
    const { pullRequest, commit } = run;
    if (pullRequest === undefined || run.failed === 0) return [];
    const input = inputAt(one.runs.slice(0, index + 1), run, pullRequest);
    const verdict = verdictOf({ ...input, prior: priors.at(one, run.atMs) });
    const { repository, environment, package: pkg, test } = one;
    const truth = truthOf(one.runs, index, pullRequest);
    return [{ repository, environment, package: pkg, test, pullRequest, commit, atMs: run.atMs, verdict, truth }];
  });
}

/** @param known runs up to and with the failed one */
function inputAt(known: readonly RunOutcome[], run: RunOutcome, pullRequest: number): VerdictInput {
  const head = known.filter(({ commit, pullRequest: number }) => commit === run.commit && number === pullRequest);
  const others = known.filter(({ pullRequest: number }) => number !== pullRequest);
  const recent = others.filter(({ atMs }) => atMs >= run.atMs - BASELINE_MS);
  const keys = new Set(run.signatures.map(({ key }) => key));
  const isNamed = run.signatures.some(({ weak }) => !weak);
  const alike = others.filter(({ atMs, signatures }) => {
    return atMs >= run.atMs - NEW_SIGNATURE_MS && signatures.some(({ key }) => keys.has(key));
  });
  const base = others.filter(({ pullRequest: number }) => number === undefined);
  const newest = base.filter(({ commit }) => commit === base.at(-1)?.commit);
  return {
    head: { failed: sum(head, 'failed'), passed: sum(head, 'passed') },
    baseline: baselineOf(recent),
    correlation: correlationOf(daysOf(recent.filter(({ pullRequest: number }) => number === undefined))),
    otherFailingCommits: new Set(alike.map(({ commit }) => commit)).size,
    base: newest.length === 0 ? 'unknown' : sum(newest, 'passed') > 0 ? 'passes' : 'fails',
    signature: { isWeak: !isNamed, isNew: isNamed && alike.length === 0 },
  };
}

/** Failures of attempts, days as clusters, divided by the dispersion. */
export function baselineOf(runs: readonly RunOutcome[]): VerdictInput['baseline'] {
  const failures = sum(runs, 'failed');
  const attempts = failures + sum(runs, 'passed');
  const { k, n } = effectiveCounts(failures, attempts, dispersionOf(daysOf(runs)));
  return { k, n, attempts };
}

function daysOf(runs: readonly RunOutcome[]): Cluster[] {
  const days = new Map<number, { failures: number; attempts: number }>();
  for (const { atMs, passed, failed } of runs) {
    const day = days.get(dayOf(atMs)) ?? { failures: 0, attempts: 0 };
    days.set(dayOf(atMs), day);
    day.failures += failed;
    day.attempts += passed + failed;
  }
  return [...days.values()];
}

/** @param index of the judged run */
function truthOf(runs: readonly RunOutcome[], index: number, pullRequest: number): Truth {
  const run = runs[index];
  if (run === undefined) return 'open';
  const same = runs.filter((other) => other.commit === run.commit);
  if (sum(same, 'passed') > 0) return 'flake';
  const failures = sum(same, 'failed');
  const isNear = ({ atMs }: RunOutcome): boolean => Math.abs(atMs - run.atMs) <= BASELINE_MS;
  const others = runs.filter((other) => other.pullRequest !== pullRequest && isNear(other));
  const { k, n } = baselineOf(others);
  const odds = BREAKS / ((k + 0.5) / (n + 1)) ** failures;
  // The default branch passing right after it rules out that the test was broken there.
  const base = runs.slice(index + 1).filter((other) => other.pullRequest === undefined && isNear(other));
  return failures >= 3 && odds >= SURE && sum(base.slice(0, 3), 'passed') > 0 ? 'caused' : 'open';
}

function sum(runs: readonly RunOutcome[], member: 'passed' | 'failed'): number {
  return runs.reduce((total, run) => total + run[member], 0);
}

/** The prior of a repository and environment at a time, fitted anew once a week of the history. */
class PriorCache {
  readonly #groups = new Map<string, Series[]>();
  readonly #priors = new Map<string, BetaPrior>();

  constructor(series: readonly Series[]) {
    for (const one of series) {
      const group = this.#groups.get(groupOf(one));
      if (group === undefined) this.#groups.set(groupOf(one), [one]);
      else group.push(one);
    }
  }

  at(one: Series, atMs: number): BetaPrior {
    const group = this.#groups.get(groupOf(one)) ?? [];
    if (group.length < 500) return DEFAULT_PRIOR;
    const week = Math.floor(dayOf(atMs) / 7);
    const key = `${groupOf(one)}\0${week}`;
    const known = this.#priors.get(key);
    if (known !== undefined) return known;
    const until = week * 7 * 86_400_000;
    const prior = fitPrior(
      group.map(({ runs }) => baselineOf(runs.filter((run) => run.atMs < until && run.atMs >= until - BASELINE_MS))),
    );
    this.#priors.set(key, prior);
    return prior;
  }
}

function groupOf({ repository, environment }: Series): string {
  return `${repository}\0${environment}`;
}
