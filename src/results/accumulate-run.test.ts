import { describe, expect, it } from 'vitest';

import { accumulateRun } from './accumulate-run.js';
import type { RunEvent } from './events.js';

const at = (second: number): string => new Date(Date.UTC(2026, 0, 1, 0, 0, second)).toISOString();
const test = { package: 'p', name: 'A' };

const RUN: readonly RunEvent[] = [
  {
    type: 'run-started',
    version: 1,
    at: at(0),
    runId: 'r1',
    toolVersion: '0.1.0',
    source: { commit: 'abc' },
    environments: [{ name: 'local' }],
    cells: [{ id: 'local.e2e', environment: 'local', suite: 'e2e' }],
  },
  { type: 'phase-started', at: at(1), scope: 'cluster:c', name: 'start' },
  { type: 'phase-ended', at: at(3), scope: 'cluster:c', name: 'start', durationMs: 2000, status: 'ok' },
  { type: 'cell-started', at: at(3), cell: 'local.e2e' },
  { type: 'attempt-started', at: at(3), cell: 'local.e2e', attempt: 1, command: ['go', 'test'], format: 'go-json' },
  { type: 'test-started', at: at(4), cell: 'local.e2e', attempt: 1, test },
  { type: 'test-ended', at: at(5), cell: 'local.e2e', attempt: 1, test, status: 'failed', durationMs: 1000 },
  { type: 'attempt-ended', at: at(6), cell: 'local.e2e', attempt: 1, durationMs: 3000, exitCode: 1 },
  { type: 'attempt-started', at: at(6), cell: 'local.e2e', attempt: 2, command: ['go', 'test'], selection: [test] },
  { type: 'test-ended', at: at(8), cell: 'local.e2e', attempt: 2, test, status: 'passed', durationMs: 1000 },
  { type: 'attempt-ended', at: at(9), cell: 'local.e2e', attempt: 2, durationMs: 3000, exitCode: 0 },
  { type: 'cell-ended', at: at(9), cell: 'local.e2e', status: 'passed', durationMs: 6000 },
  { type: 'run-ended', at: at(10), exitCode: 0 },
];

describe('accumulating a run', () => {
  it('gives the whole run', () => {
    const run = accumulateRun(RUN);
    expect(run).toMatchObject({ runId: 'r1', complete: true, exitCode: 0, startedAt: at(0), endedAt: at(10) });
    expect(run.phases).toEqual([
      { scope: 'cluster:c', name: 'start', startedAt: at(1), durationMs: 2000, status: 'ok' },
    ]);
    const [cell] = run.cells;
    expect(cell).toMatchObject({ id: 'local.e2e', environment: 'local', status: 'passed', durationMs: 6000 });
    expect(cell?.attempts.map((attempt) => [attempt.exitCode, attempt.startedAt])).toEqual([
      [1, at(3)],
      [0, at(6)],
    ]);
    expect(cell?.tests[0]).toMatchObject({ status: 'passed', flaky: true });
    expect(cell?.tests[0]?.attempts.map((attempt) => [attempt.cellAttempt, attempt.startedAt])).toEqual([
      [1, at(4)],
      [2, at(7)],
    ]);
  });

  it('reads a stream that stops anywhere', () => {
    for (let length = 0; length < RUN.length; length += 1) {
      const run = accumulateRun(RUN.slice(0, length));
      expect(run.complete).toBe(false);
      if (length >= 6) expect(run.cells[0]?.tests).toHaveLength(1);
    }
    const cut = accumulateRun(RUN.slice(0, 6));
    expect(cut.cells[0]).toMatchObject({ status: 'notrun', tests: [{ status: 'notrun' }] });
    expect(accumulateRun(RUN.slice(0, 2)).phases[0]?.status).toBe('unfinished');
  });

  it('reads a stream whose head is lost', () => {
    const run = accumulateRun(RUN.slice(5));
    expect(run.cells[0]).toMatchObject({ id: 'local.e2e', tests: [{ status: 'passed', flaky: true }] });
  });

  it('marks what ran when the time limit struck', () => {
    const run = accumulateRun([
      ...RUN.slice(0, 6),
      { type: 'attempt-ended', at: at(6), cell: 'local.e2e', attempt: 1, durationMs: 1, timedOut: true },
    ]);
    expect(run.cells[0]?.tests[0]?.status).toBe('timedout');
  });

  it('ignores event types it does not know and survives times that are none', () => {
    const strange = { type: 'from-the-future', at: 'x' } as unknown as RunEvent;
    const run = accumulateRun([
      strange,
      { type: 'phase-ended', at: 'never', scope: 's', name: 'n', durationMs: 5, status: 'ok' },
    ]);
    expect(run.phases).toHaveLength(1);
  });
});
