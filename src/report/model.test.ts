import { describe, expect, it } from 'vitest';

import type { CellResult, RunResult, Status, TestResult } from '../results/model.js';
import { reportModel, testAnchor, verdictOf } from './model.js';
import { linksOf } from './links.js';
import { filterTests, listTests, NO_FILTER } from './shared/filter.js';

function test(name: string, status: Status, more: Partial<TestResult> = {}): TestResult {
  return {
    id: { package: 'p', name },
    attempts: [{ attempt: 1, cellAttempt: 1, status, durationMs: 10 }],
    status,
    flaky: false,
    ...more,
  };
}

function run(tests: readonly TestResult[], more: Partial<RunResult> = {}, cell: Partial<CellResult> = {}): RunResult {
  const bad = tests.some(({ status }) => status !== 'passed' && status !== 'skipped');
  return {
    runId: 'r1',
    toolVersion: '0',
    startedAt: '2026-09-14T09:30:00Z',
    endedAt: '2026-09-14T09:31:00Z',
    source: {},
    environments: [{ name: 'local' }],
    cells: [
      {
        id: 'local.e2e',
        environment: 'local',
        suite: 'e2e',
        attempts: [],
        tests,
        packages: [],
        repairs: [],
        status: bad ? 'failed' : 'passed',
        ...cell,
      },
    ],
    phases: [],
    errors: [],
    repairs: [],
    complete: true,
    ...more,
  };
}

describe('the verdict', () => {
  it.each([
    ['passed', run([test('A', 'passed')])],
    ['failed', run([test('A', 'passed'), test('B', 'notrun')])],
    ['flaky', run([test('A', 'passed', { flaky: true })])],
    ['empty', run([])],
    ['unfinished', run([test('A', 'passed')], { complete: false })],
    [
      'infrastructure',
      run([test('A', 'failed')], { errors: [{ code: 'K8S_START_TIMEOUT', message: '', infrastructure: true }] }),
    ],
    ['failed', run([test('A', 'passed')], {}, { packages: [{ package: 'p', status: 'failed' }] })],
    ['failed', run([test('A', 'passed')], {}, { status: 'timedout' })],
  ] as const)('is %s', (word, one) => {
    expect(verdictOf(one).word).toBe(word);
  });
});

