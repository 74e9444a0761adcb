/**
 * Logarithms of gamma and beta functions. Pure. Relative error about 1e-14; large arguments do not lose digits to
 * cancellation, which matters because counts of runs reach millions.
 */

// Lanczos coefficients for g = 7, n = 9 (P. Godfrey), as in https://en.wikipedia.org/wiki/Lanczos_approximation.
const LANCZOS = [
  0.9999999999998099, 676.5203681218851, -1259.1392167224028, 771.3234287776531, -176.61502916214059,
  12.507343278686905, -0.13857109526572012, 9.9843695780195716e-6, 1.5056327351493116e-7,
];

const HALF_LOG_TWO_PI = 0.9189385332046728;

/**
 * Natural logarithm of Γ(x).
 *
 * @param x above 0
 * @throws {RangeError} for x ≤ 0 or NaN
 */
export function logGamma(x: number): number {
  if (!(x > 0)) throw new RangeError(`logGamma needs a positive number, not ${x}`);
  if (x < 0.5) return Math.log(Math.PI / Math.sin(Math.PI * x)) - logGamma(1 - x);
  if (x >= 10) return (x - 0.5) * Math.log(x) - x + HALF_LOG_TWO_PI + stirlingError(x);
  const shifted = x - 1;
  const base = shifted + 7.5;
  let sum = LANCZOS[0] ?? 0;
  // No iterator: thousands of intervals come through here.
  for (let index = 1; index < LANCZOS.length; index += 1) sum += (LANCZOS[index] ?? 0) / (shifted + index);
  return HALF_LOG_TWO_PI + (shifted + 0.5) * Math.log(base) - base + Math.log(sum);
}

/**
 * Natural logarithm of B(a, b) = Γ(a)Γ(b)/Γ(a+b), for a, b above 0.
 *
 * @see {@link https://dlmf.nist.gov/5.11} for the asymptotic series behind the correction terms
 */
export function logBeta(a: number, b: number): number {
  const small = Math.min(a, b);
  const large = Math.max(a, b);
  if (small >= 10) {
    const correction = stirlingError(small) + stirlingError(large) - stirlingError(small + large);
    const share = small / large;
    return (
      -0.5 * Math.log(large) +
      HALF_LOG_TWO_PI +
      correction +
      (small - 0.5) * Math.log(share / (1 + share)) -
      large * Math.log1p(share)
    );
  }
  if (large >= 10) {
    // ln Γ(large) − ln Γ(small + large) without subtracting two large numbers.
    const correction = stirlingError(large) - stirlingError(small + large);
    return (
      logGamma(small) + correction + small - small * Math.log(small + large) - (large - 0.5) * Math.log1p(small / large)
    );
  }
  return logGamma(small) + logGamma(large) - logGamma(small + large);
}

/** `logGamma(x) - ((x - ½)·ln x - x + ½·ln 2π)` for x ≥ 10, by Stirling's series. */
export function stirlingError(x: number): number {
  const t = 1 / (x * x);
  return (1 / 12 - t * (1 / 360 - t * (1 / 1260 - t * (1 / 1680 - t * (1 / 1188 - (t * 691) / 360360))))) / x;
}

/** `ln(1 + x) − x` without cancellation near 0, for x > −1. */
export function log1pMinusX(x: number): number {
  if (Math.abs(x) > 0.25) return Math.log1p(x) - x;
  // ln((1+s)/(1−s)) = 2(s + s³/3 + …) with s = x/(2+x); the first term minus x is −x·s.
  const s = x / (2 + x);
  const square = s * s;
  let power = s * square;
  let sum = 0;
  for (let odd = 3; Math.abs(power) > 1e-18 * Math.abs(x) || odd < 7; odd += 2) {
    sum += power / odd;
    power *= square;
    if (power === 0) break;
  }
  return 2 * sum - x * s;
}
