import { findChangepoints, type CommitCounts } from './changepoint.js';
import { correlationOf, dispersionOf, effectiveCounts, intervalDispersion, type Cluster } from './dispersion.js';
import { jeffreysInterval } from './intervals.js';
import { fitPrior, type BetaPrior } from './prior.js';
import type { Random } from './random.js';
import { verdictOf, type VerdictInput } from '../verdict/verdict.js';

/**
 * Histories whose truth is known, and what the statistics say of them: the score that mk-ci holds itself to. Pure; the
 * generator decides everything.
 */

export interface Scenario {
  readonly name: string;
  /** Mean share of attempts that fail. */
  readonly rate: number;
  readonly days: number;
  readonly runsADay: number;
  /** Share of days that are bad, and how many times the rate is there; the others have less, so that the mean stays. */
  readonly bursts?: { readonly share: number; readonly factor: number };
}

/** Failures and attempts by day. */
export function simulateDays(scenario: Scenario, random: Random): Cluster[] {
  const { rate, days, runsADay, bursts } = scenario;
  return Array.from({ length: days }, () => {
    const p = rateOfDay(rate, bursts, random);
    let failures = 0;
    for (let run = 0; run < runsADay; run += 1) if (random() < p) failures += 1;
    return { failures, attempts: runsADay };
  });
}

function rateOfDay(rate: number, bursts: Scenario['bursts'], random: Random): number {
  if (bursts === undefined) return rate;
  const bad = Math.min(1, rate * bursts.factor);
  if (random() < bursts.share) return bad;
  return Math.max(0, (rate - bursts.share * bad) / (1 - bursts.share));
}

export interface Share {
  readonly hits: number;
  readonly of: number;
}

/** How often the interval shown holds the true rate. */
export function coverageOf(scenario: Scenario, histories: number, random: Random): Share {
  let hits = 0;
  for (let history = 0; history < histories; history += 1) {
    const days = simulateDays(scenario, random);
    const k = days.reduce((sum, { failures }) => sum + failures, 0);
    const n = days.reduce((sum, { attempts }) => sum + attempts, 0);
    const effective = effectiveCounts(k, n, intervalDispersion(dispersionOf(days), days.length));
    const { low, high } = jeffreysInterval(effective.k, effective.n);
    if (low <= scenario.rate && scenario.rate <= high) hits += 1;
  }
  return { hits, of: histories };
}

export interface VerdictScore {
  readonly failures: number;
  readonly accused: number;
  readonly wronglyAccused: number;
  readonly excused: number;
  readonly wronglyExcused: number;
  readonly undecided: number;
}

export interface VerdictScenario {
  /** Rates of the tests, drawn from with equal chance. */
  readonly rates: readonly number[];
  readonly bursts?: Scenario['bursts'];
  readonly days: number;
  readonly runsADay: number;
  /** Chance that a pull request breaks the test it runs. */
  readonly breaks: number;
  readonly pullRequests: number;
  /** Times that a failed test is run again on the same commit. */
  readonly reruns: number;
  /** Tests of the repository that the prior is fitted to, as the product does from 500 on. @default none: the default prior */
  readonly fittedTo?: number;
}

/**
 * Pull requests against a history of the default branch: each breaks the test or not, and what is said of its failures is
 * compared with that. Failures of a break carry a message of their own; half of the flakes share theirs with it.
 */
export function scoreVerdicts(scenario: VerdictScenario, random: Random): VerdictScore {
  const score = { failures: 0, accused: 0, wronglyAccused: 0, excused: 0, wronglyExcused: 0, undecided: 0 };
  const prior = priorOf(scenario, random);
  for (let request = 0; request < scenario.pullRequests; request += 1) {
    const rate = scenario.rates[Math.floor(random() * scenario.rates.length)] ?? 0;
    const isBroken = random() < scenario.breaks;
    // A flake comes on a bad day or on a good one, and its reruns are of the same day.
    const head = attemptsOnHead(isBroken ? 1 : rateOfDay(rate, scenario.bursts, random), scenario, random);
    if (head.failed === 0) continue;
    const history = { name: '', rate, days: scenario.days, runsADay: scenario.runsADay };
    const days = simulateDays(
      scenario.bursts === undefined ? history : { ...history, bursts: scenario.bursts },
      random,
    );
    const verdict = verdictOf({ ...inputOf(days, head, { isBroken, hasOwnMessage: random() < 0.5 }), prior });
    score.failures += 1;
    if (verdict.kind === 'caused') {
      score.accused += 1;
      if (!isBroken) score.wronglyAccused += 1;
    } else if (verdict.kind === 'known-flake') {
      score.excused += 1;
      if (isBroken) score.wronglyExcused += 1;
    } else {
      score.undecided += 1;
    }
  }
  return score;
}

