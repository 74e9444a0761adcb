import { ERROR_CATALOGUE, type ErrorCode } from '../errors.js';
import { exitCodeOfSignal } from '../process.js';
import { isBad, type RunResult } from '../results/model.js';

export interface ExitCodeOptions {
  /** Signal that interrupted the run. */
  readonly signalName?: NodeJS.Signals | undefined;
  readonly failOnFlaky?: boolean | undefined;
}

/**
 * Exit code of a run: 128+n when interrupted by signal n; 1 when tests failed; else that of the first error,
 * infrastructure before others; `RUN_NO_TESTS` when no test ran; 0 only when something ran and all of it passed.
 */
export function exitCodeOf(
  run: Pick<RunResult, 'cells' | 'errors'>,
  { signalName, failOnFlaky = false }: ExitCodeOptions = {},
): number {
  if (signalName !== undefined) return exitCodeOfSignal(signalName);
  const tests = run.cells.flatMap((cell) => cell.tests);
  const packages = run.cells.flatMap((cell) => cell.packages);
  const isFlaky = failOnFlaky && tests.some((test) => test.flaky);
  if (isFlaky || [...tests, ...packages].some(({ status }) => isBad(status))) return 1;
  const first = run.errors.find((error) => error.infrastructure) ?? run.errors[0];
  if (first !== undefined) return catalogueExitCode(first.code);
  if (run.cells.some(({ status }) => isBad(status))) return 1;
  const ran = tests.some(({ status }) => status !== 'skipped');
  return ran ? 0 : ERROR_CATALOGUE.RUN_NO_TESTS.exitCode;
}

function catalogueExitCode(code: string): number {
  return isErrorCode(code) ? ERROR_CATALOGUE[code].exitCode : ERROR_CATALOGUE.CLI_INTERNAL.exitCode;
}

function isErrorCode(code: string): code is ErrorCode {
  return Object.hasOwn(ERROR_CATALOGUE, code);
}
