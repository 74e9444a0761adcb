import { MkCiError } from '../../../errors.js';
import type { Status, TestAttempt } from '../../model.js';
import { numberAfter, numberBefore, type CheckKind, type Fact } from './page.js';
import { readFileForTest, type FileRead } from './read-file.js';

/** `junit`: the page counts `<testcase>` elements; repeated ones are attempts here, reruns inside one are more. */
export const checkJunit: CheckKind = async ({ holds }, path) => {
  const read = await readFileForTest(path);
  const base: Fact[] = [
    { name: 'format', expected: 'junit', actual: read.format },
    { name: 'conservation', expected: true, actual: read.conserves },
  ];
  if (holds.startsWith('not well-formed')) {
    const kept = read.tests.length > 0 && read.repairs.some(({ kind }) => kind === 'truncated');
    return [...base, { name: 'reported and what came before kept', expected: true, actual: kept }];
  }
  const reruns = Object.values(objectAfter(holds, 'reruns')).reduce((sum, count) => sum + count, 0);
  const pass = numberAfter(holds, 'pass');
  const fail = numberAfter(holds, 'fail');
  const error = numberAfter(holds, 'error');
  const skip = /skip (\d+)/.exec(holds)?.[1];
  const attempts = read.tests.flatMap((test) => test.attempts);
  return [
    ...base,
    { name: 'cases and reruns', expected: numberBefore(holds, 'cases') + reruns, actual: attempts.length },
    { name: 'pass', expected: pass, actual: withStatus(read, 'passed') },
    { name: 'fail and reruns', expected: fail + reruns, actual: withStatus(read, 'failed') },
    { name: 'error', expected: error, actual: withStatus(read, 'error') },
    { name: 'skip', expected: Number(skip), actual: withStatus(read, 'skipped') },
  ];
};

/** `ctrf`: tests by their own status; `pending` is skipped here, `other` did not end. */
export const checkCtrf: CheckKind = async ({ holds }, path) => {
  const read = await readFileForTest(path);
  const told = (word: string): number => Number(new RegExp(`'${word}': (\\d+)`).exec(holds)?.[1] ?? 0);
  return [
    { name: 'format', expected: 'ctrf', actual: read.format },
    { name: 'tests', expected: numberBefore(holds, 'tests'), actual: read.tests.length },
    { name: 'passed', expected: told('passed'), actual: read.counts.passed },
    { name: 'failed', expected: told('failed'), actual: read.counts.failed },
    { name: 'skipped and pending', expected: told('skipped') + told('pending'), actual: read.counts.skipped },
    { name: 'other', expected: told('other'), actual: read.counts.notrun },
    { name: 'flaky', expected: numberAfter(holds, 'flaky'), actual: read.counts.flaky },
    { name: 'conservation', expected: true, actual: read.conserves },
  ];
};

