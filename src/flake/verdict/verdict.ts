import { PRIOR_CORRELATION } from '../statistics/dispersion.js';
import { logBeta } from '../statistics/gamma.js';
import { DEFAULT_PRIOR, type BetaPrior } from '../statistics/prior.js';

/** What a failure on a pull request is put down to. */
export type VerdictKind = 'caused' | 'known-flake' | 'undecided' | 'broken-on-base' | 'infrastructure';

export interface VerdictInput {
  /** Attempts of the test on the head of the pull request, all of its runs. */
  readonly head: { readonly failed: number; readonly passed: number };
  /**
   * Attempts of the test in the same environment without this pull request, k failed of n, both divided by the dispersion;
   * `attempts` is the number before.
   */
  readonly baseline: { readonly k: number; readonly n: number; readonly attempts: number };
  /**
   * How alike attempts of one day are, 0…1; `correlationOf` runs of the default branch, as what another change broke is no bad
   * day. @default 0
   */
  readonly correlation?: number;
  /** Commits other than this pull request's on which the test failed with a signature of the same class. */
  readonly otherFailingCommits: number;
  /** What the merge base, or the newest default branch run, says of the test. */
  readonly base: 'passes' | 'fails' | 'unknown';
  readonly signature: {
    /** A message such as `exit status 1`, which says nothing of the cause. */
    readonly isWeak: boolean;
    /** Not seen on any other branch in 90 days. */
    readonly isNew: boolean;
  };
  /** What the change touches, as far as it is known. @default 'code' */
  readonly change?: 'test' | 'code' | 'docs';
  /** Why the run says nothing about its tests. */
  readonly infrastructure?: string;
  readonly prior?: BetaPrior;
}

export interface Verdict {
  readonly kind: VerdictKind;
  /** Probability that the change broke the test, 0…1. */
  readonly causedProbability: number;
  /** Caused against flake. */
  readonly odds: number;
  /** Everything it rests on, one fact each, for people. */
  readonly evidence: readonly string[];
}

/** Chance that a pull request breaks a given test, by what it touches. */
const BREAKS = { test: 0.02, code: 0.002, docs: 0.0002 } as const;
/**
 * No accusation may itself be wrong in more than one of a hundred cases: where all tests flake, two failures on a spotless month
 * leave a chance of 97 to 98 %, and of those that were accused, 1.3 to 2.7 % were flakes (`bench/simulate.ts`).
 */
const ACCUSE = 0.99;
/**
 * After two failures, with the prior of nobody's tests in particular: it gives a spotless test fifteen times the failures that
 * such tests have, so that 97 % are more than 99.
 */
const ACCUSE_UNFITTED = 0.97;
const EXCUSE = 0.1;
/** So many clean attempts make one failure count like two. */
const CLEAN_HISTORY = 300;

/**
 * Puts a failure down to the change, to a known flake or to neither.
 *
 * Posterior odds with a sparse prior on the failure rate; an accusation and an excuse each need evidence beyond the odds,
 * and without it the answer is to run again.
 *
 * @see flake-and-reports.md 2.4 for the formulas and what they were measured to do
 */
export function verdictOf(input: VerdictInput): Verdict {
  const { head, baseline, base, signature, change = 'code', prior = DEFAULT_PRIOR } = input;
  const odds = oddsCaused(head, baseline, BREAKS[change], prior, correlationOf(input.correlation ?? 0, prior));
  const causedProbability = odds === Infinity ? 1 : odds / (1 + odds);
  const say = (kind: VerdictKind): Verdict => ({ kind, causedProbability, odds, evidence: evidenceOf(input) });
  if (input.infrastructure !== undefined) return say('infrastructure');
  if (head.failed === 0) return say('undecided');
  if (base === 'fails') return say('broken-on-base');
  const failedAgain = head.failed >= 2 && head.passed === 0;
  const isWitnessed =
    failedAgain || (baseline.k === 0 && baseline.attempts >= CLEAN_HISTORY) || (signature.isNew && !signature.isWeak);
  const accuse = failedAgain && prior === DEFAULT_PRIOR ? ACCUSE_UNFITTED : ACCUSE;
  if (causedProbability >= accuse && isWitnessed && base === 'passes') return say('caused');
  const isKnown = input.otherFailingCommits >= 2 && !signature.isWeak && !signature.isNew && change !== 'test';
  if (causedProbability <= EXCUSE && isKnown) return say('known-flake');
  return say('undecided');
}

