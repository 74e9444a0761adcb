import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { createCtrfReader } from '../ctrf/index.js';
import { createGopoghSummaryReader } from '../gopogh-summary/index.js';
import { cutAt, eventsOf, readAll } from '../read-all.js';
import {
  createJestJsonReader,
  createMochaJsonReader,
  createPlaywrightJsonReader,
  createVitestJsonReader,
} from './index.js';
import { sniffJestJson, sniffMochaJson, sniffPlaywrightJson, sniffVitestJson } from './sniff.js';

const recorded = readFileSync(join(import.meta.dirname, 'fixtures', 'vitest-retries.json'), 'utf8');

describe('vitest JSON reader', () => {
  it('reads a recorded run with retries, time-outs, broken files and hooks', () => {
    const { statuses, packages, tests, sound } = readAll(createVitestJsonReader, recorded);
    expect(sound).toBe(true);
    expect(statuses).toEqual({
      'flaky.test.ts retry > passes on the third try': ['failed', 'failed', 'passed'],
      'flaky.test.ts retry > never passes': ['failed'],
      'flaky.test.ts left out': ['skipped'],
      'flaky.test.ts to be written': ['skipped'],
      'flaky.test.ts is expected to fail': ['passed'],
      'flaky.test.ts times out': ['failed'],
      'flaky.test.ts prints': ['passed'],
      'hook.test.ts never starts': ['skipped'],
    });
    expect(tests.find(({ id }) => id.name === 'times out')!.attempts[0]!.failure!.kind).toBe('timeout');
    expect(tests[0]!.attempts[0]!.failure).toMatchObject({ file: expect.stringContaining('flaky.test.ts') as string });
    const failures = Object.fromEntries(
      packages.map((result) => [result.package, [result.status, result.failure?.message]]),
    );
    expect(failures).toEqual({
      'broken.test.ts': ['failed', 'broken at import'],
      'flaky.test.ts': ['failed', undefined],
      'hook.test.ts': ['failed', 'hook died'],
    });
  });

  it('takes pending as unfinished, which in Jest is a skip', () => {
    const report = JSON.stringify({
      numTotalTests: 1,
      testResults: [{ name: '/p/a.test.ts', status: 'passed', assertionResults: [{ title: 't', status: 'pending' }] }],
    });
    expect(readAll(createVitestJsonReader, report, { baseFolder: '/p' }).statuses).toEqual({
      'a.test.ts t': ['notrun'],
    });
    expect(readAll(createVitestJsonReader, report, { timedOut: true, baseFolder: '/p/' }).statuses).toEqual({
      'a.test.ts t': ['timedout'],
    });
    expect(readAll(createJestJsonReader, report).statuses).toEqual({ '/p/a.test.ts t': ['skipped'] });
  });

  it('keeps the complete files of a report that was cut off', () => {
    const { tests, repairs } = readAll(createVitestJsonReader, recorded.slice(0, recorded.indexOf('hook.test.ts')));
    expect(tests).toHaveLength(7);
    expect(repairs).toMatchObject([{ kind: 'truncated' }]);
  });

  it('skips what was printed before the document', () => {
    const { tests, repairs } = readAll(createVitestJsonReader, `> npm test\nwarning {x}\n${recorded}\nbye`);
    expect(tests).toHaveLength(8);
    expect(repairs).toMatchObject([{ kind: 'surrounding-text', count: 2 }]);
  });
});

describe('Jest JSON reader', () => {
  it('makes attempts of invocations and retry reasons', () => {
    const report = {
      openHandles: [],
      testResults: [
        {
          name: 'a.js',
          assertionResults: [
            { title: 'flaky', status: 'passed', invocations: 3, retryReasons: ['Error: one', 'Error: two'] },
            {
              title: 'dead',
              status: 'failed',
              retryReasons: ['Error: one'],
              failureMessages: ['Error: last\n at a.js:3:1'],
            },
            { title: 'unknown', status: 'passed', invocations: 2 },
          ],
        },
      ],
    };
    expect(readAll(createJestJsonReader, JSON.stringify(report)).statuses).toEqual({
      'a.js flaky': ['failed', 'failed', 'passed'],
      'a.js dead': ['failed', 'failed'],
      'a.js unknown': ['failed', 'passed'],
    });
  });
});

