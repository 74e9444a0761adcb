import { signalOfExitCode } from '../process.js';
import { worstStatus } from '../results/counts.js';
import { isBad, type PackageResult, type RunError, type Status, type TestResult } from '../results/model.js';
import { plural } from '../results/text.js';

/** How the process of a suite ended, and what was seen of tests in its output. */
export interface AttemptFacts {
  readonly exitCode?: number | undefined;
  readonly signal?: string | undefined;
  readonly timedOut: boolean;
  /** Ended because the run was interrupted. */
  readonly aborted: boolean;
  /** The command could not be started at all: why. */
  readonly startProblem?: string;
  /** Format that was read, or `undefined` when none was recognised. */
  readonly format: string | undefined;
  /** Of the suite's `results`; without them its standard output is read. */
  readonly resultPatterns?: readonly string[] | undefined;
  readonly timeoutMs: number;
  /** Last lines of standard error. */
  readonly lastLines: readonly string[];
  /** Statuses of the tests that ran in this attempt. */
  readonly tests: readonly Status[];
  readonly packages: readonly Pick<PackageResult, 'status'>[];
}

/** Something about an attempt that no test says. */
export type AttemptProblem = Pick<RunError, 'code' | 'message' | 'infrastructure'> & {
  readonly advice?: string;
  readonly output?: string;
};

/**
 * What is wrong with an attempt beyond its tests; empty when exit code and tests agree.
 *
 * Exit 0 does not make a failed test pass, and passed tests do not make another exit code good.
 */
export function problemsOf(facts: AttemptFacts): AttemptProblem[] {
  const output = facts.lastLines.length === 0 ? {} : { output: facts.lastLines.join('\n') };
  if (facts.startProblem !== undefined) {
    return [{ code: 'RUN_SUITE_START', message: facts.startProblem, infrastructure: false, ...output }];
  }
  if (facts.aborted) return [];
  const problems: AttemptProblem[] = [];
  const ending = howItEnded(facts);
  const all = [...facts.tests, ...facts.packages.map(({ status }) => status)];
  // What never ended is a victim of the bad end, not its reason.
  const explained = all.some((status) => isBad(status) && status !== 'notrun');
  if (facts.timedOut) {
    const minutes = facts.timeoutMs / 60_000;
    const unfinished = facts.tests.filter((status) => status === 'timedout').length;
    problems.push({
      code: 'RUN_SUITE_TIMEOUT',
      message: `the suite was ended after ${minutes >= 1 ? `${round(minutes)} min` : `${round(facts.timeoutMs / 1000)} s`}, ${plural(unfinished, 'test')} unfinished`,
      infrastructure: false,
      ...output,
    });
  } else if (facts.tests.length === 0 && !explained) {
    const unread = facts.format === undefined ? `, ${whyUnread(facts)}` : '';
    problems.push({
      code: 'RUN_NO_TESTS',
      message: `the suite ${ending} and reported no test${unread}`,
      infrastructure: false,
      ...output,
    });
  } else if (isKilled(facts) || (facts.exitCode !== 0 && !explained)) {
    problems.push({
      code: 'RUN_SUITE_EXIT',
      message: `the suite ${ending}${explained ? '' : ` ${howTestsEnded(facts.tests)}`}`,
      infrastructure: false,
      ...output,
    });
  }
  return problems;
}

function whyUnread({ resultPatterns }: AttemptFacts): string {
  if (resultPatterns === undefined) return 'its output has no known format';
  return `no file of a known format in $ARTIFACTS fits its results: ${resultPatterns.join(', ')}`;
}

/**
 * Status of a cell from its tests over all attempts and from the problems of its last attempt.
 *
 * @param interrupted the run was interrupted before the cell could end
 */
export function cellStatus(
  tests: readonly Pick<TestResult, 'status'>[],
  packages: readonly Pick<PackageResult, 'status'>[],
  problems: readonly AttemptProblem[],
  interrupted: boolean,
): Status {
  const bad = [...tests, ...packages].map(({ status }) => status).filter(isBad);
  const own = problems.map((problem): Status => (problem.code === 'RUN_SUITE_TIMEOUT' ? 'timedout' : 'error'));
  if (interrupted) return bad.includes('failed') ? 'failed' : 'notrun';
  const all = [...bad, ...own];
  if (all.length > 0) return worstStatus(all);
  return tests.length === 0 ? 'notrun' : worstStatus(tests.map(({ status }) => status));
}

/** By a signal, also behind a shell: failed tests do not explain it, and tests that should have come after it are missing. */
function isKilled({ exitCode, signal }: AttemptFacts): boolean {
  return signal !== undefined || signalOfExitCode(exitCode ?? 0) !== undefined;
}

function howItEnded({ exitCode, signal }: AttemptFacts): string {
  if (signal !== undefined) return `was ended by ${signal}`;
  if (exitCode === undefined) return 'exited without a code';
  const behind = signalOfExitCode(exitCode);
  return behind === undefined ? `exited ${exitCode}` : `exited ${exitCode} (128 + ${behind})`;
}

function howTestsEnded(tests: readonly Status[]): string {
  const unfinished = tests.filter((status) => status === 'notrun').length;
  if (unfinished > 0) return `with ${plural(unfinished, 'test')} unfinished`;
  return `though all tests ${tests.includes('passed') ? 'passed' : 'were skipped'}`;
}

function round(value: number): string {
  return String(Math.round(value * 10) / 10);
}
