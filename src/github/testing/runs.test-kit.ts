import type { CellResult, RunResult, Status, TestResult } from '../../results/index.js';

/** Runs as tests and benchmarks need them: results by environment and test name. */
export interface RunSpec {
  readonly runId?: string;
  readonly sha?: string;
  readonly startedAt?: string;
  /** Environment → test name → status of each attempt, or one status. */
  readonly results: Readonly<Record<string, Readonly<Record<string, Status | readonly Status[]>>>>;
  readonly message?: (test: string, environment: string) => string;
  readonly pullRequest?: number;
  readonly branch?: string;
}

export function runOf(spec: RunSpec): RunResult {
  const startedAt = spec.startedAt ?? '2026-11-21T10:00:00.000Z';
  return {
    runId: spec.runId ?? 'run-1',
    toolVersion: '0.1.0',
    startedAt,
    endedAt: startedAt,
    source: {
      repository: 'acme/rocket',
      commit: spec.sha ?? 'a'.repeat(40),
      branch: spec.branch ?? 'topic',
      ...(spec.pullRequest === undefined ? {} : { pullRequest: spec.pullRequest }),
    },
    environments: Object.keys(spec.results).map((name) => ({ name })),
    cells: Object.entries(spec.results).map(([environment, tests]) => cellOf(environment, tests, spec, startedAt)),
    phases: [],
    errors: [],
    repairs: [],
    complete: true,
  };
}

function cellOf(
  environment: string,
  tests: RunSpec['results'][string],
  { message = (test) => `${test} broke` }: RunSpec,
  startedAt: string,
): CellResult {
  return {
    id: `${environment}.e2e`,
    environment,
    suite: 'e2e',
    attempts: [],
    packages: [],
    repairs: [],
    startedAt,
    status: 'passed',
    tests: Object.entries(tests).map(([name, given]): TestResult => {
      const statuses = typeof given === 'string' ? [given] : given;
      const last = statuses.at(-1) ?? 'notrun';
      return {
        id: { package: 'example.com/rocket', name },
        status: last,
        flaky: statuses.includes('passed') && statuses.includes('failed'),
        attempts: statuses.map((status, index) => ({
          attempt: index + 1,
          cellAttempt: 1,
          status,
          startedAt,
          durationMs: 1_000,
          ...(status === 'passed' || status === 'skipped'
            ? {}
            : { failure: { message: message(name, environment), file: 'rocket_test.go', line: 12 } }),
        })),
      };
    }),
  };
}
