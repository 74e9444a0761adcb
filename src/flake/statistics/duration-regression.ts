import { normalCdf } from './intervals.js';

export interface MannWhitney {
  /** Pairs in which the second sample is larger, ties counted half. */
  readonly u: number;
  /** One-sided: chance of a u as large when both samples come from one distribution. */
  readonly p: number;
}

/**
 * Mann–Whitney U test whether `second` tends to be larger than `first`: normal approximation with correction for ties and
 * for continuity.
 *
 * @returns p = 1 when a sample is empty or all values are equal
 * @see H. B. Mann, D. R. Whitney, Annals of Mathematical Statistics 18 (1947)
 */
export function mannWhitney(first: readonly number[], second: readonly number[]): MannWhitney {
  const all = [
    ...first.map((value) => ({ value, isSecond: false })),
    ...second.map((value) => ({ value, isSecond: true })),
  ].sort((left, right) => left.value - right.value);
  let rankSum = 0;
  let ties = 0;
  for (let start = 0; start < all.length;) {
    let end = start;
    while (end < all.length && all[end]?.value === all[start]?.value) end += 1;
    const count = end - start;
    ties += count ** 3 - count;
    for (let at = start; at < end; at += 1) if (all[at]?.isSecond === true) rankSum += (start + end + 1) / 2;
    start = end;
  }
  const [n1, n2, n] = [first.length, second.length, all.length];
  const u = rankSum - (n2 * (n2 + 1)) / 2;
  const variance = n < 2 ? 0 : ((n1 * n2) / 12) * (n + 1 - ties / (n * (n - 1)));
  if (variance <= 0) return { u, p: 1 };
  return { u, p: normalCdf(-(u - (n1 * n2) / 2 - 0.5) / Math.sqrt(variance)) };
}

export interface DurationRegression {
  readonly slower: boolean;
  readonly medianBeforeMs: number;
  readonly medianNowMs: number;
  readonly p: number;
  readonly samplesBefore: number;
  readonly samplesNow: number;
}

/** The last so many passes against so many before them. */
const NOW = 10;
const BEFORE = 30;
const FACTOR = 1.3;
const LEAST_MS = 5000;
const LARGEST_P = 0.001;

/**
 * Whether a test became slower: the median of its last 10 passes is over 1.3 times and over 5 s above that of the 30
 * passes before, and chance does not explain it (p < 0.001).
 *
 * @param durationsMs passed first attempts only, oldest first: failures measure time limits
 * @returns `undefined` with fewer than 10 + 10 of them
 */
export function durationRegression(durationsMs: readonly number[]): DurationRegression | undefined {
  const now = durationsMs.slice(-NOW);
  const before = durationsMs.slice(0, -NOW).slice(-BEFORE);
  if (now.length < NOW || before.length < NOW) return undefined;
  const medianBeforeMs = median(before);
  const medianNowMs = median(now);
  const { p } = mannWhitney(before, now);
  return {
    slower: medianNowMs > FACTOR * medianBeforeMs && medianNowMs > medianBeforeMs + LEAST_MS && p < LARGEST_P,
    medianBeforeMs,
    medianNowMs,
    p,
    samplesBefore: before.length,
    samplesNow: now.length,
  };
}

/** Middle value, mean of the two middle ones for an even number; NaN for none. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((left, right) => left - right);
  const middle = sorted.length / 2;
  return sorted.length % 2 === 1
    ? (sorted[Math.floor(middle)] ?? NaN)
    : ((sorted[middle - 1] ?? NaN) + (sorted[middle] ?? NaN)) / 2;
}
