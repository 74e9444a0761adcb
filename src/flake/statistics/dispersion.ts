import { LEVEL, normalQuantile, studentQuantile } from './intervals.js';

/** Failures and attempts of one cluster: a UTC day in our use. */
export interface Cluster {
  readonly failures: number;
  readonly attempts: number;
}

/** Attempts as if they were independent: k and n divided by the dispersion. */
export interface EffectiveCounts {
  readonly k: number;
  readonly n: number;
  /** Variance over binomial variance, at least 1. */
  readonly dispersion: number;
}

/** Median of 50 flaky tests with 4,000 ordered runs each (Lam 2020): what is believed before there is evidence. */
export const PRIOR_DISPERSION = 1.5;
/** How many clusters of evidence that belief is worth. */
export const PRIOR_WEIGHT = 5;

/**
 * How much more the failures of a test vary between clusters than independent attempts would: real flakes come in bursts
 * (a bad machine, a bad day), and an interval that ignores this is too narrow.
 *
 * Pearson's χ² over the clusters, shrunk towards {@link PRIOR_DISPERSION} as if that had been seen in
 * {@link PRIOR_WEIGHT} more, and never below 1.
 *
 * @param clusters order does not matter; clusters without attempts are ignored
 */
export function dispersionOf(clusters: readonly Cluster[]): number {
  const used = clusters.filter(({ attempts }) => attempts > 0);
  return dispersionOfSums({
    failures: used.reduce((sum, { failures }) => sum + failures, 0),
    attempts: used.reduce((sum, { attempts }) => sum + attempts, 0),
    clusters: used.length,
    squares: used.reduce((sum, { failures, attempts }) => sum + (failures * failures) / attempts, 0),
  });
}

/** The same from sums that a database can make: Σ (k − np)² / (np(1−p)) = (Σ k²/n − K²/N) / (p(1−p)). */
export function dispersionOfSums(sums: {
  readonly failures: number;
  readonly attempts: number;
  /** How many clusters have attempts. */
  readonly clusters: number;
  /** Σ failures² ÷ attempts. */
  readonly squares: number;
}): number {
  const { failures, attempts, clusters, squares } = sums;
  const p = attempts === 0 ? 0 : failures / attempts;
  if (clusters < 2 || p === 0 || p === 1) return PRIOR_DISPERSION;
  const chiSquare = Math.max(0, squares - (failures * failures) / attempts) / (p * (1 - p));
  return Math.max(1, (chiSquare + PRIOR_DISPERSION * PRIOR_WEIGHT) / (clusters - 1 + PRIOR_WEIGHT));
}

/**
 * How far from normal the rates of bursty days are (excess kurtosis): a few bad days among many good ones carry the whole
 * estimate. That of a gamma distribution with shape 3/8; a normal one would have 0, an exponential one 6.
 */
export const BURST_KURTOSIS = 16;

/**
 * Dispersion for an interval: that of {@link dispersionOf}, more because it is itself an estimate. As with any spread that is
 * estimated, Student's quantile stands for the normal one; the interval's width goes with the root.
 *
 * Only what is above 1 is estimated, the binomial part is known: by Satterthwaite the degrees of freedom are those of the
 * estimated part over the square of its share in the whole, (m − 1 + {@link PRIOR_WEIGHT}) ÷ (((φ − 1)/φ)² · (1 + κ/2)) for m
 * clusters whose rates have the excess kurtosis κ; rounded down to whole ones, as for tables. With m − 1 + weight for every test,
 * intervals of steady tests held the true rate in 97 of 100 months and those of bursty ones in 92 (`bench/simulate.ts`).
 *
 * @param clusters that have attempts; below two the dispersion is no estimate and stays
 * @see F. E. Satterthwaite, An Approximate Distribution of Estimates of Variance Components, Biometrics Bulletin 2 (1946)
 */
export function intervalDispersion(dispersion: number, clusters: number): number {
  if (clusters < 2 || dispersion <= 1) return dispersion;
  const share = (dispersion - 1) / dispersion;
  const freedom = (clusters - 1 + PRIOR_WEIGHT) / (share * share * (1 + BURST_KURTOSIS / 2));
  return dispersion * studentWidening(Math.max(1, Math.floor(freedom)));
}

/** More degrees of freedom than this widen nothing that is seen. */
const MOST_FREEDOM = 1_000;
const widenings = new Map<number, number>();

/** Squared ratio of Student's quantile to the normal one, at the level of all intervals. @param freedom whole */
function studentWidening(freedom: number): number {
  if (freedom > MOST_FREEDOM) return 1;
  let widening = widenings.get(freedom);
  if (widening === undefined) {
    widening = (studentQuantile(LEVEL, freedom) / normalQuantile(0.5 + LEVEL / 2)) ** 2;
    widenings.set(freedom, widening);
  }
  return widening;
}

/** Counts for intervals and verdicts. @throws {RangeError} for a dispersion below 1 */
export function effectiveCounts(k: number, n: number, dispersion: number): EffectiveCounts {
  if (!(dispersion >= 1)) throw new RangeError(`dispersion below 1: ${dispersion}`);
  return { k: k / dispersion, n: n / dispersion, dispersion };
}

/** Fewer attempts a day say little of how alike they are. */
const FEWEST_A_DAY = 10;
const MOST_ALIKE = 0.5;
/** What is believed of a flaky test whose days say nothing. */
export const PRIOR_CORRELATION = (PRIOR_DISPERSION - 1) / (FEWEST_A_DAY - 1);

/**
 * How alike attempts of one cluster are, 0…1: the dispersion is 1 + (attempts a cluster − 1)·ρ. Attempts on a pull request are of
 * one day too, most often of one hour and machine; taken for independent they accused bursty tests wrongly
 * (`bench/simulate.ts`).
 *
 * @returns 0 without a failure
 */
export function correlationOf(clusters: readonly Cluster[]): number {
  const used = clusters.filter(({ attempts }) => attempts > 0);
  if (used.every(({ failures }) => failures === 0)) return 0;
  const attempts = used.reduce((sum, cluster) => sum + cluster.attempts, 0);
  const perCluster = Math.max(FEWEST_A_DAY, attempts / used.length);
  return Math.min(MOST_ALIKE, (dispersionOf(used) - 1) / (perCluster - 1));
}
