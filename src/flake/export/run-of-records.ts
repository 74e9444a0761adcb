import type { CellResult, RunResult, TestAttempt, TestResult } from '../../results/model.js';
import { outcomeOf, type RunRecord } from '../store/record.js';

/** Records as one run of the results model, a cell each: for the writers of `results/`. Names of cells are the uids. */
export function runOfRecords(records: readonly RunRecord[]): RunResult {
  const newest = records.at(-1);
  return {
    runId: newest?.uid ?? 'history',
    toolVersion: newest?.origin ?? '',
    startedAt: new Date(Math.min(...records.map(({ startedAtMs }) => startedAtMs), Date.now())).toISOString(),
    source: {
      ...(newest?.repository === undefined || newest.repository === '' ? {} : { repository: newest.repository }),
      ...(newest?.commit === undefined ? {} : { commit: newest.commit.sha }),
      ...(newest?.branch === undefined ? {} : { branch: newest.branch }),
    },
    environments: [...new Set(records.map(({ environment }) => environment))].map((name) => ({ name })),
    cells: records.map(cellOf),
    phases: [],
    errors: [],
    repairs: [],
    complete: true,
  };
}

function cellOf(record: RunRecord): CellResult {
  const tests = testsOf(record);
  return {
    id: record.uid,
    environment: record.environment,
    suite: record.suite,
    attempts: [],
    tests,
    packages: [],
    repairs: [],
    startedAt: new Date(record.startedAtMs).toISOString(),
    ...(record.durationMs === undefined ? {} : { durationMs: record.durationMs }),
    status: tests.some(({ status }) => outcomeOf(status) === 'fail') ? 'failed' : 'passed',
  };
}

function testsOf({ results }: RunRecord): TestResult[] {
  const tests = new Map<string, { readonly id: TestResult['id']; readonly attempts: TestAttempt[] }>();
  for (const { package: pkg, name, attempt, status, durationMs, failure } of results) {
    const key = `${pkg}\0${name}`;
    const test = tests.get(key) ?? { id: { package: pkg, name }, attempts: [] };
    tests.set(key, test);
    test.attempts.push({
      attempt,
      status,
      cellAttempt: 1,
      ...(durationMs === undefined ? {} : { durationMs }),
      ...(failure === undefined
        ? {}
        : { failure: { message: failure.message, ...(failure.text === undefined ? {} : { text: failure.text }) } }),
    });
  }
  return [...tests.values()].map(({ id, attempts }) => {
    const outcomes = attempts.map(({ status }) => outcomeOf(status));
    const last = attempts.findLast(({ status }) => outcomeOf(status) !== undefined) ?? attempts.at(-1);
    return {
      id,
      attempts,
      status: last?.status ?? 'notrun',
      flaky: outcomes.includes('pass') && outcomes.includes('fail'),
    };
  });
}