describe('the model of the page', () => {
  it('lists failures without parents that fail only through a subtest', () => {
    const data = reportModel(run([test('A', 'failed'), test('A/b', 'failed'), test('C', 'passed')]));
    expect(data.failures.map((index) => data.tests[index]?.name)).toEqual(['A/b']);
    expect(data.tests[1]?.parent).toBe(0);
    expect(data.counts.failed).toBe(2);
  });

  it('lists a parent that fails by itself', () => {
    const own = {
      attempts: [
        { attempt: 1, cellAttempt: 1, status: 'failed' as const, failure: { message: 'boom', kind: 'panic' as const } },
      ],
    };
    const data = reportModel(run([test('A', 'failed', own), test('A/b', 'failed')]));
    expect(data.failures.map((index) => data.tests[index]?.name)).toEqual(['A', 'A/b']);
  });

  it('puts new failures before known flakes and what flaked last', () => {
    const tests = [test('Flaked', 'passed', { flaky: true }), test('Known', 'failed'), test('New', 'failed')];
    const data = reportModel(run(tests), {
      history: ({ name }) => (name === 'Known' ? { recent: 'f', failed: 5, runs: 10, rate: 0.5 } : undefined),
      against: run([test('Known', 'failed'), test('New', 'passed'), test('Gone', 'passed')]),
    });
    expect(data.failures.map((index) => data.tests[index]?.name)).toEqual(['New', 'Known', 'Flaked']);
    expect(data.compare).toMatchObject({ newFailures: [2], fixed: [], added: [0], removed: ['p Gone'] });
  });

  it('names what was fixed and what got slower by both measures', () => {
    const slow = (ms: number): Partial<TestResult> => ({
      attempts: [{ attempt: 1, cellAttempt: 1, status: 'passed', durationMs: ms }],
    });
    const data = reportModel(
      run([test('A', 'passed'), test('B', 'passed', slow(9_000)), test('C', 'passed', slow(30))]),
      {
        against: run([test('A', 'failed'), test('B', 'passed', slow(4_000)), test('C', 'passed', slow(10))]),
      },
    );
    expect(data.compare).toMatchObject({ fixed: [0], slower: [{ test: 1, beforeMs: 4_000, afterMs: 9_000 }] });
  });

  it('gives a test the same id whatever its result', () => {
    expect(testAnchor({ package: 'p', name: 'A' })).toBe('9d1168c40efe');
    const ids = [run([test('A', 'passed')]), run([test('A', 'failed')])].map((one) => reportModel(one).tests[0]?.id);
    expect(ids).toEqual(['9d1168c40efe', '9d1168c40efe']);
  });

  it('bounds names and failure texts and says what is cut', () => {
    const text = 'x'.repeat(60_000);
    const attempts = [{ attempt: 1, cellAttempt: 1, status: 'failed' as const, failure: { message: 'm', text } }];
    const data = reportModel(
      run(
        Array.from({ length: 400 }, (_, index) =>
          test(`${'n'.repeat(100_000)}${String(index)}`, 'failed', { attempts }),
        ),
      ),
    );
    expect(JSON.stringify(data).length).toBeLessThan(6_000_000);
    expect(data.tests[0]?.name).toMatch(/… \(98,001 more characters\)$/);
    expect(data.tests[399]?.attempts?.[0]).toMatchObject({ textCut: true, message: 'm' });
    expect(new Set(data.tests.map(({ id }) => id)).size).toBe(400);
  });

  it('takes __proto__ as a name like any other', () => {
    const data = reportModel(run([test('__proto__', 'passed'), test('constructor', 'failed')]));
    expect(data.tests.map(({ name }) => name)).toEqual(['__proto__', 'constructor']);
    expect(filterTests(data, { ...NO_FILTER, text: '__proto__' })).toEqual([0]);
  });

  it('says when tests got lost', () => {
    const data = reportModel(run([test('A', 'passed'), test('A', 'passed')]));
    expect(data.conservation).toEqual({ holds: false, started: 1, accounted: 2 });
  });

  it('counts attempts of one test within each attempt of the cell', () => {
    const attempts = [
      { attempt: 1, cellAttempt: 1, status: 'failed' as const },
      { attempt: 2, cellAttempt: 1, status: 'failed' as const },
      { attempt: 3, cellAttempt: 2, status: 'passed' as const },
    ];
    const data = reportModel(run([test('A', 'passed', { attempts, flaky: true })]));
    expect(data.tests[0]?.attempts?.map(({ occurrence }) => occurrence)).toEqual([1, 2, 1]);
  });
});

describe('links', () => {
  it('go to repository, pull request, commit and job', () => {
    expect(
      linksOf({ repository: 'a/b', pullRequest: 7, commit: 'abcdef0123456', jobUrl: 'https://ci/x' }).map(
        ({ url }) => url,
      ),
    ).toEqual([
      'https://github.com/a/b',
      'https://github.com/a/b/pull/7',
      'https://github.com/a/b/commit/abcdef0123456',
      'https://ci/x',
    ]);
  });

  it('are never scripts and never carry credentials', () => {
    expect(linksOf({ repository: 'javascript:alert(1)', jobUrl: 'https://u:p@ci/x' })).toEqual([
      { label: 'CI job', url: 'https://ci/x' },
    ]);
  });
});

describe('the list of tests', () => {
  const data = reportModel(
    run([test('A', 'failed'), test('A/b', 'failed'), test('A/c', 'passed'), test('B', 'skipped')]),
  );
  const options = {
    sort: 'order',
    group: 'none',
    closedGroups: new Set<string>(),
    closedTests: new Set<number>(),
  } as const;

  it('shows subtests below their parent', () => {
    expect(listTests(data, [0, 1, 2, 3], options)).toEqual([
      { kind: 'test', test: 0, depth: 0, children: 2 },
      { kind: 'test', test: 1, depth: 1, children: 0 },
      { kind: 'test', test: 2, depth: 1, children: 0 },
      { kind: 'test', test: 3, depth: 0, children: 0 },
    ]);
  });

  it('closes parents and groups', () => {
    expect(listTests(data, [0, 1, 2, 3], { ...options, closedTests: new Set([0]) })).toHaveLength(2);
    expect(listTests(data, [0, 1, 2, 3], { ...options, group: 'package', closedGroups: new Set(['p']) })).toEqual([
      { kind: 'group', label: 'p', tests: 4, bad: 2 },
    ]);
  });

  it('filters by all words and by status', () => {
    expect(filterTests(data, { ...NO_FILTER, text: 'p a/' })).toEqual([1, 2]);
    expect(filterTests(data, { ...NO_FILTER, statuses: new Set(['skipped', 'passed']) })).toEqual([2, 3]);
  });
});
