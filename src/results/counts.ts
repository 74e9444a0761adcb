import { STATUSES, type Counts, type PackageResult, type Status, type TestAttempt, type TestResult } from './model.js';

/** Counts with nothing in them. */
export const NO_COUNTS: Counts = Object.freeze({
  passed: 0,
  failed: 0,
  skipped: 0,
  error: 0,
  timedout: 0,
  notrun: 0,
  flaky: 0,
});

/** How many tests are in each status; flaky ones are counted in `flaky` and in their status. */
export function countTests(tests: Iterable<Pick<TestResult, 'status' | 'flaky'>>): Counts {
  const counts = { ...NO_COUNTS };
  for (const test of tests) {
    counts[test.status] += 1;
    if (test.flaky) counts.flaky += 1;
  }
  return counts;
}

/** How many packages are in each status; `flaky` stays 0. */
export function countPackages(packages: Iterable<Pick<PackageResult, 'status'>>): Counts {
  const counts = { ...NO_COUNTS };
  for (const { status } of packages) counts[status] += 1;
  return counts;
}

/** Sum of counts, field by field; of none it is all zeros. */
export function addCounts(...parts: readonly Counts[]): Counts {
  const sum = { ...NO_COUNTS };
  for (const part of parts) {
    for (const status of STATUSES) sum[status] += part[status];
    sum.flaky += part.flaky;
  }
  return sum;
}

/** Number of tests that the counts stand for: `flaky` ones are in their status already. */
export function totalOf(counts: Counts): number {
  return STATUSES.reduce((sum, status) => sum + counts[status], 0);
}

/**
 * Status of a test from its attempts, oldest first: that of the last one that was executed; `skipped` only when all
 * were skipped.
 *
 * @returns `notrun` for no attempts
 */
export function statusOfAttempts(attempts: readonly Pick<TestAttempt, 'status'>[]): Status {
  for (let index = attempts.length - 1; index >= 0; index -= 1) {
    const status = attempts[index]?.status;
    if (status !== undefined && status !== 'skipped') return status;
  }
  return attempts.length === 0 ? 'notrun' : 'skipped';
}

/**
 * Whether attempts contradict each other: one passed and one failed, had an error or timed out. `notrun` does not
 * count: such a test is the victim of whatever ended the process.
 */
export function isFlaky(attempts: readonly Pick<TestAttempt, 'status'>[]): boolean {
  let passed = false;
  let bad = false;
  for (const { status } of attempts) {
    if (status === 'passed') passed = true;
    else if (status === 'failed' || status === 'error' || status === 'timedout') bad = true;
  }
  return passed && bad;
}

/**
 * One status for several: the worst, in the order failed, error, timedout, notrun, passed, skipped.
 *
 * @returns `notrun` for none: what did not happen did not pass
 */
export function worstStatus(statuses: Iterable<Status>): Status {
  const order: readonly Status[] = ['failed', 'error', 'timedout', 'notrun', 'passed', 'skipped'];
  let best = order.length;
  for (const status of statuses) best = Math.min(best, order.indexOf(status));
  return order[best] ?? 'notrun';
}
