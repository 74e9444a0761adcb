import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { isMkCiError } from '../../../errors.js';
import { addReadEvent, checkConservation, createCellState, summarizeCell } from '../../accumulate.js';
import type { ReadEvent } from '../../events.js';
import type { CreateReader } from '../../reader.js';
import { createGoJsonReader } from '../go-json/index.js';
import { createGoTextReader } from '../go-text/index.js';

interface Read {
  readonly events: readonly ReadEvent[];
  readonly error: string | undefined;
  readonly started: ReadonlySet<string>;
  readonly tests: ReadonlySet<string>;
  readonly holds: boolean;
}

function read(create: CreateReader, pieces: readonly string[]): Read {
  const state = createCellState();
  const events: ReadEvent[] = [];
  const started = new Set<string>();
  let error: string | undefined;
  const reader = create((event) => {
    events.push(event);
    addReadEvent(state, event);
    if (event.type === 'test-started') started.add(event.test.name);
  });
  try {
    for (const piece of pieces) reader.write(piece);
    reader.end();
  } catch (thrown) {
    if (!isMkCiError(thrown)) throw thrown;
    error = thrown.code;
  }
  const { tests } = summarizeCell(state);
  const isOpen = tests.some((test) =>
    test.attempts.some((attempt) => attempt.status === 'notrun' && attempt.failure === undefined),
  );
  return {
    events,
    error,
    started,
    tests: new Set(tests.map((test) => test.id.name)),
    holds: checkConservation(state, tests).holds && !isOpen,
  };
}

function split(text: string, cuts: readonly number[]): string[] {
  const places = [...new Set(cuts.map((cut) => cut % (text.length + 1)))].sort((a, b) => a - b);
  let from = 0;
  const pieces = places.map((place) => text.slice(from, (from = place)));
  return [...pieces, text.slice(from)];
}

const READERS = { 'go-json': createGoJsonReader, 'go-text': createGoTextReader } as const;
const name = fc.constantFrom('TestA', 'TestB', 'TestA/x', 'TestA/x/y', 'BenchmarkC', 'FuzzD', 'Test\u0000E');
const text = fc.oneof(
  fc.string({ maxLength: 30 }),
  fc.constantFrom(
    '--- PASS: TestA (0.10s)',
    'x--- FAIL: TestB (1s)',
    '=== NAME  TestA',
    '    a_test.go:1: failed',
    '\x16=== RUN   TestA',
    'panic: boom',
    '\trunning tests:',
    '\t\tTestA (1s)',
    'FAIL\tp\t0.1s',
    'ok  \tp\t0.1s',
    'PASS',
    '{"Action":"run","Test":"TestZ"}',
    '"Action"',
  ),
);
const line = fc.tuple(text, fc.constantFrom('\n', '', '\r\n')).map(([body, end]) => body + end);
const goEvent = fc
  .record({
    Action: fc.constantFrom(
      'start',
      'run',
      'pause',
      'cont',
      'pass',
      'bench',
      'fail',
      'output',
      'output',
      'output',
      'skip',
      'attr',
      'artifacts',
      'build-output',
      'build-fail',
      'novel',
    ),
    Package: fc.constantFrom(undefined, 'p', 'q'),
    Test: fc.option(name, { nil: undefined }),
    Output: line,
    Elapsed: fc.constantFrom(0, 1.5, -1),
    Time: fc.constantFrom('2026-01-01T00:00:00Z', '2026-01-01T00:00:00+02:00', 'never'),
  })
  .map((event) => JSON.stringify(event));
const jsonStream = fc
  .array(
    fc.tuple(
      fc.oneof({ weight: 5, arbitrary: goEvent }, { weight: 1, arbitrary: text }),
      fc.constantFrom('\n', '\n', '\n', ''),
    ),
    { maxLength: 40 },
  )
  .map((lines) => lines.map(([body, end]) => body + end).join(''));
const textStream = fc
  .array(
    fc.oneof(
      line,
      fc
        .tuple(
          fc.constantFrom('=== RUN   ', '=== CONT  ', '--- PASS: ', '    --- FAIL: ', '--- SKIP: ', '\x16--- FAIL: '),
          name,
        )
        .map(([frame, test]) => `${frame}${test} (0.00s)\n`),
      name.map((test) => `=== RUN   ${test}\n`),
    ),
    { maxLength: 40 },
  )
  .map((lines) => lines.join(''));

for (const [format, create] of Object.entries(READERS)) {
  const stream = format === 'go-json' ? jsonStream : textStream;
  describe(`the ${format} reader`, () => {
    it('gives a result or a named error for any text', () => {
      fc.assert(
        fc.property(fc.oneof(fc.string({ unit: 'binary', maxLength: 300 }), stream), (input) => {
          expect(read(create, [input]).holds).toBe(true);
        }),
        { numRuns: 200 },
      );
    });

    it('finds the same however the input is split', () => {
      fc.assert(
        fc.property(stream, fc.array(fc.nat(5000), { maxLength: 12 }), (input, cuts) => {
          expect(read(create, split(input, cuts))).toEqual(read(create, [input]));
        }),
        { numRuns: 150 },
      );
    });

    it('ends every test that it started', () => {
      fc.assert(
        fc.property(stream, (input) => {
          const { events } = read(create, [input]);
          const open = new Map<string, number>();
          for (const event of events) {
            if (event.type !== 'test-started' && event.type !== 'test-ended') continue;
            const key = `${event.test.package} ${event.test.name}`;
            open.set(key, event.type === 'test-started' ? (open.get(key) ?? 0) + 1 : 0);
            expect(open.get(key)).toBeLessThanOrEqual(1);
          }
          expect([...open.values()].every((count) => count === 0)).toBe(true);
        }),
        { numRuns: 150 },
      );
    });
  });
}

describe('a stream cut off at any place', () => {
  it.each([
    ['go-json', '../go-json/fixtures/exits/input.jsonl', 1],
    ['go-text', '../go-text/fixtures/exits-text-v/input.txt', 1],
    ['go-json', '../go-json/fixtures/count/input.jsonl', 41],
    ['go-text', '../go-text/fixtures/mix-text-v/input.txt', 41],
  ] as const)('loses no test that had started (%s, %s, every %d)', (format, file, step) => {
    const whole = readFileSync(join(import.meta.dirname, file), 'utf8');
    const announced = format === 'go-json' ? /"Action":"run".*"Test":"([^"]+)"\}$/gm : /^=== RUN {3}(\S+)$/gm;
    for (let length = 0; length <= whole.length; length += step) {
      const part = whole.slice(0, length);
      const { tests, holds } = read(READERS[format], [part]);
      if (!holds) throw new Error(`not conserved after ${String(length)} characters`);
      // A last line without its end is whole only when the next character ends it.
      const lines = part.slice(0, part.lastIndexOf('\n') + 1);
      for (const [, test = ''] of lines.matchAll(announced))
        if (!tests.has(test)) throw new Error(`${test} is lost after ${String(length)} characters`);
    }
  });
});
