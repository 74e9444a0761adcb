import fc from 'fast-check';

import { isFlaky, statusOfAttempts } from '../counts.js';
import { STATUSES, type CellResult, type RunResult, type TestAttempt, type TestResult } from '../model.js';

/** Text with everything that breaks formats: markup, control characters, lone surrogates, bidi, ANSI, long lines. */
export const hostileText = fc.oneof(
  { weight: 3, arbitrary: fc.string({ maxLength: 30 }) },
  fc.string({ unit: 'binary', maxLength: 20 }),
  fc.constantFrom(
    ']]>',
    '<script>alert(1)</script>',
    '&amp;&#0;',
    '\u0000\u001b[31mred\u001b[0m',
    '\ud800 lone \udc00',
    '\u202egnirts',
    'a|b`c`@team/x #1',
    '{{x}} __proto__',
    '"\'\r\n\t',
    '-->',
    'é😀漢',
  ),
);

const attemptOf = (text: fc.Arbitrary<string>) =>
  fc.record({
    status: fc.constantFrom(...STATUSES),
    durationMs: fc.option(fc.integer({ min: 0, max: 10_000_000 }), { nil: undefined }),
    message: text.map((value) => value.trim()).filter((value) => value !== ''),
    text: fc.option(text, { nil: undefined }),
  });

/** Runs with a name for each test that is unique in its cell, and `text` in every free field. */
export function arbitraryRun(text: fc.Arbitrary<string> = hostileText): fc.Arbitrary<RunResult> {
  const test = fc.record({ name: text, attempts: fc.array(attemptOf(text), { minLength: 1, maxLength: 4 }) });
  const cell = fc.record({ tests: fc.array(test, { maxLength: 6 }), package: text });
  return fc
    .record({
      cells: fc.array(cell, { maxLength: 3 }),
      title: text,
      commit: text,
      errors: fc.array(text, { maxLength: 2 }),
    })
    .map(({ cells, title, commit, errors }) => ({
      runId: 'run-1',
      toolVersion: '0.0.0',
      startedAt: '2026-11-21T10:00:00.000Z',
      endedAt: '2026-11-21T10:05:00.500Z',
      title,
      source: { commit, repository: 'owner/name', pullRequest: 7 },
      environments: [{ name: 'local', driver: 'local', kubernetesVersion: 'v1.36.3' }],
      cells: cells.map((entry, index) => cellOf(entry, index)),
      phases: [],
      errors: errors.map((message) => ({ code: 'DRV_FAILED', message, infrastructure: true, environment: 'local' })),
      repairs: [],
      complete: true,
      exitCode: 0,
    }));
}

interface Entry {
  readonly package: string;
  readonly tests: readonly {
    readonly name: string;
    readonly attempts: readonly {
      readonly status: TestAttempt['status'];
      readonly durationMs: number | undefined;
      readonly message: string;
      readonly text: string | undefined;
    }[];
  }[];
}

function cellOf(entry: Entry, index: number): CellResult {
  return {
    id: `local.suite-${index}`,
    environment: 'local',
    suite: `suite-${index}`,
    attempts: [],
    // A package per cell: readers of formats without cells would otherwise join tests of two cells.
    tests: entry.tests.map((test, number) => testOf(`pkg${index} ${entry.package}`, `${number} ${test.name}`, test)),
    packages: [],
    repairs: [],
    startedAt: '2026-11-21T10:00:00.000Z',
    durationMs: 1000,
    status: 'passed',
  };
}

function testOf(pkg: string, name: string, { attempts }: Entry['tests'][number]): TestResult {
  const list = attempts.map(({ status, durationMs, message, text }, index): TestAttempt => ({
    attempt: index + 1,
    status,
    cellAttempt: 1,
    ...(durationMs === undefined ? {} : { durationMs }),
    ...(status === 'passed' || status === 'skipped'
      ? {}
      : { failure: { message, kind: 'other', ...(text === undefined ? {} : { text }) } }),
  }));
  return { id: { package: pkg, name }, attempts: list, status: statusOfAttempts(list), flaky: isFlaky(list) };
}
