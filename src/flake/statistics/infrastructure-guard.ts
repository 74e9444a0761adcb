import { outcomeOf, type ResultRecord } from '../store/record.js';

export interface GuardInput {
  readonly results: readonly ResultRecord[];
  /** Tests in earlier whole runs of the same suite in the same environment, in any order. */
  readonly usualSizes: readonly number[];
}

/** More than this share of the tests failing is not the tests' fault … */
export const MOST_FAILED = 0.5;
/** … when at least so many of them ran. */
export const FEWEST_TESTS = 10;
/** A run smaller than this share of the usual one broke off. */
export const SMALLEST_RUN = 0.75;
/** Runs that must be known before a size is usual. */
export const FEWEST_RUNS = 5;

/**
 * Whether a run says something about its infrastructure rather than about its tests, and is left out of rates.
 *
 * @returns the reason, or `undefined` for a run that counts
 * @see flake-and-reports.md 2.6: Trunk ignores uploads with over 80 % failing, Sippy runs below 75 % of the usual tests
 */
export function infrastructureReason({ results, usualSizes }: GuardInput): string | undefined {
  const last = new Map<string, 'pass' | 'fail'>();
  const names = new Set<string>();
  for (const result of results) {
    const key = `${result.package}\0${result.name}`;
    names.add(key);
    const outcome = outcomeOf(result.status);
    if (outcome !== undefined) last.set(key, outcome);
  }
  const failed = [...last.values()].filter((outcome) => outcome === 'fail').length;
  if (last.size >= FEWEST_TESTS && failed > last.size * MOST_FAILED) {
    return `most tests failed: ${failed} of ${last.size}`;
  }
  if (usualSizes.length >= FEWEST_RUNS) {
    const sorted = [...usualSizes].sort((left, right) => left - right);
    const median = sorted[Math.floor(sorted.length / 2)] ?? 0;
    if (median >= FEWEST_TESTS && names.size < median * SMALLEST_RUN) {
      return `too few tests: ${names.size}, usually ${median}`;
    }
  }
  return undefined;
}
