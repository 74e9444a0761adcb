import { logGamma } from './gamma.js';

/** All attempts of a test on one commit, in the order of commits. */
export interface CommitCounts {
  readonly commit: string;
  readonly failed: number;
  readonly attempts: number;
  /** First-parent number; commits that were not tested widen the range before the next one. */
  readonly position?: number;
}

export interface Changepoint {
  /** Index of the first commit after the change. */
  readonly index: number;
  /** `named`: strong enough to name the commit; `suspect`: worth a look. */
  readonly certainty: 'named' | 'suspect';
  /** Log of the likelihood ratio of two rates against one. */
  readonly logGain: number;
  /** Indexes between which the change lies with 99 % probability, both inclusive. */
  readonly range: readonly [number, number];
  /** Commits on both sides, up to the next changepoint: mean share of failed attempts, number of commits. */
  readonly before: Segment;
  readonly after: Segment;
}

export interface Segment {
  readonly rate: number;
  readonly commits: number;
}

/** Beta prior of a segment's rate and how small the chance of a false alarm is to be. */
const LEVELS = {
  named: { alpha: 0.3, beta: 0.5, threshold: -Math.log(1e-4) },
  suspect: { alpha: 0.1, beta: 0.5, threshold: -Math.log(1e-3) },
} as const;

/** Share of the posterior outside of the range shown. */
const OUTSIDE = 0.01;

/**
 * Where the failure rate of a test changed.
 *
 * Each commit counts as one pseudo-run with the share of its attempts that failed, so ten reruns of one commit are not ten
 * witnesses; `dispersion` divides further when failures come in bursts over several commits. The best split is taken when
 * two rates explain the history better than one by more than the threshold, and the search goes on in both halves.
 *
 * @param commits oldest first; commits without attempts are ignored
 * @param dispersion at least 1. @default 1
 * @returns oldest first
 * @see {@link https://pkg.go.dev/go.chromium.org/luci/analysis/internal/changepoints/bayesian} for the likelihood
 */
export function findChangepoints(commits: readonly CommitCounts[], dispersion = 1): Changepoint[] {
  const tested = commits.flatMap((commit, index) => (commit.attempts > 0 ? [{ ...commit, index }] : []));
  const sums = [0];
  for (const { failed, attempts } of tested) sums.push((sums.at(-1) ?? 0) + failed / attempts);
  const found: { at: number; split: Split }[] = [];
  const search = (from: number, to: number): void => {
    const split = bestSplit(sums, from, to, dispersion);
    if (split === undefined) return;
    search(from, split.at);
    found.push({ at: split.at, split });
    search(split.at, to);
  };
  search(0, tested.length);
  const borders = [0, ...found.map(({ at }) => at), tested.length];
  const segment = (from: number, to: number): Segment => ({
    rate: ((sums[to] ?? 0) - (sums[from] ?? 0)) / (to - from),
    commits: to - from,
  });
  const original = (at: number): number => tested[at]?.index ?? commits.length - 1;
  return found.map(({ at, split }, index) => {
    const [low, high] = rangeOf(split, tested);
    return {
      index: original(at),
      certainty: split.certainty,
      logGain: split.logGain,
      range: [original(low), original(high)],
      before: segment(borders[index] ?? 0, at),
      after: segment(at, borders[index + 2] ?? tested.length),
    };
  });
}

interface Split {
  readonly at: number;
  readonly certainty: 'named' | 'suspect';
  readonly logGain: number;
  /** First candidate of `gains`. */
  readonly from: number;
  readonly gains: readonly number[];
}

function bestSplit(sums: readonly number[], from: number, to: number, dispersion: number): Split | undefined {
  if (to - from < 2) return undefined;
  // Over commits of equal share the gain is convex in the place of the split (the beta function is log-convex), so it is
  // greatest where the share changes: a test that rarely fails has few such places.
  const changes: number[] = [];
  for (let at = from + 1; at < to; at += 1) if (shareAt(sums, at) !== shareAt(sums, at - 1)) changes.push(at);
  for (const certainty of ['named', 'suspect'] as const) {
    const { alpha, beta, threshold } = LEVELS[certainty];
    const constant = logGamma(alpha + beta) - logGamma(alpha) - logGamma(beta);
    const likelihood = (low: number, high: number): number => {
      const x = ((sums[high] ?? 0) - (sums[low] ?? 0)) / dispersion;
      const n = (high - low) / dispersion;
      return constant + logGamma(x + alpha) + logGamma(n - x + beta) - logGamma(n + alpha + beta);
    };
    const whole = likelihood(from, to);
    const gainOf = (at: number): number => likelihood(from, at) + likelihood(at, to) - whole;
    if (!changes.some((at) => gainOf(at) > threshold)) continue;
    const gains: number[] = [];
    for (let at = from + 1; at < to; at += 1) gains.push(gainOf(at));
    let best = 0;
    for (const [index, gain] of gains.entries()) if (gain > (gains[best] ?? -Infinity)) best = index;
    return { at: from + 1 + best, certainty, logGain: gains[best] ?? -Infinity, from: from + 1, gains };
  }
  return undefined;
}

/** Share of one commit; sums of fractions are off in their last digits. */
function shareAt(sums: readonly number[], at: number): number {
  return Math.round(((sums[at + 1] ?? 0) - (sums[at] ?? 0)) * 1e9);
}

/** Log of the chance of x failures in n, in a given order, when the rate is Beta(a, b) distributed. */
export function logMarginalOf(x: number, n: number, a: number, b: number): number {
  return logGamma(a + b) - logGamma(a) - logGamma(b) + logGamma(x + a) + logGamma(n - x + b) - logGamma(n + a + b);
}

/** Positions that hold all but {@link OUTSIDE} of the posterior; a gap of untested commits weighs as many as it has. */
function rangeOf({ gains, from, logGain }: Split, commits: readonly CommitCounts[]): [number, number] {
  const weights = gains.map((gain, index) => {
    const here = commits[from + index]?.position;
    const previous = commits[from + index - 1]?.position;
    const gap = here === undefined || previous === undefined ? 1 : Math.max(1, here - previous);
    return Math.exp(gain - logGain) * gap;
  });
  const all = weights.reduce((sum, weight) => sum + weight, 0);
  let low = 0;
  for (let tail = weights[0] ?? 0; tail < (all * OUTSIDE) / 2; tail += weights[low] ?? all) low += 1;
  let high = weights.length - 1;
  for (let tail = weights[high] ?? 0; tail < (all * OUTSIDE) / 2; tail += weights[high] ?? all) high -= 1;
  return [from + low, from + high];
}
