import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { cutAt, eventsOf, readAll } from '../read-all.js';
import { createTapReader } from './index.js';
import { sniffTap } from './sniff.js';

const read = (text: string) => readAll(createTapReader, text);

describe('TAP reader', () => {
  it('reads what the test runner of Node prints', () => {
    const text = readFileSync(join(import.meta.dirname, 'fixtures', 'node-test.tap'), 'utf8');
    const { statuses, tests, packages, sound } = read(text);
    expect(sound).toBe(true);
    expect(statuses).toEqual({
      'group > passes': ['passed'],
      'group > fails': ['failed'],
      'group > is left out': ['skipped'],
      'group > is to do': ['skipped'],
      'group > inner > hash # in name': ['passed'],
      'group > inner': ['passed'],
      group: ['failed'],
      prints: ['passed'],
      same: ['passed'],
      'same (2)': ['passed'],
    });
    expect(packages).toEqual([]);
    const failing = tests.find(({ id }) => id.name === 'group > fails')!.attempts[0]!;
    expect(failing.failure).toMatchObject({ kind: 'assertion', file: '/project/a.test.mjs' });
    expect(failing.failure!.message).toBe('1 == 2');
    expect(failing.durationMs).toBeGreaterThan(0);
    expect(tests.find(({ id }) => id.name === 'group > is left out')!.attempts[0]!.skipReason).toBe('no net');
  });

  it('reads all ways to write a subtest alike', () => {
    const expected = { 'x > y > z': ['passed'], 'x > y': ['passed'], x: ['passed'] };
    for (const text of [
      'ok 1 - x {\n    ok 1 - y {\n        ok 1 - z\n        1..1\n    }\n    1..1\n}\n1..1\n',
      '# Subtest: x\n    # Subtest: y\n        ok 1 - z\n        1..1\n    ok 1 - y\n    1..1\nok 1 - x\n1..1\n',
      '# Subtest: x\n        # Subtest: y\n        ok 1 - z\n        1..1\n    ok 1 - y\n    1..1\nok 1 - x\n1..1\n',
      '    # Subtest: x\n    # Subtest: y\n        ok 1 - z\n        1..1\n    ok 1 - y\n    1..1\nok 1 - x\n1..1\n',
      '        ok 1 - z\n        1..1\n    ok 1 - y\n    1..1\nok 1 - x\n1..1\n',
    ]) {
      const { statuses, packages, repairs } = read(text);
      expect(statuses).toEqual(expected);
      expect([...packages, ...repairs]).toEqual([]);
    }
  });

  it('takes directives, escapes and times', () => {
    const { statuses, tests } = read(
      '1..5\nok 1 - a # SKIP no net\nnot ok 2 - b # TODO later\nok 3 - c # todo\nnot ok 4 - d \\# SKIP is text\nok 5 - e # time=12.5ms\n',
    );
    expect(statuses).toEqual({
      a: ['skipped'],
      b: ['skipped'],
      c: ['passed'],
      'd # SKIP is text': ['failed'],
      e: ['passed'],
    });
    expect(tests[0]!.attempts[0]!.skipReason).toBe('no net');
    expect(tests[1]!.attempts[0]!.skipReason).toBe('TODO later');
    expect(tests[4]!.attempts[0]!.durationMs).toBe(12.5);
  });

  it('fails the document when the plan is missing or was not kept, and keeps the results', () => {
    expect(read('ok 1\nok 2\n').packages).toMatchObject([
      { status: 'failed', failure: { message: 'there is no plan' } },
    ]);
    expect(read('1..3\nok 1\n').packages).toMatchObject([
      { status: 'failed', failure: { message: 'the document planned 3 tests and has 1' } },
    ]);
    expect(read('1..1\nok 1\nok 2\n').counts.passed).toBe(2);
    expect(read('1..2\nok 2\nok 1\n').packages).toEqual([]);
    expect(read('1..0 # Skipped: nothing to do\n').packages).toMatchObject([{ status: 'skipped' }]);
  });

  it('makes an error of a bail-out and still reads what follows', () => {
    const { packages, counts } = read('1..3\nok 1\nBail out! disk is gone\nnot ok 2\n');
    expect(packages).toMatchObject([{ status: 'error', failure: { message: 'Bail out! disk is gone' } }]);
    expect(counts).toMatchObject({ passed: 1, failed: 1 });
  });

  it('takes the cause from the YAML block and survives one that is no YAML or has no end', () => {
    const { tests } = read(
      '1..1\nnot ok 1 - t\n  ---\n  message: |\n    first\n    second\n  at: x\n  file: a.js\n  line: 7\n  ...\n',
    );
    expect(tests[0]!.attempts[0]!.failure).toMatchObject({ message: 'first', file: 'a.js', line: 7 });
    expect(read('1..2\nnot ok 1 - t\n  ---\n  !!js/function x: &a *a\n  ...\nok 2\n').counts).toMatchObject({
      failed: 1,
      passed: 1,
    });
    expect(read('1..2\nnot ok 1 - t\n  ---\n  message: x\nok 2\n').counts).toMatchObject({ failed: 1, passed: 1 });
    expect(read('1..1\nnot ok 1 - t\n  ---\n  message: cut').repairs).toMatchObject([{ kind: 'truncated' }]);
  });

  it('passes on other lines as output, in order and in pieces when they are long', () => {
    const { events } = read(`1..1\nhello\n# a comment\nok 1\n${'x'.repeat(100_000)}\n`);
    const output = events.flatMap((event) =>
      event.type === 'output' ? [[event.text.length, event.partial === true]] : [],
    );
    expect(output).toEqual([
      [5, false],
      [11, false],
      [65_536, true],
      [34_464, false],
    ]);
  });

  const line = fc.constantFrom(
    'ok 1',
    'ok 2 - a',
    'not ok - b',
    'ok 3 - c {',
    '}',
    '1..3',
    '1..0 # SKIP',
    'TAP version 14',
    '# Subtest: s',
    '# Subtest',
    '---',
    '...',
    'message: m',
    'Bail out! x',
    'pragma +strict',
    'text',
    '',
    'not ok 4 # TODO',
    'ok 5 # SKIP',
    'ok # time=1ms',
    '\u0000',
    'ok \ud800',
  );
  const indented = fc.tuple(fc.constantFrom('', '  ', '    ', '        ', '\t'), line).map((parts) => parts.join(''));
  const document = fc.array(fc.oneof({ weight: 5, arbitrary: indented }, fc.string()), { maxLength: 30 });

  it('gives one test for each result line, whatever the shape of the document', () => {
    fc.assert(
      fc.property(
        fc.array(
          indented.filter((text) => !/---|\.\.\.$/.test(text)),
          { maxLength: 30 },
        ),
        (lines) => {
          const { tests, sound } = read(lines.join('\n'));
          expect(sound).toBe(true);
          expect(tests.length).toBe(lines.filter((text) => /^\s*(not )?ok\b/.test(text)).length);
          expect(tests.every((test) => test.attempts.length === 1)).toBe(true);
        },
      ),
      { numRuns: 500 },
    );
  });

  it('reads any text, and the same however it is split', () => {
    fc.assert(
      fc.property(document, fc.array(fc.nat(), { maxLength: 6 }), (lines, cuts) => {
        const text = lines.join('\n');
        expect(eventsOf(createTapReader, cutAt(text, cuts))).toEqual(eventsOf(createTapReader, [text]));
      }),
      { numRuns: 500 },
    );
  });

  it('is told from the output of go test', () => {
    expect(sniffTap('TAP version 13\n1..1')).toBeGreaterThan(0.9);
    expect(sniffTap('ok 1 - a\n1..1\n')).toBeGreaterThan(0.8);
    expect(sniffTap('ok  \tgithub.com/x/y\t0.012s\n')).toBe(0);
    expect(sniffTap('--- PASS: TestX (0.00s)\nPASS\n')).toBe(0);
  });
});