/** `tap`: the page counts lines at column 0; results of subtests are tests `parent > child` here. */
export const checkTap: CheckKind = async ({ holds }, path) => {
  if (numberAfter(holds, 'ok') === 0 && holds.includes('not ok 0') && holds.includes('plan None')) {
    return [{ name: 'refused as empty', expected: 'RES_EMPTY', actual: await codeOf(path) }];
  }
  const read = await readFileForTest(path, 'tap');
  const attempts = read.tests.filter(({ id }) => !id.name.includes(' > ')).map((test) => test.attempts[0]);
  const isTodo = (attempt: TestAttempt | undefined): boolean => attempt?.skipReason?.startsWith('TODO') === true;
  const todo = attempts.filter(isTodo).length;
  const skipped = attempts.filter((attempt) => attempt?.status === 'skipped').length - todo;
  const failed = attempts.filter((attempt) => attempt?.status === 'failed').length;
  const ok = numberAfter(holds, 'ok');
  const notOk = Number(/not ok (\d+)/.exec(holds)?.[1]);
  return [
    { name: 'results at column 0', expected: ok + notOk, actual: attempts.length },
    // A failing todo is "not ok" on the page and skipped here.
    { name: 'not ok', expected: notOk, actual: failed + todo },
    { name: 'skip', expected: Number(/#skip (\d+)/.exec(holds)?.[1]), actual: skipped },
    {
      name: 'bail out',
      expected: holds.includes('bail out yes'),
      actual: read.packages.some(({ status }) => status === 'error'),
    },
    { name: 'conservation', expected: true, actual: read.conserves },
  ];
};

/** `js-json`: attempts and tests of Jest, vitest, Mocha and Playwright. */
export const checkJsJson: CheckKind = async ({ file, holds, note }, path) => {
  if (note.includes('must be refused')) {
    const code = await codeOf(path);
    return [
      { name: 'refused by name', expected: true, actual: code === 'RES_MALFORMED' || code === 'RES_UNKNOWN_FORMAT' },
    ];
  }
  const read = await readFileForTest(path);
  const attempts = read.tests.flatMap((test) => test.attempts).length;
  const facts: Fact[] = [
    { name: 'format', expected: `${file.slice(0, file.indexOf('-'))}-json`, actual: read.format },
    { name: 'conservation', expected: true, actual: read.conserves },
  ];
  if (file.startsWith('playwright')) {
    const told = (word: string): number => Number(new RegExp(`'${word}': (\\d+)`).exec(holds)?.[1] ?? 0);
    return [
      ...facts,
      { name: 'expected and flaky', expected: told('expected') + told('flaky'), actual: read.counts.passed },
      { name: 'unexpected', expected: told('unexpected'), actual: read.counts.failed },
      { name: 'flaky', expected: told('flaky'), actual: read.counts.flaky },
      { name: 'skipped', expected: told('skipped'), actual: read.counts.skipped },
      { name: 'result attempts', expected: numberAfter(holds, 'result attempts'), actual: attempts },
      { name: 'retries', expected: numberAfter(holds, 'retries'), actual: attempts - read.tests.length },
    ];
  }
  if (file.startsWith('mocha')) {
    return [
      ...facts,
      { name: 'tests', expected: Number(/tests (\d+)/.exec(holds)?.[1]), actual: attempts },
      { name: 'passes', expected: numberAfter(holds, 'passes'), actual: withStatus(read, 'passed') },
      { name: 'failures', expected: Number(/failures (\d+)/.exec(holds)?.[1]), actual: withStatus(read, 'failed') },
      { name: 'pending', expected: Number(/pending (\d+)/.exec(holds)?.[1]), actual: withStatus(read, 'skipped') },
    ];
  }
  return [
    ...facts,
    { name: 'files', expected: numberBefore(holds, 'files'), actual: read.packages.length },
    { name: 'numTotalTests', expected: numberAfter(holds, 'numTotalTests'), actual: attempts },
    { name: 'numFailedTests', expected: numberAfter(holds, 'numFailedTests'), actual: withStatus(read, 'failed') },
  ];
};

/** Told as `191 tests: 181 pass / 1 fail / 9 skip`, or shorter for the files that follow: `42: 21 / 17 / 4`. */
export const checkGopoghSummary: CheckKind = async ({ holds }, path) => {
  const read = await readFileForTest(path);
  const told = /(\d+)(?: tests)?: (\d+)(?: pass)? \/ (\d+)(?: fail)? \/ (\d+)/.exec(holds);
  return [
    { name: 'format', expected: 'gopogh-summary', actual: read.format },
    { name: 'tests', expected: Number(told?.[1]), actual: read.tests.length },
    { name: 'pass', expected: Number(told?.[2]), actual: read.counts.passed },
    { name: 'fail', expected: Number(told?.[3]), actual: read.counts.failed },
    { name: 'skip', expected: Number(told?.[4]), actual: read.counts.skipped },
    { name: 'conservation', expected: true, actual: read.conserves },
  ];
};

/** Code of the error with which a file is refused. */
async function codeOf(path: string): Promise<unknown> {
  try {
    await readFileForTest(path);
    return 'read';
  } catch (error) {
    return error instanceof MkCiError ? error.code : error;
  }
}

function withStatus(read: FileRead, status: Status): number {
  return read.tests.reduce((sum, test) => sum + test.attempts.filter((attempt) => attempt.status === status).length, 0);
}

function objectAfter(text: string, word: string): Record<string, number> {
  const json = new RegExp(`${word} (\\{[^}]*\\})`).exec(text)?.[1];
  return json === undefined ? {} : (JSON.parse(json) as Record<string, number>);
}
