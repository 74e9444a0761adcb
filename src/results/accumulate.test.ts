import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { addReadEvent, checkConservation, createCellState, endCellAttempt, summarizeCell } from './accumulate.js';
import { countTests, totalOf } from './counts.js';
import type { ReadEvent } from './events.js';
import { STATUSES, type Status } from './model.js';

const started = (name: string, pkg = 'p'): ReadEvent => ({ type: 'test-started', test: { package: pkg, name } });
const ended = (name: string, status: Status, pkg = 'p'): ReadEvent => ({
  type: 'test-ended',
  test: { package: pkg, name },
  status,
});

function summarize(...events: readonly ReadEvent[]) {
  const state = createCellState();
  for (const event of events) addReadEvent(state, event);
  const summary = summarizeCell(state);
  return { ...summary, conservation: checkConservation(state, summary.tests) };
}

describe('the accumulator of a cell', () => {
  it('keeps the attempts of a rerun apart and calls the test flaky', () => {
    const { tests, counts } = summarize(started('A'), ended('A', 'failed'), started('A'), ended('A', 'passed'));
    expect(tests).toHaveLength(1);
    expect(tests[0]?.attempts.map((attempt) => [attempt.attempt, attempt.status])).toEqual([
      [1, 'failed'],
      [2, 'passed'],
    ]);
    expect(counts).toMatchObject({ passed: 1, failed: 0, flaky: 1 });
  });

  it('gives the end of a running test to it, also when its package is named in between', () => {
    const { tests, conservation } = summarize(
      started('A', ''),
      started('A'),
      ended('A', 'failed', ''),
      { type: 'package-named', package: 'p' },
      ended('A', 'passed'),
    );
    expect(tests.map(({ attempts }) => attempts.map(({ status }) => status))).toEqual([['failed', 'passed']]);
    expect(conservation).toMatchObject({ started: 2, holds: true });
  });

  it('takes an end without a start for both', () => {
    expect(summarize(ended('A', 'passed'), ended('A', 'failed')).tests[0]?.attempts).toHaveLength(2);
  });

  it('shows a test without an end as notrun', () => {
    const { counts, conservation } = summarize(started('A'), started('B'), ended('B', 'passed'));
    expect(counts).toMatchObject({ passed: 1, notrun: 1 });
    expect(conservation).toMatchObject({ started: 2, holds: true });
  });

  it('takes the status of the last attempt that was executed', () => {
    expect(summarize(ended('A', 'failed'), ended('A', 'skipped')).tests[0]?.status).toBe('failed');
    expect(summarize(ended('A', 'skipped')).tests[0]?.status).toBe('skipped');
  });

  it('does not call a test flaky whose first attempt was never run to its end', () => {
    expect(summarize(ended('A', 'notrun'), ended('A', 'passed')).counts.flaky).toBe(0);
  });

  it('keeps tests of one name in two packages apart', () => {
    expect(summarize(ended('A', 'passed', 'p'), ended('A', 'failed', 'q')).tests).toHaveLength(2);
  });

  it('moves tests to the package that is named after them and joins reruns', () => {
    const { tests } = summarize(
      started('A', ''),
      ended('A', 'failed', ''),
      { type: 'package-named', package: 'p' },
      ended('A', 'passed', ''),
      { type: 'package-named', package: 'p' },
      ended('A', 'passed', ''),
    );
    expect(tests.map((test) => [test.id.package, test.attempts.length])).toEqual([
      ['p', 2],
      ['', 1],
    ]);
  });

  it('keeps a test open over the naming of its package', () => {
    const state = createCellState();
    addReadEvent(state, started('A', ''));
    addReadEvent(state, { type: 'package-named', package: 'p' });
    endCellAttempt(state, { timedOut: true });
    expect(summarizeCell(state).tests[0]).toMatchObject({ id: { package: 'p' }, status: 'timedout' });
  });

  it('leaves an impossible duration out', () => {
    const { tests } = summarize({ ...ended('A', 'passed'), durationMs: -5 } as ReadEvent);
    expect(tests[0]?.attempts[0]).not.toHaveProperty('durationMs');
  });

  it('folds the same repair and bounds their number', () => {
    const repairs = Array.from({ length: 3000 }, (_, index): ReadEvent => ({
      type: 'repair',
      kind: 'k',
      message: `m${String(index)}`,
    }));
    const result = summarize(...repairs, { type: 'repair', kind: 'k', message: 'm0' }).repairs;
    expect(result).toHaveLength(1001);
    expect(result[0]).toMatchObject({ message: 'm0', count: 2 });
    expect(result.at(-1)).toMatchObject({ kind: 'k', count: 2000 });
  });

  it('takes attributes without following __proto__', () => {
    const { tests } = summarize(started('A'), {
      type: 'attribute',
      test: { package: 'p', name: 'A' },
      key: '__proto__',
      value: 'x',
    });
    expect(Object.keys(tests[0]?.attributes ?? {})).toEqual(['__proto__']);
  });

  it('conserves every attempt of any stream', () => {
    const name = fc.constantFrom('A', 'B', 'A/x', 'A/y');
    const pkg = fc.constantFrom('', 'p', 'q');
    const event = fc.oneof(
      fc.tuple(name, pkg).map(([n, p]) => started(n, p)),
      fc.tuple(name, fc.constantFrom(...STATUSES), pkg).map(([n, s, p]) => ended(n, s, p)),
      fc.constantFrom<ReadEvent>({ type: 'package-named', package: 'p' }, { type: 'package-named', package: 'r' }),
    );
    fc.assert(
      fc.property(fc.array(event, { maxLength: 60 }), (events) => {
        const { tests, counts, conservation } = summarize(...events);
        expect(conservation.holds).toBe(true);
        expect(totalOf(counts)).toBe(tests.length);
        expect(countTests(tests)).toEqual(counts);
      }),
    );
  });

  it('takes 50,000 tests with three attempts each in linear time', () => {
    const state = createCellState();
    const before = performance.now();
    for (let round = 0; round < 3; round += 1) {
      for (let index = 0; index < 50_000; index += 1) {
        addReadEvent(state, started(`T${String(index)}`));
        addReadEvent(state, ended(`T${String(index)}`, 'passed'));
      }
    }
    expect(summarizeCell(state).counts.passed).toBe(50_000);
    expect(performance.now() - before).toBeLessThan(15_000);
  });
});
