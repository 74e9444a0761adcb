import { isBad, type CellResult, type Failure, type RunResult, type TestAttempt, type TestResult } from '../model.js';

/** Name under which a package that failed by itself appears among the tests of formats that know only tests. */
export const PACKAGE_TEST = '[package]';
/** Suite of the errors outside any test. */
export const INFRA_SUITE = 'mk-ci.infra';

/** What formats that know only tests list: tests, packages that failed by themselves, errors of the run. */
export interface Row {
  readonly kind: 'test' | 'package' | 'infra';
  readonly cell?: CellResult;
  readonly test: TestResult;
}

/** The rows of one cell: its tests in order, then packages whose failure no test shows. */
export function* rowsOfCell(cell: CellResult): Generator<Row> {
  const failed = new Set<string>();
  for (const test of cell.tests) {
    if (isBad(test.status)) failed.add(test.id.package);
    yield { kind: 'test', cell, test };
  }
  for (const { package: pkg, status, failure, durationMs } of cell.packages) {
    if (!isBad(status) || (failure === undefined && failed.has(pkg))) continue;
    const attempt: TestAttempt = {
      attempt: 1,
      status,
      cellAttempt: 1,
      failure: failure ?? { message: `package ${pkg} failed` },
      ...(durationMs === undefined ? {} : { durationMs }),
    };
    yield { kind: 'package', cell, test: single(pkg, PACKAGE_TEST, attempt) };
  }
}

/** The rows of everything that went wrong outside any test. */
export function* rowsOfErrors(run: RunResult): Generator<Row> {
  for (const [index, error] of run.errors.entries()) {
    const place = error.cell ?? error.environment;
    const failure: Failure = {
      message: `${error.code}: ${error.message}`.slice(0, 1000),
      text: [error.message, error.advice, error.output]
        .filter((part) => part !== undefined && part !== '')
        .join('\n\n'),
      kind: 'setup',
    };
    const name = `${error.code}${place === undefined ? '' : ` ${place}`} #${index + 1}`;
    yield {
      kind: 'infra',
      test: single(INFRA_SUITE, name, { attempt: 1, status: 'error', cellAttempt: 1, failure }),
    };
  }
}

/** All rows of a run, cell by cell, errors last. */
export function* rowsOf(run: RunResult): Generator<Row> {
  for (const cell of run.cells) yield* rowsOfCell(cell);
  yield* rowsOfErrors(run);
}

/** The attempt that gave the test its status: the last that was executed, else the last. */
export function decisiveAttempt(test: TestResult): TestAttempt | undefined {
  return test.attempts.findLast(({ status }) => status !== 'skipped') ?? test.attempts.at(-1);
}

/** Time of all attempts together; `undefined` when none is known. */
export function totalDurationMs(test: TestResult): number | undefined {
  let sum: number | undefined;
  for (const { durationMs } of test.attempts) if (durationMs !== undefined) sum = (sum ?? 0) + durationMs;
  return sum;
}

/** From first to last moment of a run, 0 when it has no end. */
export function runDurationMs(run: RunResult): number {
  const ms = run.endedAt === undefined ? 0 : Date.parse(run.endedAt) - Date.parse(run.startedAt);
  return Number.isFinite(ms) && ms > 0 ? ms : 0;
}

function single(pkg: string, name: string, attempt: TestAttempt): TestResult {
  return { id: { package: pkg, name }, attempts: [attempt], status: attempt.status, flaky: false };
}
