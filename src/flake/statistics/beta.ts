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
  let c = 1;
  let d = 1 / awayFromZero(1 - ((a + b) * x) / (a + 1));
  let fraction = d;
  // Needs O(√max(a, b)) steps.
  const limit = 500 + Math.ceil(10 * Math.sqrt(Math.max(a, b)));
  for (let m = 1; m <= limit; m += 1) {
    const even = (m * (b - m) * x) / ((a + 2 * m - 1) * (a + 2 * m));
    d = 1 / awayFromZero(1 + even * d);
    c = awayFromZero(1 + even / c);
    fraction *= d * c;
    const odd = (-(a + m) * (a + b + m) * x) / ((a + 2 * m) * (a + 2 * m + 1));
    d = 1 / awayFromZero(1 + odd * d);
    c = awayFromZero(1 + odd / c);
    const step = d * c;
    fraction *= step;
    if (Math.abs(step - 1) < 1e-16) break;
  }
  return fraction;
}

/** Lentz's method divides by these. */
function awayFromZero(value: number): number {
  return Math.abs(value) < 1e-300 ? 1e-300 : value;
}

/**
 * Quantile of Beta(a, b): the x with `betaCdf(x, a, b) = probability`.
 *
 * Halley steps on ln F over ln x inside a bracket that is halved when a step leaves it; about two evaluations of the
 * distribution function for the parameters of intervals.
 */
export function betaQuantile(probability: number, a: number, b: number): number {
  if (!(probability >= 0 && probability <= 1)) throw new RangeError(`not a probability: ${probability}`);
  if (!(a > 0) || !(b > 0)) throw new RangeError(`Beta needs positive parameters, not ${a}, ${b}`);
  if (probability === 0) return 0;
  if (probability === 1) return 1;
  // Work from the nearer end, where small x have all their digits.
  return isBelowMean(probability, a, b) ? solve(probability, a, b) : 1 - solve(1 - probability, b, a);
}

/** With both parameters at least ½, F(mean) lies in 0.317…0.683, as for χ² with one degree of freedom. */
function isBelowMean(probability: number, a: number, b: number): boolean {
  if (a >= 0.5 && b >= 0.5 && (probability < 0.3 || probability > 0.7)) return probability < 0.3;
  return probability <= betaCdf(a / (a + b), a, b);
}

function solve(probability: number, a: number, b: number): number {
  // In u = ln x the lower tail is nearly a straight line: quantiles as small as 1e-300 are found in a few steps.
  let low = -745;
  let high = 0;
  let u = firstGuess(probability, a, b);
  const isLarge = a >= 10 && b >= 10;
  const constant = isLarge ? 0 : logBeta(a, b);
  const target = Math.log(probability);
  for (let step = 0; step < 200; step += 1) {
    const x = Math.exp(u);
    const y = -Math.expm1(u);
    const power = Math.exp(isLarge ? logPower(x, y, a, b) : a * u + b * Math.log(y) - constant);
    const isLower = x < (a + 1) / (a + b + 2);
    const value = isLower ? (power / a) * continuedFraction(x, a, b) : 1 - (power / b) * continuedFraction(y, b, a);
    if (value < probability) low = u;
    else high = u;
    // d ln F / du = x·f(x) / F(x), and x·f(x) = xᵃ·yᵇ / (B(a, b)·y)
    const slope = power / (value * y);
    const newton = (Math.log(value) - target) / slope;
    // Halley: the second derivative is slope·(a − (b − 1)·x/y − slope). Held within a factor of two of Newton's step.
    const bend = 0.5 * newton * (a - ((b - 1) * x) / y - slope);
    const move = newton / (bend < 0.5 ? Math.min(2, 1 - bend) : 0.5);
    // Each step triples the digits: after one of 1e-6 there are none left to gain, only rounding to chase.
    if (Math.abs(move) <= 1e-6 * Math.max(1e-3, Math.abs(u))) return Math.exp(Math.min(0, u - move));
    const next = u - move;
    u = next > low && next < high ? next : (low + high) / 2;
    if (high - low <= 1e-15 * Math.abs(low)) break;
  }
  return Math.exp(u);
}

/** ln of a point near the quantile: by the normal distribution where Beta looks like one, else by its power-law tail. */
function firstGuess(probability: number, a: number, b: number): number {
  if (a > 1 && b > 1) {
    // Abramowitz and Stegun 26.5.22 and, for the normal quantile, 26.2.22.
    const t = Math.sqrt(-2 * Math.log(probability));
    const z = t - (2.30753 + 0.27061 * t) / (1 + t * (0.99229 + 0.04481 * t));
    const h = 2 / (1 / (2 * a - 1) + 1 / (2 * b - 1));
    const lambda = (z * z - 3) / 6;
    const w = (z * Math.sqrt(h + lambda)) / h - (1 / (2 * b - 1) - 1 / (2 * a - 1)) * (lambda + 5 / 6 - 2 / (3 * h));
    const guess = -Math.log1p((b / a) * Math.exp(2 * w));
    if (guess > -745 && guess < 0) return guess;
  }
  const tail = (Math.log(probability) + Math.log(a) + logBeta(a, b)) / a;
  return tail < -1e-12 ? Math.max(-744, tail) : Math.log(a / (a + b));
}