describe('Mocha JSON reader', () => {
  const entry = (fullTitle: string, rest: object = {}) => ({
    fullTitle,
    file: '/x/a.js',
    currentRetry: 0,
    err: {},
    ...rest,
  });
  it('takes results from the lists, failing hooks too, and shows what is in no list as not finished', () => {
    const report = {
      stats: { suites: 1, passes: 1 },
      tests: [entry('s ok'), entry('s bad'), entry('s gone'), entry('s retried'), entry('s todo')],
      pending: [entry('s todo')],
      failures: [
        entry('s bad', { err: { message: 'x', stack: 'Error: x\n at /x/a.js:4:2' } }),
        entry('s "before each" hook', { err: { message: 'h' } }),
      ],
      passes: [entry('s ok'), entry('s retried', { currentRetry: 2 })],
    };
    expect(readAll(createMochaJsonReader, JSON.stringify(report), { baseFolder: '/x' }).statuses).toEqual({
      'a.js s todo': ['skipped'],
      'a.js s bad': ['failed'],
      'a.js s "before each" hook': ['failed'],
      'a.js s ok': ['passed'],
      'a.js s retried': ['failed', 'failed', 'passed'],
      'a.js s gone': ['notrun'],
    });
  });
});

describe('Playwright JSON reader', () => {
  const result = (status: string, rest: object = {}) => ({
    status,
    duration: 5,
    startTime: '2026-11-21T10:00:00Z',
    ...rest,
  });
  const report = (tests: object[]) => ({
    config: { rootDir: '/x', projects: [] },
    suites: [
      {
        title: 'a.spec.ts',
        file: 'a.spec.ts',
        suites: [{ title: 'group', specs: [{ title: 't', file: 'a.spec.ts', line: 3, tests }] }],
      },
    ],
    errors: [],
  });
  it('tells projects apart and makes an attempt of each result', () => {
    const tests = [
      {
        projectName: 'chromium',
        expectedStatus: 'passed',
        results: [
          result('timedOut', { error: { message: 'slow' } }),
          result('passed', { stdout: [{ text: 'hi\n' }, { buffer: 'aG8=' }] }),
        ],
      },
      { projectName: 'firefox', expectedStatus: 'passed', results: [result('interrupted')] },
      {
        projectName: '',
        expectedStatus: 'skipped',
        status: 'skipped',
        annotations: [{ type: 'skip', description: 'no net' }],
        results: [],
      },
    ];
    const read = readAll(createPlaywrightJsonReader, JSON.stringify(report(tests)));
    expect(read.statuses).toEqual({
      'a.spec.ts [chromium] group > t': ['timedout', 'passed'],
      'a.spec.ts [firefox] group > t': ['notrun'],
      'a.spec.ts group > t': ['skipped'],
    });
    expect(read.events.flatMap((event) => (event.type === 'output' ? [event.text] : []))).toEqual(['hi', 'ho']);
    expect(read.tests[2]!.attempts[0]!.skipReason).toBe('no net');
  });

  it('passes what fails as expected, and fails what was expected to fail', () => {
    const tests = [
      { projectName: 'a', expectedStatus: 'failed', results: [result('failed')] },
      { projectName: 'b', expectedStatus: 'failed', results: [result('passed')] },
    ];
    expect(readAll(createPlaywrightJsonReader, JSON.stringify(report(tests))).statuses).toEqual({
      'a.spec.ts [a] group > t': ['passed'],
      'a.spec.ts [b] group > t': ['failed'],
    });
  });

  it('gives errors outside tests to the package and refuses other documents by their keys', () => {
    const broken = {
      config: { rootDir: '/x' },
      suites: [],
      errors: [{ message: 'SyntaxError: x', location: { file: 'a.ts', line: 1 } }],
    };
    expect(readAll(createPlaywrightJsonReader, JSON.stringify(broken)).packages).toMatchObject([
      { package: '', status: 'error', failure: { message: 'SyntaxError: x', file: 'a.ts', line: 1 } },
    ]);
    expect(() => eventsOf(createPlaywrightJsonReader, ['{"settings":{},"tests":[]}'])).toThrow(/settings, tests/);
  });
});

