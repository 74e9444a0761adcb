import { jeffreysInterval } from '../statistics/intervals.js';

/** What a test is in an environment, apart from any pull request. */
export type TestState = 'healthy' | 'suspected' | 'flaky' | 'broken';

export interface StateInput {
  /** Of the default branch, newest first: outcomes of all attempts on one commit. */
  readonly commits: readonly { readonly passed: number; readonly failed: number }[];
  /** Effective failures and attempts in the last 30 days. */
  readonly k: number;
  readonly n: number;
  /** Runs without a failure since the last one, and days since it. */
  readonly cleanRuns: number;
  readonly cleanDays: number;
  /** What it was said to be before; with the rate at which it was flagged. */
  readonly previous?: { readonly state: TestState; readonly rateWhenFlagged?: number };
}

const STREAK = 3;
const LOW_BOUND = 0.005;
const HEALTHY_DAYS = 14;
const HEALTHY_RUNS = 30;

/**
 * State of a test, slow to leave a bad one: a flaky test is healthy again only after two clean weeks in which its old rate
 * would have shown.
 *
 * @see flake-and-reports.md 2.6
 */
export function testStateOf(input: StateInput): TestState {
  const { commits, k, n, previous } = input;
  const streak = commits.findIndex(({ passed, failed }) => passed > 0 || failed === 0);
  const failing = streak === -1 ? commits.length : streak;
  const interval = jeffreysInterval(k, n);
  if (failing >= STREAK || (failing > 0 && interval.low > 0.9)) return 'broken';

  const mixed = commits.filter(({ passed, failed }) => passed > 0 && failed > 0).length;
  const isFlaky = interval.low > LOW_BOUND && (mixed >= 2 || (mixed === 1 && failuresBetweenPasses(commits) >= 2));
  if (isFlaky) return 'flaky';
  if (previous?.state === 'flaky' || previous?.state === 'broken') {
    const flagged = previous.rateWhenFlagged ?? 1;
    const isClean = input.cleanDays >= HEALTHY_DAYS && input.cleanRuns >= HEALTHY_RUNS && interval.high < flagged / 2;
    // What was broken and passes again is watched as a flake would be.
    if (!isClean) return previous.state === 'broken' ? 'suspected' : 'flaky';
    return 'healthy';
  }
  return k > 0 ? 'suspected' : 'healthy';
}

/** Commits with failures only that have a pass on a commit before and after them. */
function failuresBetweenPasses(commits: StateInput['commits']): number {
  const passes = commits.map(({ passed }) => passed > 0);
  const first = passes.indexOf(true);
  const last = passes.lastIndexOf(true);
  return commits.filter(({ passed, failed }, index) => passed === 0 && failed > 0 && index > first && index < last)
    .length;
}
