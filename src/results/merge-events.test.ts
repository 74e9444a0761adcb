import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { addRunEvent, createRunState, runResult } from './accumulate-run.js';
import type { RunEvent } from './events.js';
import { mergeEvents, type ShardRun } from './merge-events.js';
import type { RunResult, Status } from './model.js';

const at = (second: number) => new Date(Date.UTC(2026, 10, 21, 10, 0, second)).toISOString();

function resultOf(events: readonly RunEvent[]): RunResult {
  const state = createRunState();
  for (const event of events) addRunEvent(state, event);
  return runResult(state);
}

function shard(index: number, status: Status = 'passed', runId = `run-${String(index)}`): ShardRun {
  const cell = `local.e2e.${String(index)}-of-3`;
  const id = { package: 'p', name: `Test${String(index)}` };
  const events: RunEvent[] = [
    {
      type: 'run-started',
      version: 1,
      at: at(index),
      runId,
      toolVersion: '0.1.0',
      source: { commit: 'c' },
      environments: [{ name: 'local' }],
      cells: [{ id: cell, environment: 'local', suite: 'e2e', shard: { index, total: 3 } }],
    },
    { type: 'cell-started', at: at(index), cell },
    { type: 'attempt-started', at: at(index), cell, attempt: 1, command: ['x'], folder: `cells/${cell}/attempt-1` },
    { type: 'test-started', test: id, at: at(index), cell, attempt: 1 },
    { type: 'test-ended', test: id, status, at: at(index), cell, attempt: 1 },
    { type: 'attempt-ended', at: at(index), cell, attempt: 1, durationMs: 1, exitCode: 0 },
    { type: 'cell-ended', at: at(index), cell, status, durationMs: 1 },
    { type: 'run-ended', at: at(index), exitCode: status === 'passed' ? 0 : 1 },
  ];
  return { folder: `/${runId}`, events, run: resultOf(events) };
}

describe('merging records of machines', () => {
  it('gives the same record in any order and however often a folder is given', () => {
    const shards = [shard(1), shard(2, 'failed'), shard(3)];
    const expected = mergeEvents(shards);
    fc.assert(
      fc.property(fc.shuffledSubarray([...shards, ...shards], { minLength: 6 }), (order) => {
        expect(mergeEvents(order)).toEqual(expected);
      }),
    );
    const run = resultOf(expected.events);
    expect(run).toMatchObject({ complete: true, exitCode: 1 });
    expect(run.cells.map(({ tests }) => tests.length)).toEqual([1, 1, 1]);
    expect(expected.problems).toEqual([]);
  });

  it('says which shard is missing, and does not pass without it', () => {
    const merged = mergeEvents([shard(1), shard(3)]);
    expect(merged.problems).toEqual(['shard 2 of 3 of local.e2e has no results']);
    expect(resultOf(merged.events).exitCode).toBe(1);

    const alone = mergeEvents([shard(2)]);
    expect(alone.problems).toEqual([1, 3].map((index) => `shard ${index} of 3 of local.e2e has no results`));
    expect(resultOf(alone.events)).toMatchObject({ exitCode: 1, errors: [{ code: 'RES_MALFORMED' }] });
  });

  it('keeps two different results of one cell apart, with their folders', () => {
    const merged = mergeEvents([shard(1), shard(1, 'failed', 'run-1b'), shard(2), shard(3)]);
    expect(merged.cells.map(({ id }) => id)).toContain('local.e2e.1-of-3~2');
    expect(merged.problems.join()).toContain('different results');
    const cell = resultOf(merged.events).cells.find(({ id }) => id.endsWith('~2'));
    expect(cell?.attempts[0]?.folder).toBe('cells/local.e2e.1-of-3~2/attempt-1');
  });
});