function priorOf({ fittedTo = 0, rates, days, runsADay, bursts }: VerdictScenario, random: Random): BetaPrior {
  const counts = Array.from({ length: fittedTo }, (_, index) => {
    const rate = rates[index % rates.length] ?? 0;
    const clusters = simulateDays(
      { name: '', rate, days, runsADay, ...(bursts === undefined ? {} : { bursts }) },
      random,
    );
    const failures = clusters.reduce((sum, { failures: count }) => sum + count, 0);
    return effectiveCounts(failures, days * runsADay, dispersionOf(clusters));
  });
  return fitPrior(counts);
}

/** Runs again after a failure only, and stops at the first pass: as `--retries` does. */
function attemptsOnHead(rate: number, { reruns }: VerdictScenario, random: Random): VerdictInput['head'] {
  let failed = 0;
  for (let attempt = 0; attempt <= reruns; attempt += 1) {
    if (random() >= rate) return { failed, passed: 1 };
    failed += 1;
  }
  return { failed, passed: 0 };
}

function inputOf(
  days: readonly Cluster[],
  head: VerdictInput['head'],
  { isBroken, hasOwnMessage }: { readonly isBroken: boolean; readonly hasOwnMessage: boolean },
): VerdictInput {
  const failures = days.reduce((sum, { failures: count }) => sum + count, 0);
  const attempts = days.reduce((sum, { attempts: count }) => sum + count, 0);
  const { k, n } = effectiveCounts(failures, attempts, dispersionOf(days));
  // A break fails in its own way, unless the test has but one way to fail.
  const isNew = failures === 0 || (isBroken && hasOwnMessage);
  return {
    head,
    baseline: { k, n, attempts },
    correlation: correlationOf(days),
    otherFailingCommits: isNew ? 0 : failures,
    base: 'passes',
    signature: { isWeak: false, isNew },
  };
}

export interface ChangeScenario {
  /** Commits before and after, and the rates there. */
  readonly before: readonly [commits: number, rate: number];
  readonly after: readonly [commits: number, rate: number];
  readonly attemptsACommit: number;
}

export interface ChangeScore {
  readonly histories: number;
  /** A change was found within three commits of the true one. */
  readonly near: number;
  /** Something was found, wherever. */
  readonly found: number;
  /** The true commit is in the range shown, of those found. */
  readonly inRange: number;
}

export function scoreChanges(scenario: ChangeScenario, histories: number, random: Random): ChangeScore {
  const score = { histories, near: 0, found: 0, inRange: 0 };
  const truth = scenario.before[0];
  for (let history = 0; history < histories; history += 1) {
    const changes = findChangepoints(simulateCommits(scenario, random));
    const best = [...changes].sort((left, right) => Math.abs(left.index - truth) - Math.abs(right.index - truth))[0];
    if (best === undefined) continue;
    score.found += 1;
    if (Math.abs(best.index - truth) <= 3) score.near += 1;
    if (best.range[0] <= truth && truth <= best.range[1]) score.inRange += 1;
  }
  return score;
}

/** Histories without a change in which one is named. */
export function falseChanges(
  scenario: Scenario,
  histories: number,
  random: Random,
  certainty: 'named' | 'suspect' = 'named',
): Share {
  let hits = 0;
  for (let history = 0; history < histories; history += 1) {
    const days = simulateDays(scenario, random);
    // Each day's runs are on commits of their own, so that a burst spans several commits.
    const commits = days.flatMap(({ failures, attempts }, day) =>
      spread(failures, attempts, random).map((failed, index) => ({ commit: `${day}-${index}`, failed, attempts: 1 })),
    );
    const changes = findChangepoints(commits, dispersionOf(days));
    if (changes.some((change) => certainty === 'suspect' || change.certainty === 'named')) hits += 1;
  }
  return { hits, of: histories };
}

function simulateCommits({ before, after, attemptsACommit }: ChangeScenario, random: Random): CommitCounts[] {
  return [before, after].flatMap(([commits, rate], side) =>
    Array.from({ length: commits }, (_, index) => {
      let failed = 0;
      for (let attempt = 0; attempt < attemptsACommit; attempt += 1) if (random() < rate) failed += 1;
      return { commit: `${side}-${index}`, failed, attempts: attemptsACommit };
    }),
  );
}

/** So many failures among so many places, in random order. */
function spread(failures: number, places: number, random: Random): number[] {
  const list = Array.from({ length: places }, (_, index) => Number(index < failures));
  for (let at = list.length - 1; at > 0; at -= 1) {
    const other = Math.floor(random() * (at + 1));
    [list[at], list[other]] = [list[other] ?? 0, list[at] ?? 0];
  }
  return list;
}
