import { describe, expect, it } from 'vitest';

import { parseConfig } from '../../config/index.js';
import type { PackageResult, TestResult } from '../../results/model.js';
import { planRun, type PlannedCell } from '../plan.js';
import { findTool, planRerun, type RerunPlan } from './select.js';

const test = (name: string, status: TestResult['status'], more: Partial<TestResult> = {}): TestResult => ({
  id: { package: more.id?.package ?? 'p', name },
  attempts: [
    {
      attempt: 1,
      status,
      cellAttempt: 1,
      ...(status === 'failed' ? { failure: { message: 'no', kind: 'assertion' } } : {}),
    },
  ],
  status,
  flaky: false,
  ...more,
});

function cellOf(command: string | string[]): PlannedCell {
  const config = parseConfig(
    `version: 1\nsuites: [{ name: s, retries: 1, command: ${JSON.stringify(command)} }]`,
    '/x/mk-ci.yaml',
  );
  const [cell] = planRun(config).cells;
  if (cell === undefined) throw new Error('no cell');
  return cell;
}

function rerun(
  command: string | string[],
  tests: TestResult[],
  options: { packages?: PackageResult[]; files?: string[] } = {},
): RerunPlan {
  return planRerun(cellOf(command), {
    tests: { tests, packages: options.packages ?? [] },
    problems: [],
    attempt: 1,
    exists: (path) => (options.files ?? []).includes(path),
  });
}

describe('findTool', () => {
  it.each([
    ['go test -json ./...', 'go test', ['go', 'test']],
    ['A=1 B="x y" go test ./...', 'go test', ['env', 'A=1', 'B=x y', 'go', 'test']],
    ['npx vitest run --reporter=json', 'vitest', ['npx', 'vitest', 'run']],
    ['npx -y vitest', 'vitest', ['npx', '-y', 'vitest']],
    ['pnpm exec playwright test', 'playwright', ['pnpm', 'exec', 'playwright', 'test']],
    ['node_modules/.bin/jest --ci', 'jest', ['node_modules/.bin/jest']],
    ['python3 -m pytest --junit-xml=$ARTIFACTS/junit.xml', 'pytest', ['python3', '-m', 'pytest']],
    ['python3 -m pytest -q', 'pytest', ['python3', '-m', 'pytest']],
    ['uv run pytest tests', 'pytest', ['uv', 'run', 'pytest']],
  ])('finds the tool in %j', (command, tool, front) => {
    const found = findTool(command);
    expect(found?.tool.name).toBe(tool);
    expect(found?.front).toEqual(front);
  });

  it.each([
    'go vet ./...',
    'npm test',
    'cd e2e && go test ./...',
    'go test ./... | tee log',
    'make e2e',
    'playwright install',
  ])('finds none in %j', (command) => {
    expect(findTool(command)).toBeUndefined();
  });
});

