import { ERROR_CATALOGUE, MkCiError, type ErrorCode } from '../errors.js';
import type { DriverHealth, DriverProblem } from './driver.js';

/** @throws {MkCiError} with the code that is the reason of the first problem, where it is one, else `DRV_UNUSABLE` */
export function throwProblems({ usable, problems }: DriverHealth, driver: string): void {
  if (!usable) throw problemError(driver, problems);
}

function problemError(driver: string, problems: readonly DriverProblem[]): MkCiError {
  const [first] = problems;
  const details = { problems: problems.map(({ message, fix }) => `${message}. ${fix}`) };
  if (first !== undefined && isErrorCode(first.reason)) {
    return new MkCiError(first.reason, { message: first.message, advice: first.fix, details });
  }
  return new MkCiError('DRV_UNUSABLE', { message: driver, details });
}

function isErrorCode(word: string): word is ErrorCode {
  return Object.hasOwn(ERROR_CATALOGUE, word);
}
