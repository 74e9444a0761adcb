import type { Verdict } from '../flake/index.js';
import {
  isBad,
  testKey,
  type Failure,
  type RunResult,
  type Status,
  type TestId,
  type TestResult,
} from '../results/index.js';

/** One test that did not pass in one environment, with everything the run says of it. */
export interface TestFailure {
  readonly id: TestId;
  readonly environment: string;
  readonly cell: string;
  readonly status: Status;
  readonly failedAttempts: number;
  readonly passedAttempts: number;
  readonly failure?: Failure;
  /** Of the test, else of the failure. */
  readonly file?: string;
  readonly line?: number;
  readonly owner?: string;
}

/** What is known of a failure from earlier runs. */
export interface FailureEvidence {
  readonly verdict: Verdict;
  /** Attempts without this change. */
  readonly elsewhere: { readonly failed: number; readonly attempts: number };
  /** Attempts on the head commit, this run included. */
  readonly here: { readonly failed: number; readonly passed: number };
  readonly lastSeen?: { readonly day: string; readonly commit?: string };
  readonly quarantined?: boolean;
  /** Number of the open issue about the test. */
  readonly issue?: number;
}

/** Key of a test in an environment. */
export function seriesKey(id: TestId, environment: string): string {
  return `${environment}\0${testKey(id)}`;
}

/**
 * Tests that did not pass, in the order of the run. A parent that failed only because a subtest did is left out: the
 * subtest says it better.
 */
export function failuresOf(run: RunResult): TestFailure[] {
  return run.cells.flatMap((cell) => {
    const bad = cell.tests.filter(({ status }) => isBad(status));
    const withBadChild = new Set<string>();
    for (const { id } of bad) {
      for (const separator of ['/', ' > ']) {
        for (let at = id.name.lastIndexOf(separator); at > 0; at = id.name.lastIndexOf(separator, at - 1)) {
          withBadChild.add(testKey({ package: id.package, name: id.name.slice(0, at) }));
        }
      }
    }
    return bad
      .filter(({ id }) => !withBadChild.has(testKey(id)))
      .map((test) => ({ ...failureOf(test), environment: cell.environment, cell: cell.id }));
  });
}

function failureOf(test: TestResult): Omit<TestFailure, 'environment' | 'cell'> {
  const failure = [...test.attempts].reverse().find((attempt) => attempt.failure !== undefined)?.failure;
  const file = test.file ?? failure?.file;
  const line = (failure?.file === undefined || failure.file === file ? failure?.line : undefined) ?? test.line;
  return {
    id: test.id,
    status: test.status,
    failedAttempts: test.attempts.filter(({ status }) => isBad(status)).length,
    passedAttempts: test.attempts.filter(({ status }) => status === 'passed').length,
    ...(failure === undefined ? {} : { failure }),
    ...(file === undefined ? {} : { file }),
    ...(line === undefined ? {} : { line }),
    ...(test.owner === undefined ? {} : { owner: test.owner }),
  };
}

/** What went wrong outside of tests: infrastructure, packages that do not compile, suites that did not end well. */
export function problemsOf(run: RunResult): string[] {
  const shards = run.repairs.filter(({ kind }) => kind === 'missing-shard' || kind === 'duplicate-shard');
  const problems = [
    ...run.errors.map(({ code, message, cell, environment }) =>
      [cell ?? environment, `${message} (${code})`].filter((part) => part !== undefined).join(': '),
    ),
    ...run.cells.flatMap((cell) => {
      const failedTests = new Set(cell.tests.filter(({ status }) => isBad(status)).map(({ id }) => id.package));
      return cell.packages
        .filter(({ status, package: name }) => isBad(status) && !failedTests.has(name))
        .map(
          ({ package: name, failure }) =>
            `${cell.id}: package ${name} failed${failure === undefined ? '' : `: ${failure.message}`}`,
        );
    }),
    ...shards.map(({ message }) => message),
    ...(run.complete || shards.length > 0 ? [] : ['the run did not end: what it did not come to is missing here']),
  ];
  return [...new Set(problems)];
}

/** Environments of the run without a single result, and those expected from elsewhere that the run does not know. */
export function missingEnvironments(run: RunResult, expected: readonly string[] = []): string[] {
  const seen = new Set(
    run.cells.filter(({ tests, packages }) => tests.length + packages.length > 0).map(({ environment }) => environment),
  );
  const wanted = [
    ...run.environments.map(({ name }) => name),
    ...run.cells.map(({ environment }) => environment),
    ...expected,
  ];
  return [...new Set(wanted)].filter((name) => !seen.has(name)).sort();
}

/** Of the cells that were to run, those that said nothing: their machine was lost. */
export function missingCells(run: RunResult, expected: readonly string[] = []): string[] {
  const seen = new Set(
    run.cells
      .filter(({ attempts, tests, packages }) => attempts.length + tests.length + packages.length > 0)
      .map(({ id }) => id),
  );
  return [...new Set(expected)].filter((id) => !seen.has(id)).sort();
}