describe('planRerun', () => {
  it('runs the failed Go tests alone and says so', () => {
    const plan = rerun('go test -json ./...', [
      test('TestA', 'passed'),
      test('TestB', 'failed'),
      test('TestC', 'skipped'),
    ]);
    expect(plan.steps).toEqual([['go', 'test', '-json', '-count=1', '-run', '^TestB$', 'p']]);
    expect(plan.selection).toEqual([{ package: 'p', name: 'TestB' }]);
    expect(plan.note).toContain('rerun of 1 failed test:');
  });

  it('runs a Go package in whole when it ended before its tests did, or failed by itself', () => {
    const unfinished = rerun('go test -json ./...', [test('TestA', 'passed'), test('TestB', 'notrun')]);
    expect(unfinished.steps).toEqual([['go', 'test', '-json', '-count=1', 'p']]);
    expect(unfinished.selection?.map(({ name }) => name)).toEqual(['TestB', 'TestA']);
    const build = rerun('go test -json ./...', [test('TestA', 'passed')], {
      packages: [{ package: 'q', status: 'failed' }],
    });
    expect(build.steps).toEqual([['go', 'test', '-json', '-count=1', 'q']]);
  });

  it('runs the whole suite, with the reason, where it can not select', () => {
    expect(rerun('make e2e', [test('x', 'failed')])).toEqual({
      note: 'the whole suite runs again: its command can not be told which tests to run',
    });
    expect(rerun('npx vitest run', [test('x', 'timedout')]).note).toContain('ended before all its tests did');
    expect(rerun('go test ./...', [test('x', 'passed')]).note).toContain('no single test failed');
    expect(rerun('npx vitest run', [test('x', 'failed')]).note).toContain('can not be told which of these tests');
  });

  it('names vitest and jest tests by file and full name', () => {
    const files = ['a.test.ts'];
    const failed = test('suite > adds (1+1)', 'failed', { id: { package: 'a.test.ts', name: 'suite > adds (1+1)' } });
    expect(rerun('npx vitest run --reporter=json a.test.ts', [failed], { files }).steps).toEqual([
      ['npx', 'vitest', 'run', '--reporter=json', '-t', '^ ?(suite(?: > | )adds \\(1\\+1\\))$', 'a.test.ts'],
    ]);
    expect(rerun('npx jest --ci -t old', [failed], { files }).steps).toEqual([
      ['npx', 'jest', '--ci', '-t', '^ ?(suite(?: > | )adds \\(1\\+1\\))$', '--runTestsByPath', 'a.test.ts'],
    ]);
  });

  it('calls once per file when a passed test has the name of a failed one', () => {
    const [a, b] = ['a.test.ts', 'b.test.ts'];
    const tests = [
      test('x', 'failed', { id: { package: a, name: 'x' } }),
      test('y', 'failed', { id: { package: b, name: 'y' } }),
      test('x', 'passed', { id: { package: b, name: 'x' } }),
    ];
    expect(rerun('npx vitest run', tests, { files: [a, b] }).steps).toEqual([
      ['npx', 'vitest', 'run', '-t', '^ ?(x)$', a],
      ['npx', 'vitest', 'run', '-t', '^ ?(y)$', b],
    ]);
  });

  it('names playwright tests by project and name, and by place where it is known', () => {
    const placed = test('opens', 'failed', { file: 'e2e/a.spec.ts', line: 7 });
    expect(rerun('npx playwright test e2e/a.spec.ts', [placed], { files: ['e2e/a.spec.ts'] }).steps).toEqual([
      ['npx', 'playwright', 'test', '--grep', '(?:^| )opens(?: @.*)?$', 'e2e/a.spec.ts:7'],
    ]);
    const [one] = [test('page > opens', 'failed', { id: { package: 'a.spec.ts [web kit]', name: 'page > opens' } })];
    expect(rerun('npx playwright test', [one]).steps).toEqual([
      ['npx', 'playwright', 'test', '--grep', '^ ?web kit (?:.* )?page(?: > | )opens(?: @.*)?$'],
    ]);
    expect(rerun('npx playwright test', [test('page > opens', 'failed')]).steps).toEqual([
      ['npx', 'playwright', 'test', '--grep', '(?:^| )page(?: > | )opens(?: @.*)?$'],
    ]);
  });

  it('names pytest tests by node id when the file is found, else leaves it to pytest', () => {
    const failed = test('test_start[a b]', 'failed', {
      id: { package: 'tests.test_pod.TestPod', name: 'test_start[a b]' },
    });
    const files = ['tests/test_pod.py', 'tests'];
    expect(rerun('pytest -q -k fast tests --junitxml=r.xml', [failed], { files }).steps).toEqual([
      ['pytest', '-q', '-k', 'fast', '--junitxml=r.xml', 'tests/test_pod.py::TestPod::test_start[a b]'],
    ]);
    expect(rerun('pytest -q', [failed]).steps).toEqual([
      ['pytest', '-q', '--last-failed', '--last-failed-no-failures=none'],
    ]);
  });

  it('runs the whole suite when the names are too long for a command line', () => {
    const tests = Array.from({ length: 2000 }, (_, index) => test(`Test${'X'.repeat(60)}${index}`, 'failed'));
    expect(rerun('go test ./...', tests).note).toContain('too many tests failed');
  });
});
