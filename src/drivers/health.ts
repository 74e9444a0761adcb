import { ERROR_CATALOGUE, MkCiError, type ErrorCode } from '../errors.js';
import type { DriverHealth, DriverProblem } from './driver.js';

/** @throws {MkCiError} with the code that is the reason of the first problem, where it is one, else `DRV_UNUSABLE` */
export function throwProblems({ usable, problems }: DriverHealth, driver: string): void {
  if (!usable) throw problemError(driver, problems);
}

function problemError(driver: string, problems: readonly DriverProblem[]): MkCiError {
  const said = problems.map(({ message, fix }) => `${message}${/[.!?]$/.test(message) ? '' : '.'} ${fix}`);
  const [first] = problems;
  if (first === undefined || !isErrorCode(first.reason))
    return new MkCiError('DRV_UNUSABLE', { message: driver, details: { problems: said } });
  // One that was an error itself begins with what the code says anyway.
  const { summary } = ERROR_CATALOGUE[first.reason];
  const message = first.message.startsWith(`${summary}: `) ? first.message.slice(summary.length + 2) : first.message;
  return new MkCiError(first.reason, { message, advice: first.fix, details: { problems: said.slice(1) } });
}

function isErrorCode(word: string): word is ErrorCode {
  return Object.hasOwn(ERROR_CATALOGUE, word);
}
