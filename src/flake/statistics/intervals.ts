import { MkCiError } from '../../errors.js';
import { betaQuantile } from './beta.js';

/** Interval for a rate, 0…1. */
export interface Interval {
  readonly low: number;
  readonly high: number;
}

/** Two-sided level of all intervals shown. */
export const LEVEL = 0.95;

/**
 * Jeffreys interval for k failures of n: equal tails of Beta(k + ½, n − k + ½), with 0 and 1 as ends when k is 0 or n.
 *
 * k and n need not be whole: they may be scaled by the dispersion. For n = 0 the interval is 0…1.
 *
 * @throws {MkCiError} `DB_BAD_COUNTS` unless 0 ≤ k ≤ n
 * @see Brown, Cai, DasGupta: Interval Estimation for a Binomial Proportion, Statistical Science 16 (2001)
 */
export function jeffreysInterval(k: number, n: number, level = LEVEL): Interval {
  checkCounts(k, n);
  if (n === 0) return { low: 0, high: 1 };
  const tail = (1 - level) / 2;
  return {
    low: k === 0 ? 0 : betaQuantile(tail, k + 0.5, n - k + 0.5),
    high: k === n ? 1 : betaQuantile(1 - tail, k + 0.5, n - k + 0.5),
  };
}

/**
 * Wilson score interval for k failures of n, 0…1 for n = 0.
 *
 * @throws {MkCiError} `DB_BAD_COUNTS` unless 0 ≤ k ≤ n
 * @see E. B. Wilson, Probable Inference …, JASA 22 (1927)
 */
export function wilsonInterval(k: number, n: number, level = LEVEL): Interval {
  checkCounts(k, n);
  if (n === 0) return { low: 0, high: 1 };
  const z = normalQuantile(1 - (1 - level) / 2);
  const p = k / n;
  const scale = 1 + (z * z) / n;
  const centre = (p + (z * z) / (2 * n)) / scale;
  const half = (z / scale) * Math.sqrt((p * (1 - p)) / n + (z * z) / (4 * n * n));
  return { low: k === 0 ? 0 : Math.max(0, centre - half), high: k === n ? 1 : Math.min(1, centre + half) };
}

/**
 * Clopper–Pearson ("exact") interval for k failures of n: never covers less than `level`, and is wider for it.
 *
 * @throws {MkCiError} `DB_BAD_COUNTS` unless 0 ≤ k ≤ n
 * @see C. J. Clopper, E. S. Pearson, Biometrika 26 (1934)
 */
export function clopperPearsonInterval(k: number, n: number, level = LEVEL): Interval {
  checkCounts(k, n);
  if (n === 0) return { low: 0, high: 1 };
  const tail = (1 - level) / 2;
  return {
    low: k === 0 ? 0 : betaQuantile(tail, k, n - k + 1),
    high: k === n ? 1 : betaQuantile(1 - tail, k + 1, n - k),
  };
}

/**
 * Quantile of the standard normal distribution for 0 < p < 1.
 *
 * Starts from the Bernstein-like bound and runs Newton on {@link normalCdf}; absolute error below 1e-12.
 */
export function normalQuantile(p: number): number {
  if (!(p > 0 && p < 1)) throw new RangeError(`not inside 0…1: ${p}`);
  if (p === 0.5) return 0;
  if (p > 0.5) return -normalQuantile(1 - p);
  let x = -Math.sqrt(-2 * Math.log(p));
  for (let step = 0; step < 100; step += 1) {
    const tail = normalCdf(x);
    const density = Math.exp((-x * x) / 2) / Math.sqrt(2 * Math.PI);
    // Newton on the logarithm converges from far out in the tail.
    const next = x - ((Math.log(tail) - Math.log(p)) * tail) / density;
    if (Math.abs(next - x) < 1e-15 * Math.abs(x) + 1e-16) return next;
    x = next;
  }
  return x;
}

/**
 * The t that a Student-distributed value stays within ±t of with probability `level`.
 *
 * @param freedom degrees of freedom, above 0
 */
export function studentQuantile(level: number, freedom: number): number {
  const x = betaQuantile(1 - level, freedom / 2, 0.5);
  return Math.sqrt((freedom * (1 - x)) / x);
}

/** Standard normal distribution function; keeps the digits of the lower tail. */
export function normalCdf(x: number): number {
  if (x > 0) return 1 - normalCdf(-x);
  if (x < -38) return 0;
  const t = -x;
  if (t < 3) {
    // Φ(−t) = ½ − φ(t)(t + t³/3 + t⁵/15 + …), Abramowitz and Stegun 26.2.11
    let term = t;
    let sum = t;
    for (let odd = 3; Math.abs(term) > 1e-18; odd += 2) {
      term *= (t * t) / odd;
      sum += term;
    }
    return 0.5 - sum * (Math.exp((-t * t) / 2) / Math.sqrt(2 * Math.PI));
  }
  // Φ(−t) = φ(t)/(t + 1/(t + 2/(t + 3/…))), Abramowitz and Stegun 26.2.14
  let fraction = t;
  for (let k = 200; k >= 1; k -= 1) fraction = t + k / fraction;
  return Math.exp((-t * t) / 2) / Math.sqrt(2 * Math.PI) / fraction;
}

/** Failure counts with n = 0, k < 0 or k > n come only from a bug or a damaged database. */
function checkCounts(k: number, n: number): void {
  if (!(k >= 0 && k <= n && Number.isFinite(n))) {
    throw new MkCiError('DB_BAD_COUNTS', { message: `${k} failures of ${n}` });
  }
}
