import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { compareRuns } from './compare-runs.js';
import { isBad, type CellResult, type RunResult, type Status, type TestResult } from './model.js';
import { arbitraryRun } from './writers/arbitrary-run.js';

function test(name: string, status: Status, durationMs = 10, more: Partial<TestResult> = {}): TestResult {
  return {
    id: { package: 'p', name },
    attempts: [{ attempt: 1, cellAttempt: 1, status, durationMs }],
    status,
    flaky: false,
    ...more,
  };
}

function run(cells: Readonly<Record<string, readonly TestResult[]>>, packages: CellResult['packages'] = []): RunResult {
  return {
    runId: 'r',
    toolVersion: '1',
    startedAt: '2026-11-21T10:00:00.000Z',
    source: {},
    environments: Object.keys(cells).map((name) => ({ name })),
    cells: Object.entries(cells).map(([environment, tests]) => ({
      id: `${environment}.e2e`,
      environment,
      suite: 'e2e',
      attempts: [],
      tests,
      packages,
      repairs: [],
      status: 'passed',
    })),
    phases: [],
    errors: [],
    repairs: [],
    complete: true,
  };
}

const names = (tests: readonly { readonly id: { readonly name: string } }[]): string[] =>
  tests.map(({ id }) => id.name);

describe('comparing runs', () => {
  it('tells new failures, fixed, slower, added and removed tests apart', () => {
    const before = run({
      local: [
        test('A', 'passed'),
        test('B', 'failed'),
        test('C', 'failed'),
        test('Slow', 'passed', 4_000),
        test('Gone', 'passed'),
      ],
    });
    const after = run({
      local: [
        test('A', 'failed'),
        test('B', 'failed'),
        test('C', 'passed'),
        test('Slow', 'passed', 9_000),
        test('New', 'passed'),
        test('NewBad', 'timedout'),
      ],
    });
    const compared = compareRuns(after, before);
    expect(names(compared.newFailures)).toEqual(['A', 'NewBad']);
    expect(names(compared.fixed)).toEqual(['C']);
    expect(compared.slower).toMatchObject([{ id: { name: 'Slow' }, beforeMs: 4_000, afterMs: 9_000, index: 3 }]);
    expect(names(compared.added)).toEqual(['New', 'NewBad']);
    expect(compared.removed).toEqual([{ package: 'p', name: 'Gone' }]);
  });

  it('compares within an environment where both runs have it', () => {
    const before = run({ docker: [test('A', 'failed')], kvm2: [test('A', 'passed')] });
    const after = run({ docker: [test('A', 'failed')], kvm2: [test('A', 'failed')] });
    expect(compareRuns(after, before).newFailures).toMatchObject([{ cell: 'kvm2.e2e', index: 1 }]);
  });

  it('compares by name alone with a file of another environment', () => {
    const compared = compareRuns(
      run({ docker: [test('A', 'failed')] }),
      run({ default: [test('A', 'failed'), test('B', 'passed')] }),
    );
    expect(compared.newFailures).toEqual([]);
    expect(compared.removed).toEqual([{ package: 'p', name: 'B' }]);
  });

  it('leaves out a parent that fails only through its subtest', () => {
    const before = run({ local: [test('A', 'passed'), test('A/b', 'passed')] });
    const after = run({ local: [test('A', 'failed'), test('A/b', 'failed')] });
    expect(names(compareRuns(after, before).newFailures)).toEqual(['A/b']);
  });

  it('names packages that break without a failing test', () => {
    const broken = [{ package: 'p/build', status: 'failed' as const }];
    const before = run({ local: [test('A', 'passed')] });
    expect(compareRuns(run({ local: [test('A', 'passed')] }, broken), before).newBrokenPackages).toEqual([
      { package: 'p/build', cell: 'local.e2e' },
    ]);
    expect(compareRuns(run({ local: [] }, broken), run({ local: [] }, broken)).newBrokenPackages).toEqual([]);
  });

  it('finds nothing between a run and itself, whatever the run', () => {
    fc.assert(
      fc.property(arbitraryRun(), (any) => {
        const { newFailures, newBrokenPackages, fixed, slower, added, removed } = compareRuns(any, any);
        expect([newFailures, newBrokenPackages, fixed, slower, added, removed].flat()).toEqual([]);
      }),
    );
  });

  it('lists every bad test of a run against an empty one, parents through children apart', () => {
    fc.assert(
      fc.property(arbitraryRun(), (any) => {
        const compared = compareRuns(any, { ...any, cells: [] });
        const tests = any.cells.flatMap((cell) => cell.tests);
        expect(compared.added).toHaveLength(tests.length);
        for (const { index } of compared.newFailures) expect(isBad(tests[index]?.status ?? 'passed')).toBe(true);
      }),
    );
  });
});
