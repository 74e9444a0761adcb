import { describe, expect, it } from 'vitest';

import { exitCodeOf } from './exit-code.js';
import type { CellResult, RunError, Status, TestResult } from '../results/model.js';
import { cellStatus, problemsOf, type AttemptFacts } from './verdict.js';

const facts = (more: Partial<AttemptFacts>): AttemptFacts => ({
  exitCode: 0,
  timedOut: false,
  aborted: false,
  format: 'go-json',
  timeoutMs: 60_000,
  lastLines: [],
  tests: ['passed'],
  packages: [],
  ...more,
});
const codes = (more: Partial<AttemptFacts>): string[] =>
  problemsOf(facts(more)).map(({ code, message }) => `${code}: ${message}`);

describe('problemsOf', () => {
  it('finds none where exit code and tests agree', () => {
    expect(codes({})).toEqual([]);
    expect(codes({ exitCode: 1, tests: ['failed'] })).toEqual([]);
    expect(codes({ tests: ['failed'] })).toEqual([]);
    expect(codes({ exitCode: 2, packages: [{ status: 'failed' }] })).toEqual([]);
    expect(codes({ tests: [], exitCode: 1, packages: [{ status: 'error' }] })).toEqual([]);
    expect(codes({ tests: [], exitCode: undefined, signal: 'SIGTERM', aborted: true })).toEqual([]);
  });

  it('names what does not agree', () => {
    expect(codes({ exitCode: 1 })).toEqual(['RUN_SUITE_EXIT: the suite exited 1 though all tests passed']);
    expect(codes({ exitCode: 3, tests: ['skipped'] })).toEqual([
      'RUN_SUITE_EXIT: the suite exited 3 though all tests were skipped',
    ]);
    expect(codes({ exitCode: undefined, signal: 'SIGSEGV' })).toEqual([
      'RUN_SUITE_EXIT: the suite was ended by SIGSEGV though all tests passed',
    ]);
    expect(codes({ exitCode: 2, tests: ['passed', 'notrun'], packages: [{ status: 'notrun' }] })).toEqual([
      'RUN_SUITE_EXIT: the suite exited 2 with 1 test unfinished',
    ]);
    expect(codes({ tests: [], format: undefined })).toEqual([
      'RUN_NO_TESTS: the suite exited 0 and reported no test, its output has no known format',
    ]);
    expect(codes({ tests: [], format: undefined, resultPatterns: ['a.xml', 'b/*.json'] })).toEqual([
      'RUN_NO_TESTS: the suite exited 0 and reported no test, no file of a known format in $ARTIFACTS fits its results: a.xml, b/*.json',
    ]);
    expect(codes({ tests: [], packages: [{ status: 'skipped' }] })).toEqual([
      'RUN_NO_TESTS: the suite exited 0 and reported no test',
    ]);
    expect(codes({ timedOut: true, exitCode: undefined, signal: 'SIGTERM', tests: ['passed', 'timedout'] })).toEqual([
      'RUN_SUITE_TIMEOUT: the suite was ended after 1 min, 1 test unfinished',
    ]);
    expect(codes({ startProblem: 'x (not found)', tests: [] })).toEqual(['RUN_SUITE_START: x (not found)']);
  });

  it('names the signal that ended a suite, also when a test failed before, and behind a shell', () => {
    expect(codes({ exitCode: undefined, signal: 'SIGKILL', tests: ['failed', 'passed'] })).toEqual([
      'RUN_SUITE_EXIT: the suite was ended by SIGKILL',
    ]);
    expect(codes({ exitCode: 139, packages: [{ status: 'failed' }] })).toEqual([
      'RUN_SUITE_EXIT: the suite exited 139 (128 + SIGSEGV)',
    ]);
    expect(codes({ exitCode: 137, tests: ['notrun'] })).toEqual([
      'RUN_SUITE_EXIT: the suite exited 137 (128 + SIGKILL) with 1 test unfinished',
    ]);
    expect(codes({ exitCode: 250, tests: ['failed'] })).toEqual([]);
  });
});

describe('cellStatus', () => {
  const tests = (...statuses: Status[]): { status: Status }[] => statuses.map((status) => ({ status }));
  const problem = { code: 'RUN_SUITE_EXIT', message: '', infrastructure: false };

  it('is the worst of tests, packages and problems', () => {
    expect(cellStatus(tests('passed', 'skipped'), [], [], false)).toBe('passed');
    expect(
      cellStatus(
        tests('passed'),
        tests('failed').map((item) => ({ ...item, package: 'p' })),
        [],
        false,
      ),
    ).toBe('failed');
    expect(cellStatus(tests('passed'), [], [problem], false)).toBe('error');
    expect(cellStatus(tests('failed'), [], [problem], false)).toBe('failed');
    expect(cellStatus(tests('skipped'), [], [], false)).toBe('skipped');
    expect(cellStatus([], [], [], false)).toBe('notrun');
    expect(cellStatus(tests('passed', 'notrun'), [], [], true)).toBe('notrun');
    expect(cellStatus(tests('passed', 'failed'), [], [], true)).toBe('failed');
  });
});

describe('exitCodeOf', () => {
  const cell = (status: Status, tests: readonly (Status | 'flaky')[]): CellResult => ({
    id: 'c',
    environment: 'e',
    suite: 's',
    attempts: [],
    packages: [],
    repairs: [],
    status,
    tests: tests.map((item, index): TestResult => ({
      id: { package: '', name: `t${index}` },
      attempts: [],
      status: item === 'flaky' ? 'passed' : item,
      flaky: item === 'flaky',
    })),
  });
  const error = (code: string, infrastructure: boolean): RunError => ({ code, message: '', infrastructure });

  it('is 0 only when something ran and all of it passed', () => {
    expect(exitCodeOf({ cells: [cell('passed', ['passed', 'skipped'])], errors: [] })).toBe(0);
    expect(exitCodeOf({ cells: [cell('skipped', ['skipped'])], errors: [] })).toBe(18);
    expect(exitCodeOf({ cells: [], errors: [] })).toBe(18);
    expect(exitCodeOf({ cells: [cell('notrun', []), cell('passed', ['passed'])], errors: [] })).toBe(1);
  });

  it('is 1 for failed tests, also beside infrastructure that failed', () => {
    expect(exitCodeOf({ cells: [cell('failed', ['failed'])], errors: [] })).toBe(1);
    expect(exitCodeOf({ cells: [cell('failed', ['failed'])], errors: [error('K8S_START_TIMEOUT', true)] })).toBe(1);
    expect(exitCodeOf({ cells: [cell('passed', ['flaky'])], errors: [] })).toBe(0);
    expect(exitCodeOf({ cells: [cell('passed', ['flaky'])], errors: [] }, { failOnFlaky: true })).toBe(1);
  });

  it('is that of the error otherwise, infrastructure first, and never 0', () => {
    const cells = [cell('passed', ['passed']), cell('error', [])];
    expect(exitCodeOf({ cells, errors: [error('RUN_NO_TESTS', false), error('K8S_START_TIMEOUT', true)] })).toBe(102);
    expect(exitCodeOf({ cells, errors: [error('RUN_SUITE_START', false)] })).toBe(18);
    expect(exitCodeOf({ cells: [cell('passed', ['passed'])], errors: [error('FROM_THE_FUTURE', true)] })).toBe(10);
  });

  it('is 128+n after signal n', () => {
    expect(exitCodeOf({ cells: [cell('failed', ['failed'])], errors: [] }, { signalName: 'SIGTERM' })).toBe(143);
  });
});
