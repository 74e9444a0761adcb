import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

import { describe, expect, it } from 'vitest';

import type { GoEvent } from '../go/event.js';
import { createLineJoiner } from '../go/lines.js';
import { readAll } from '../read-all.js';
import { createConverter } from './converter.js';
import { createGoTextReader } from './reader.js';

const PAIRS = join(import.meta.dirname, '../../../../../shared/data/test2json-pairs');
const hasPairs = existsSync(PAIRS);

function convert(text: string): GoEvent[] {
  const events: GoEvent[] = [];
  const converter = createConverter({ emit: (event) => events.push(event) });
  const lines = createLineJoiner((line, partial) => {
    converter.line(line, partial);
  });
  lines.write(text);
  lines.flush();
  converter.end();
  return events;
}

/** What an oracle and we must agree on: events of tests in order, and the whole output of each test. */
function brief(
  events: readonly {
    readonly action: string;
    readonly test?: string | undefined;
    readonly output?: string | undefined;
  }[],
) {
  const outputs = new Map<string, string>();
  const steps: string[] = [];
  for (const { action, test = '', output } of events) {
    if (action === 'output' || action === 'build-output') outputs.set(test, (outputs.get(test) ?? '') + (output ?? ''));
    else if (test !== '') steps.push(`${action} ${test}`);
  }
  return { steps, outputs: Object.fromEntries([...outputs].map(([test, text]) => [test, text.trimEnd()])) };
}

describe.skipIf(!hasPairs)('the converter of go test text (skipped when ../shared/data is absent)', () => {
  for (const file of hasPairs ? readdirSync(PAIRS).filter((name) => name.endsWith('.test')) : []) {
    it(`makes of ${file} what test2json makes of it`, () => {
      const expected = readFileSync(join(PAIRS, file.replace(/\.test$/, '.json')), 'utf8')
        .split('\n')
        .filter((line) => line !== '')
        .map((line) => JSON.parse(line) as Record<string, string>)
        .map((event) => ({ action: event['Action'] ?? '', test: event['Test'], output: event['Output'] }));
      expect(brief(convert(readFileSync(join(PAIRS, file), 'utf8')))).toEqual(brief(expected));
    });
  }
});

describe('the converter of go test text', () => {
  const steps = (text: string): string[] => brief(convert(text)).steps;

  it('finds a failure behind other text when nothing announced the test', () => {
    expect(steps('progress 50%--- FAIL: TestGlued (0.10s)\n    a_test.go:3: broken\n')).toEqual(['fail TestGlued']);
  });

  it('leaves a marker in a log line alone', () => {
    expect(steps('--- FAIL: TestA (0.00s)\n    a_test.go:3: saw --- FAIL: TestB (0.00s)\n')).toEqual(['fail TestA']);
  });

  it('does not let a test that ended end once more because another printed so', () => {
    expect(
      steps(
        '=== RUN   TestA\n--- PASS: TestA (0.00s)\n=== RUN   TestB\n--- FAIL: TestA (0.00s)\n--- PASS: TestB (0.00s)\n',
      ),
    ).toEqual(['run TestA', 'pass TestA', 'run TestB', 'pass TestB']);
  });

  it('ends a test whose name is longer than a piece of a line, and says that the name is cut', () => {
    const name = `TestLong/${'abc<b>&'.repeat(200_000)}`;
    const read = readAll(
      createGoTextReader,
      `=== RUN   TestLong\n=== RUN   ${name}\n    x_test.go:1: bad\n--- FAIL: TestLong (0.00s)\n    --- FAIL: ${name} (0.00s)\nFAIL\nFAIL\tp\t0.1s\n`,
    );
    expect(read.tests.map(({ id, status }) => [id.name.slice(0, 12), status])).toEqual([
      ['TestLong', 'failed'],
      ['TestLong/abc', 'failed'],
    ]);
    expect(read.repairs.map(({ kind }) => kind)).toEqual(['long-name']);
    expect(read.sound).toBe(true);
  });

  it('ends a fuzz test once', () => {
    expect(
      steps('=== RUN   FuzzA\n--- FAIL: FuzzA (0.05s)\n    --- FAIL: FuzzA (0.00s)\n        f_test.go:9: bad\n'),
    ).toEqual(['run FuzzA', 'fail FuzzA']);
  });

  it('keeps what compilers print for the package they compiled', () => {
    const events = convert(
      '# p/broken [p/broken.test]\nbroken/b_test.go:5:28: undefined: x\nFAIL\tp/broken [build failed]\n',
    );
    expect(events.map((event) => [event.action, event.importPath])).toEqual([
      ['build-output', 'p/broken [p/broken.test]'],
      ['build-output', 'p/broken [p/broken.test]'],
      ['output', undefined],
      ['fail', undefined],
    ]);
  });
});
