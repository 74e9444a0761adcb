import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import type { TestResult } from '../../results/model.js';
import { goRunPattern, goTool, parseGoTestArguments, parseGoTestList } from './go.js';

const test = (name: string, pkg = 'example.com/p', status: TestResult['status'] = 'failed'): TestResult => ({
  id: { package: pkg, name },
  attempts: [{ attempt: 1, status, cellAttempt: 1 }],
  status,
  flaky: false,
});
const request = { others: [], wholePackages: [], exists: () => false };

/** How Go's testing package matches a name: `src/testing/match.go`, splitRegexp and matches. */
function goMatches(pattern: string, name: string): { ok: boolean; partial: boolean } {
  const alternatives: string[][] = [[]];
  let [part, brackets, parens] = ['', 0, 0];
  const push = (): void => {
    alternatives.at(-1)?.push(part);
    part = '';
  };
  for (let at = 0; at < pattern.length; at += 1) {
    const char = pattern.charAt(at);
    if (char === '[') brackets += 1;
    else if (char === ']') brackets = Math.max(0, brackets - 1);
    else if (char === '(' && brackets === 0) parens += 1;
    else if (char === ')' && brackets === 0) parens -= 1;
    if (char === '\\') {
      part += char + pattern.charAt(at + 1);
      at += 1;
    } else if (char === '/' && brackets === 0 && parens === 0) push();
    else if (char === '|' && brackets === 0 && parens === 0) {
      push();
      alternatives.push([]);
    } else part += char;
  }
  push();
  const elements = name.split('/');
  for (const parts of alternatives) {
    if (elements.every((element, at) => parts[at] === undefined || new RegExp(parts[at], 'u').test(element))) {
      return { ok: true, partial: elements.length < parts.length };
    }
  }
  return { ok: false, partial: false };
}

describe('goRunPattern', () => {
  it('selects tests and subtests exactly', () => {
    expect(goRunPattern(['TestA'])).toBe('^TestA$');
    expect(goRunPattern(['TestA', 'TestB'])).toBe('^(TestA|TestB)$');
    expect(goRunPattern(['TestA', 'TestA/sub', 'TestB'])).toBe('^TestB$|^TestA$/^sub$');
    expect(goRunPattern(['TestA/x(1)/y.z#01'])).toBe('^TestA$/^x\\(1\\)$/^y\\.z#01$');
  });

  it('runs every named leaf and no other test, whatever the names hold', () => {
    const part = fc.stringMatching(/^[A-Za-z0-9_#()[\]{}|+*?.^$\\=,:-]{1,6}$/);
    const name = fc
      .array(part, { minLength: 1, maxLength: 3 })
      .map((parts) => ['Test', ...parts.slice(1)].join('/') + (parts[0] ?? ''));
    fc.assert(
      fc.property(
        fc.uniqueArray(name, { minLength: 1, maxLength: 5 }),
        fc.array(name, { maxLength: 5 }),
        (failed, others) => {
          const pattern = goRunPattern(failed);
          for (const wanted of failed) expect(goMatches(pattern, wanted).ok).toBe(true);
          for (const other of others) {
            const isRelated = failed.some(
              (one) => one === other || one.startsWith(`${other}/`) || other.startsWith(`${one}/`),
            );
            if (!isRelated) expect(goMatches(pattern, other)).toEqual({ ok: false, partial: false });
          }
        },
      ),
    );
  });
});

describe('go test arguments', () => {
  it('tells flags with values from packages', () => {
    expect(
      parseGoTestArguments([
        '-json',
        '-tags',
        'e2e',
        '-timeout=5m',
        './a/...',
        '-count',
        '1',
        './b',
        '-args',
        '-x',
        'y',
      ]),
    ).toEqual({
      flags: [['-json'], ['-tags', 'e2e'], ['-timeout=5m'], ['-count', '1']],
      packages: ['./a/...', './b'],
      tail: ['-args', '-x', 'y'],
    });
  });

  it('narrows a rerun to the failed tests and their packages', () => {
    const args = ['-json', '-run', 'TestE2E', '-v', './...', '-args', '-host', 'x'];
    expect(goTool.rerun(args, { ...request, failed: [test('TestA'), test('TestB')] })).toEqual([
      ['-json', '-v', '-count=1', '-run', '^(TestA|TestB)$', 'example.com/p', '-args', '-host', 'x'],
    ]);
  });

  it('calls once for packages with the same failed tests and once more for others', () => {
    const failed = [test('TestA', 'p/a'), test('TestA', 'p/b'), test('TestC', 'p/c')];
    expect(goTool.rerun(['-count', '3', './...'], { ...request, failed, wholePackages: ['p/d'] })).toEqual([
      ['-count', '3', '-run', '^TestA$', 'p/a', 'p/b'],
      ['-count', '3', '-run', '^TestC$', 'p/c'],
      ['-count', '3', 'p/d'],
    ]);
  });

  it('adds a selection in place of the one there is', () => {
    expect(goTool.select(['-run=Old', './...'], 'New')).toEqual(['-run', 'New', './...']);
  });

  it('reads the output of go test -list', () => {
    const output =
      'TestA\nTestB\nBenchmarkC\nExampleD\nok  \texample.com/p\t0.003s\n?   \texample.com/q\t[no test files]\nFuzzE\nok  \texample.com/r\t(cached)\n';
    expect(parseGoTestList(output).map(({ package: pkg, name }) => `${pkg} ${name}`)).toEqual([
      'example.com/p TestA',
      'example.com/p TestB',
      'example.com/p ExampleD',
      'example.com/r FuzzE',
    ]);
  });

  it('keeps a selection below the first level when it narrows the first', () => {
    expect(goTool.listing?.run(['-run', 'TestA/sub', './...'], ['TestA'], ['p'])).toEqual(['-run', '^TestA$/sub', 'p']);
  });
});