describe('CTRF and gopogh summary readers', () => {
  it('read attempts with and without the final one in the list', () => {
    const test = (rest: object) => ({ name: 't', status: 'passed', duration: 9, ...rest });
    const read = (rest: object) =>
      readAll(
        createCtrfReader,
        JSON.stringify({ reportFormat: 'CTRF', results: { summary: { tests: 1 }, tests: [test(rest)] } }),
      );
    const failed = { attempt: 1, status: 'failed', message: 'm' };
    expect(read({ retries: 1, retryAttempts: [failed] }).statuses).toEqual({ t: ['failed', 'passed'] });
    expect(read({ retries: 1, retryAttempts: [failed, { attempt: 2, status: 'passed' }] }).statuses).toEqual({
      t: ['failed', 'passed'],
    });
    expect(read({ flaky: true, retries: 2 }).statuses).toEqual({ t: ['failed', 'failed', 'passed'] });
    expect(read({ status: 'other' }).statuses).toEqual({ t: ['notrun'] });
    expect(read({ status: 'other', rawStatus: 'error' }).statuses).toEqual({ t: ['error'] });
    expect(read({ suite: ['a', 'b'] }).statuses).toEqual({ 'a > b t': ['passed'] });
  });

  it('say when the numbers disagree with the lists', () => {
    const summary = {
      NumberOfTests: 3,
      FailedTests: ['A'],
      PassedTests: ['B/c'],
      SkippedTests: null,
      Durations: { 'B/c': 1.5 },
    };
    const { statuses, repairs, tests } = readAll(createGopoghSummaryReader, JSON.stringify(summary));
    expect(statuses).toEqual({ A: ['failed'], 'B/c': ['passed'] });
    expect(tests[1]!.attempts[0]!.durationMs).toBe(1500);
    expect(repairs).toMatchObject([{ kind: 'attributes-disagree' }]);
  });
});

describe('all JSON readers', () => {
  const readers = [
    createVitestJsonReader,
    createJestJsonReader,
    createMochaJsonReader,
    createPlaywrightJsonReader,
    createCtrfReader,
    createGopoghSummaryReader,
  ];
  const key = fc.constantFrom(
    'testResults',
    'assertionResults',
    'status',
    'title',
    'name',
    'tests',
    'passes',
    'failures',
    'pending',
    'err',
    'suites',
    'specs',
    'results',
    'config',
    'rootDir',
    'errors',
    'retryAttempts',
    'retries',
    'flaky',
    'suite',
    'summary',
    'reportFormat',
    'FailedTests',
    'Durations',
    'NumberOfTests',
    'stats',
    'numTotalTests',
    'duration',
    'failureMessages',
    '__proto__',
    'constructor',
    'hasOwnProperty',
    'toString',
  );
  const { document } = fc.letrec<{ document: unknown }>((tie) => ({
    document: fc.oneof(
      { maxDepth: 6 },
      fc.constantFrom<unknown>('passed', 'failed', 'skipped', 'CTRF', null, true, 7, -1, 1e308, ''),
      fc.string(),
      fc.array(tie('document'), { maxLength: 3 }),
      // JSON.stringify writes an own `__proto__` only when it was defined, which fromEntries does.
      fc.array(fc.tuple(key, tie('document')), { maxLength: 4 }).map((entries): unknown => Object.fromEntries(entries)),
    ),
  }));
  const object = fc
    .array(fc.tuple(key, document), { maxLength: 5 })
    .map((entries) => JSON.stringify(Object.fromEntries(entries)));

  it('give a result or a named error for any document, whole or cut, and touch no prototype', () => {
    fc.assert(
      fc.property(fc.oneof(object, fc.string()), fc.nat(), (text, cut) => {
        for (const create of readers) {
          for (const part of [text, text.slice(0, cut % (text.length + 1))]) {
            try {
              expect(readAll(create, part).sound).toBe(true);
            } catch (error) {
              expect(error).toMatchObject({ code: 'RES_MALFORMED' });
            }
          }
        }
        expect(Object.keys(Object.prototype)).toEqual([]);
      }),
      { numRuns: 400 },
    );
  });

  it('read the same however the input is split', () => {
    fc.assert(
      fc.property(object, fc.array(fc.nat(), { maxLength: 6 }), (text, cuts) => {
        for (const create of readers) {
          const attempt = (pieces: readonly string[]) => {
            try {
              return eventsOf(create, pieces);
            } catch (error) {
              return String(error);
            }
          };
          expect(attempt(cutAt(text, cuts))).toEqual(attempt([text]));
        }
      }),
      { numRuns: 200 },
    );
  });

  it('survive nesting that would overflow a stack', () => {
    const deep = `{"suites":[${'{"suites":['.repeat(50_000)}${']}'.repeat(50_000)}]}`;
    expect(() => eventsOf(createPlaywrightJsonReader, [deep])).not.toThrow(RangeError);
  });

  it('recognise their own documents only', () => {
    expect(sniffVitestJson(recorded)).toBeGreaterThan(0.5);
    expect(sniffJestJson(recorded)).toBe(0);
    expect(sniffJestJson('{"numTotalTests":1,"openHandles":[]}')).toBeGreaterThan(0.5);
    expect(sniffMochaJson('{\n "stats": {"suites": 1, "passes": 2}')).toBeGreaterThan(0.5);
    expect(sniffPlaywrightJson('{"config":{"rootDir":"/","projects":[]},"suites":[]}')).toBeGreaterThan(0.5);
    expect(sniffPlaywrightJson('{"Action":"run"}')).toBe(0);
  });
});
