import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { mergeLanes, mergeRuns } from './merge.js';
import type { CellResult, RunResult, Status, TestResult } from './model.js';
import { arbitraryRun } from './writers/arbitrary-run.js';

function test(name: string, status: Status, startedAt?: string): TestResult {
  const attempt = { attempt: 1, status, cellAttempt: 1, ...(startedAt === undefined ? {} : { startedAt }) };
  return { id: { package: 'p', name }, attempts: [attempt], status, flaky: false };
}

function shard(index: number, tests: readonly TestResult[], total = 3): CellResult {
  const id = `local.e2e.${index}-of-${total}`;
  return {
    id,
    environment: 'local',
    suite: 'e2e',
    shard: { index, total },
    attempts: [],
    tests,
    packages: [],
    repairs: [],
    status: 'passed',
  };
}

function run(cells: readonly CellResult[], rest: Partial<RunResult> = {}): RunResult {
  return {
    runId: 'r',
    toolVersion: '1',
    startedAt: '2026-11-21T10:00:00.000Z',
    endedAt: '2026-11-21T10:01:00.000Z',
    source: { commit: 'abc' },
    environments: [{ name: 'local' }],
    cells,
    phases: [],
    errors: [],
    repairs: [],
    complete: true,
    exitCode: 0,
    ...rest,
  };
}

describe('merging runs', () => {
  it('joins shards, and is complete when all are there', () => {
    const merged = mergeRuns([
      run([shard(1, [test('a', 'passed')])]),
      run([shard(3, [test('c', 'failed')])], { exitCode: 1 }),
      run([shard(2, [test('b', 'passed')])]),
    ]);
    expect(merged.cells.map(({ id }) => id)).toEqual(['local.e2e.1-of-3', 'local.e2e.2-of-3', 'local.e2e.3-of-3']);
    expect(merged).toMatchObject({ complete: true, exitCode: 1, runId: 'r', repairs: [] });
  });

  it('says which shard is missing, and a planned cell without results is one', () => {
    const merged = mergeRuns([
      run([shard(1, [test('a', 'passed')]), shard(2, [])]),
      run([shard(3, [test('c', 'passed')])]),
    ]);
    expect(merged.complete).toBe(false);
    expect(merged.repairs).toEqual([{ kind: 'missing-shard', message: 'shard 2 of 3 of local.e2e has no results' }]);
  });

  it('keeps different results of one cell apart as attempts, by time', () => {
    const merged = mergeRuns([
      run([shard(1, [test('a', 'passed', '2026-11-21T10:02:00.000Z')], 1)]),
      run([shard(1, [test('a', 'failed', '2026-11-21T10:01:00.000Z')], 1)]),
    ]);
    expect(merged.cells[0]!.tests[0]).toMatchObject({ status: 'passed', flaky: true });
    expect(merged.cells[0]!.tests[0]!.attempts.map(({ attempt, status }) => [attempt, status])).toEqual([
      [1, 'failed'],
      [2, 'passed'],
    ]);
    expect(merged.repairs).toMatchObject([{ kind: 'duplicate-shard' }]);
  });

  it('names a source that differs and claims none', () => {
    const merged = mergeRuns([
      run([], { source: { commit: 'a', branch: 'm' } }),
      run([], { source: { commit: 'b', branch: 'm' } }),
    ]);
    expect(merged.source).toEqual({ branch: 'm' });
    expect(merged.repairs).toEqual([{ kind: 'source-differs', message: 'commit: a, b' }]);
  });

  it('gives the same in any order, and the same with every run given twice', () => {
    const runs = fc.array(arbitraryRun(fc.constantFrom('a', 'b', '')), { minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(runs, fc.infiniteStream(fc.nat()), (list, keys) => {
        const shuffled = list
          .map((item) => ({ item, key: keys.next().value as number }))
          .sort((a, b) => a.key - b.key)
          .map(({ item }) => item);
        const expected = mergeRuns(list);
        expect(mergeRuns(shuffled)).toEqual(expected);
        expect(mergeRuns([...shuffled, ...structuredClone(list)])).toEqual(expected);
      }),
      { numRuns: 200 },
    );
  });

  it('loses no attempt', () => {
    fc.assert(
      fc.property(
        fc.uniqueArray(arbitraryRun(), { minLength: 1, maxLength: 3, selector: (item) => JSON.stringify(item) }),
        (list) => {
          const seen = (item: RunResult) =>
            item.cells.flatMap((cell) => cell.tests).reduce((sum, entry) => sum + entry.attempts.length, 0);
          const distinctCells = new Map(list.flatMap(({ cells }) => cells).map((cell) => [JSON.stringify(cell), cell]));
          const expected = [...distinctCells.values()]
            .flatMap((cell) => cell.tests)
            .reduce((sum, entry) => sum + entry.attempts.length, 0);
          expect(seen(mergeRuns(list))).toBe(expected);
        },
      ),
      { numRuns: 100 },
    );
  });
});

describe('merging lanes', () => {
  it('lets executed beat skipped and keeps a test skipped everywhere once', () => {
    const lanes = [
      shard(1, [test('a', 'skipped'), test('b', 'passed'), test('c', 'skipped')]),
      shard(2, [test('a', 'failed'), test('b', 'skipped'), test('c', 'skipped')]),
    ];
    const merged = mergeLanes(lanes, { id: 'x', environment: 'local', suite: 'e2e' });
    expect(merged.tests.map(({ id, status, attempts }) => [id.name, status, attempts.length])).toEqual([
      ['a', 'failed', 1],
      ['b', 'passed', 1],
      ['c', 'skipped', 1],
    ]);
    expect(mergeLanes([...lanes].reverse(), { id: 'x', environment: 'local', suite: 'e2e' })).toEqual(merged);
  });
});
