import { log1pMinusX, logBeta, stirlingError } from './gamma.js';

/**
 * Cumulative distribution function of Beta(a, b) at x: the regularised incomplete beta function I_x(a, b).
 *
 * @param x clipped to 0…1
 * @param a above 0
 * @param b above 0
 * @see {@link https://dlmf.nist.gov/8.17} 8.17.22, the continued fraction, evaluated by Lentz's method
 */
export function betaCdf(x: number, a: number, b: number): number {
  if (!(a > 0) || !(b > 0)) throw new RangeError(`Beta needs positive parameters, not ${a}, ${b}`);
  if (x <= 0) return 0;
  if (x >= 1) return 1;
  // The fraction converges fast below the mean; above it the other tail is computed.
  return x < (a + 1) / (a + b + 2) ? lowerTail(x, 1 - x, a, b) : 1 - lowerTail(1 - x, x, b, a);
}

/** `1 − betaCdf(x, a, b)` without losing the digits of a small tail. */
export function betaSurvival(x: number, a: number, b: number): number {
  if (x <= 0) return 1;
  if (x >= 1) return 0;
  return x < (a + 1) / (a + b + 2) ? 1 - lowerTail(x, 1 - x, a, b) : lowerTail(1 - x, x, b, a);
}

function lowerTail(x: number, y: number, a: number, b: number): number {
  return (Math.exp(logPower(x, y, a, b)) / a) * continuedFraction(x, a, b);
}

/** ln(xᵃ·yᵇ / B(a, b)) with y = 1 − x. */
function logPower(x: number, y: number, a: number, b: number): number {
  if (a < 10 || b < 10) return a * Math.log(x) + b * Math.log(y) - logBeta(a, b);
  // Around the mean p both powers nearly cancel B(a, b): expand around p, where the linear terms are zero together.
  const n = a + b;
  const p = a / n;
  const q = b / n;
  const away = x <= y ? x - p : q - y;
  const correction = stirlingError(a) + stirlingError(b) - stirlingError(n);
  return a * log1pMinusX(away / p) + b * log1pMinusX(-away / q) + 0.5 * Math.log((a * q) / (2 * Math.PI)) - correction;
}

function continuedFraction(x: number, a: number, b: number): number {
  const tiny = 1e-300;
  const clamp = (value: number): number => (Math.abs(value) < tiny ? tiny : value);
  let c = 1;
  let d = 1 / clamp(1 - ((a + b) * x) / (a + 1));
  let fraction = d;
  // Needs O(√max(a, b)) steps.
  const limit = 500 + Math.ceil(10 * Math.sqrt(Math.max(a, b)));
  for (let m = 1; m <= limit; m += 1) {
    const even = (m * (b - m) * x) / ((a + 2 * m - 1) * (a + 2 * m));
    d = 1 / clamp(1 + even * d);
    c = clamp(1 + even / c);
    fraction *= d * c;
    const odd = (-(a + m) * (a + b + m) * x) / ((a + 2 * m) * (a + 2 * m + 1));
    d = 1 / clamp(1 + odd * d);
    c = clamp(1 + odd / c);
    const step = d * c;
    fraction *= step;
    if (Math.abs(step - 1) < 1e-16) break;
  }
  return fraction;
}

/**
 * Quantile of Beta(a, b): the x with `betaCdf(x, a, b) = probability`.
 *
 * Newton steps inside a bracket that is halved when a step leaves it; the last digits are those of {@link betaCdf}.
 */
export function betaQuantile(probability: number, a: number, b: number): number {
  if (!(probability >= 0 && probability <= 1)) throw new RangeError(`not a probability: ${probability}`);
  if (probability === 0) return 0;
  if (probability === 1) return 1;
  // Work from the nearer end, where small x have all their digits.
  const atMean = betaCdf(a / (a + b), a, b);
  return probability <= atMean
    ? solve(probability, a, b, (x) => betaCdf(x, a, b))
    : 1 - solve(1 - probability, b, a, (x) => betaCdf(x, b, a));
}

function solve(probability: number, a: number, b: number, cdf: (x: number) => number): number {
  // In u = ln x the lower tail is nearly a straight line: quantiles as small as 1e-300 are found in a few steps.
  let low = -745;
  let high = 0;
  let u = Math.min(-1e-12, Math.max(low, (Math.log(probability) + Math.log(a) + logBeta(a, b)) / a));
  if (!Number.isFinite(u)) u = Math.log(a / (a + b));
  for (let step = 0; step < 200; step += 1) {
    const x = Math.exp(u);
    const value = cdf(x);
    if (value < probability) low = u;
    else high = u;
    const logDensity = x > 0 && x < 1 ? logPower(x, -Math.expm1(u), a, b) - Math.log1p(-x) : -Infinity;
    // d ln F / du = x·f(x) / F(x)
    const slope = Math.exp(logDensity) / value;
    let next = u - (Math.log(value) - Math.log(probability)) / slope;
    if (!(next > low && next < high)) next = (low + high) / 2;
    if (Math.abs(next - u) <= 1e-15 * Math.max(1e-3, Math.abs(u)) || next === u) return Math.exp(next);
    u = next;
  }
  return Math.exp(u);
}
