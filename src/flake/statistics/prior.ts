import { logBeta } from './gamma.js';

/** Parameters of a Beta distribution. */
export interface BetaPrior {
  readonly alpha: number;
  readonly beta: number;
}

/** Failures of attempts of one series; scaled counts need not be whole. */
export interface Counts {
  readonly k: number;
  readonly n: number;
}

/**
 * What is believed of a test that was never seen: nearly always clean, sometimes anything. A flat prior would say that a
 * spotless test fails 1.6 % of the time, and excuse regressions with it.
 *
 * Measured on 22,245 tests (FlakeFlagger): Beta(0.003, 1) fits unit tests best; suites with clusters are flakier.
 */
export const DEFAULT_PRIOR: BetaPrior = { alpha: 0.05, beta: 1 };

/** Fewer series, or series with fewer attempts, say too little to replace the default. */
export const FEWEST_SERIES = 500;
export const FEWEST_ATTEMPTS = 20;

/** Log of P(k failures in a given order | prior), summed over series. */
export function logMarginal(counts: readonly Counts[], { alpha, beta }: BetaPrior): number {
  const base = logBeta(alpha, beta);
  return counts.reduce((sum, { k, n }) => sum + logBeta(alpha + k, beta + n - k) - base, 0);
}

/**
 * The prior under which the counts of a repository and environment are likeliest.
 *
 * Series with fewer than {@link FEWEST_ATTEMPTS} attempts and broken ones (all failed) are left out: a broken test is no
 * flake. Climbs by Newton steps on ln α and ln β, halved until the likelihood grows.
 *
 * @returns `DEFAULT_PRIOR` when fewer than `fewestSeries` series are left or none of them ever failed
 */
export function fitPrior(all: readonly Counts[], fewestSeries = FEWEST_SERIES): BetaPrior {
  const used = all.filter(({ k, n }) => n >= FEWEST_ATTEMPTS && k < n);
  if (used.length < fewestSeries || used.every(({ k }) => k === 0)) return DEFAULT_PRIOR;
  const groups = grouped(used);
  const value = ([logAlpha, logBetaValue]: Point): number => {
    const prior = { alpha: Math.exp(logAlpha), beta: Math.exp(logBetaValue) };
    const base = logBeta(prior.alpha, prior.beta);
    return groups.reduce(
      (sum, { k, n, times }) => sum + times * (logBeta(prior.alpha + k, prior.beta + n - k) - base),
      0,
    );
  };
  let point: Point = [Math.log(DEFAULT_PRIOR.alpha), Math.log(DEFAULT_PRIOR.beta)];
  let best = value(point);
  for (let step = 0; step < 200; step += 1) {
    const move = newtonStep(value, point, best);
    let scale = 1;
    let next: Point = point;
    let nextValue = -Infinity;
    for (; scale > 1e-9; scale /= 2) {
      next = [clamp(point[0] + scale * move[0]), clamp(point[1] + scale * move[1])];
      nextValue = value(next);
      if (nextValue > best) break;
    }
    if (!(nextValue > best)) break;
    const moved = Math.hypot(next[0] - point[0], next[1] - point[1]);
    [point, best] = [next, nextValue];
    if (moved < 1e-9) break;
  }
  return { alpha: Math.exp(point[0]), beta: Math.exp(point[1]) };
}

type Point = readonly [number, number];

/** Direction of Newton's method by differences; up the gradient where the surface is not a hill. */
function newtonStep(value: (point: Point) => number, [x, y]: Point, here: number): Point {
  const h = 1e-4;
  const right = value([x + h, y]);
  const left = value([x - h, y]);
  const up = value([x, y + h]);
  const down = value([x, y - h]);
  const gradient: Point = [(right - left) / (2 * h), (up - down) / (2 * h)];
  const xx = (right - 2 * here + left) / (h * h);
  const yy = (up - 2 * here + down) / (h * h);
  const xy =
    (value([x + h, y + h]) - value([x + h, y - h]) - value([x - h, y + h]) + value([x - h, y - h])) / (4 * h * h);
  const determinant = xx * yy - xy * xy;
  if (xx < 0 && determinant > 0) {
    return [-(yy * gradient[0] - xy * gradient[1]) / determinant, -(xx * gradient[1] - xy * gradient[0]) / determinant];
  }
  const length = Math.hypot(...gradient) || 1;
  return [gradient[0] / length, gradient[1] / length];
}

function clamp(value: number): number {
  return Math.min(10, Math.max(-14, value));
}

/** Equal counts once: thousands of series are `0 of 30`. */
function grouped(counts: readonly Counts[]): (Counts & { times: number })[] {
  const groups = new Map<string, Counts & { times: number }>();
  for (const { k, n } of counts) {
    const key = `${k}/${n}`;
    const group = groups.get(key);
    if (group === undefined) groups.set(key, { k, n, times: 1 });
    else group.times += 1;
  }
  return [...groups.values()];
}