/**
 * Odds of "this change broke it" against "it flakes as before".
 *
 * With failures only, a break explains them with certainty. One pass on the same commit rules a certain break out; then
 * "the change made it flaky", at any rate (Jeffreys), stands against the old rate.
 *
 * @param correlation of attempts that are close in time, 0…1: 0 takes each attempt for a witness of its own; above it the
 *   rate of the moment is itself Beta distributed around the test's rate, so that a second failure after a first is likelier.
 *   Exact: a product of such terms is a polynomial in the rate, whose moments are known.
 */
export function oddsCaused(
  head: VerdictInput['head'],
  { k, n }: { readonly k: number; readonly n: number },
  breaks: number,
  { alpha, beta }: BetaPrior = DEFAULT_PRIOR,
  correlation = 0,
): number {
  const { failed: m, passed: s } = head;
  const logFlake = logChanceOf(head, alpha + k, beta + n - k, correlation);
  const logBroken = s === 0 ? 0 : logBeta(0.5 + m, 0.5 + s) - logBeta(0.5, 0.5);
  return (breaks / (1 - breaks)) * Math.exp(logBroken - logFlake);
}

/** Log of P(these attempts in this order) for a rate that is Beta(a, b) distributed. */
function logChanceOf({ failed, passed }: VerdictInput['head'], a: number, b: number, correlation: number): number {
  const base = logBeta(a, b);
  if (correlation === 0 || failed + passed > MOST_CORRELATED) return logBeta(a + failed, b + passed) - base;
  // With θ = ρ ÷ (1 − ρ): ∏ (p + iθ) · ∏ (1 − p + jθ) ÷ ∏ (1 + kθ), expanded in powers of p and 1 − p.
  const theta = correlation / (1 - correlation);
  const ofFailures = risingProduct(failed, theta);
  const ofPasses = risingProduct(passed, theta);
  let sum = 0;
  for (const [i, left] of ofFailures.entries()) {
    for (const [j, right] of ofPasses.entries()) sum += left * right * Math.exp(logBeta(a + i, b + j) - base);
  }
  let all = 0;
  for (let attempt = 1; attempt < failed + passed; attempt += 1) all += Math.log1p(attempt * theta);
  return Math.log(sum) - all;
}

/** More attempts on one commit are counted as independent: nobody runs a test that often by hand. */
const MOST_CORRELATED = 100;

/** Coefficients of x·(x + θ)·(x + 2θ)…, `count` factors, by power of x. */
function risingProduct(count: number, theta: number): number[] {
  let coefficients = [1];
  for (let factor = 0; factor < count; factor += 1) {
    const next = [...coefficients.map((value) => value * factor * theta), 0];
    for (const [power, value] of coefficients.entries()) next[power + 1] = (next[power + 1] ?? 0) + value;
    coefficients = next;
  }
  return coefficients;
}

/**
 * A month without a bad day does not prove that there are none, where tests flake at all: below 1 the prior's alpha says that
 * most do not. Were bursts believed of those, no failure of a change could be told from a flake.
 */
function correlationOf(seen: number, { alpha }: BetaPrior): number {
  return Math.max(seen, PRIOR_CORRELATION * Math.min(1, alpha));
}

function evidenceOf(input: VerdictInput): string[] {
  const { head, baseline, base, signature, change, infrastructure, otherFailingCommits } = input;
  const failures = Math.round(baseline.n === 0 ? 0 : (baseline.k / baseline.n) * baseline.attempts);
  return [
    ...(infrastructure === undefined ? [] : [`infrastructure: ${infrastructure}`]),
    `on this change: ${head.failed} failed, ${head.passed} passed`,
    baseline.attempts === 0 ? 'elsewhere: never run' : `elsewhere: ${failures} of ${baseline.attempts} failed`,
    `failed in the same way on ${otherFailingCommits} other commits`,
    { passes: 'the base passes', fails: 'the base fails', unknown: 'nothing is known of the base' }[base],
    ...(signature.isWeak ? ['the message names no cause'] : []),
    ...(signature.isNew ? ['this failure was not seen elsewhere in 90 days'] : []),
    ...(change === 'test' ? ['the change touches the test'] : []),
    ...(change === 'docs' ? ['the change touches documents only'] : []),
  ];
}
