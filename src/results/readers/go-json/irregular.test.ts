import { describe, expect, it } from 'vitest';

import { addReadEvent, checkConservation, createCellState, summarizeCell } from '../../accumulate.js';
import type { ReadEvent } from '../../events.js';
import { createGoJsonReader } from './reader.js';

/**
 * The irregular streams that real suites produce, one test each; the table they come from is
 * `notes/gopogh-and-minikube-ci.md`, section 5.
 */
type Fields = Readonly<Record<string, string | number>>;

const P = 'p';
const event = (Action: string, Test?: string, more: Fields = {}): string =>
  JSON.stringify({ Action, Package: P, ...(Test === undefined ? {} : { Test }), ...more });
const out = (Test: string | undefined, Output: string): string => event('output', Test, { Output });

function read(...lines: readonly string[]) {
  return readText(lines.map((line) => `${line}\n`).join(''));
}

function readText(text: string, timedOut = false) {
  const state = createCellState();
  const events: ReadEvent[] = [];
  const reader = createGoJsonReader(
    (found) => {
      addReadEvent(state, found);
      events.push(found);
    },
    { timedOut },
  );
  reader.write(text);
  reader.end();
  const summary = summarizeCell(state);
  return {
    ...summary,
    status: (name: string) => summary.tests.find((test) => test.id.name === name)?.status,
    test: (name: string) => summary.tests.find((test) => test.id.name === name),
    log: (name: string) =>
      events.flatMap((found) => (found.type === 'output' && found.test?.name === name ? [found.text] : [])),
    loose: events.flatMap((found) => (found.type === 'output' && found.test === undefined ? [found.text] : [])),
    repaired: summary.repairs.map((repair) => repair.kind),
    holds: checkConservation(state, summary.tests).holds,
  };
}

describe('irregular go test -json streams', () => {
  it('gives a result glued to the output of another test to the test it names, with its duration', () => {
    const result = read(
      event('run', 'TestDownload'),
      event('run', 'TestOther'),
      out('TestOther', `> driver: ${'.'.repeat(600)} 100%--- PASS: TestDownload (2.75s)\n`),
      event('pass', 'TestOther', { Elapsed: 1 }),
      event('pass'),
    );
    expect(result.test('TestDownload')?.attempts[0]).toMatchObject({ status: 'passed', durationMs: 2750 });
    expect(result.repaired).toEqual(['glued-marker']);
    expect(result.log('TestOther')).toEqual([`> driver: ${'.'.repeat(600)} 100%`]);
  });

  it('finds a real failure glued to other text', () => {
    const result = read(event('run', 'TestA'), out('TestA', 'progress--- FAIL: TestA (0.10s)\n'), event('fail'));
    expect(result.status('TestA')).toBe('failed');
  });

  it('believes the event and not a marker that a test prints about itself or others', () => {
    const result = read(
      event('run', 'TestA'),
      event('pass', 'TestA'),
      event('run', 'TestB'),
      out('TestB', '--- FAIL: TestA (0.00s)\n'),
      out('TestB', '--- FAIL: TestB (0.00s)\n'),
      out('TestB', '--- FAIL: TestUnknown (0.00s)\n'),
      event('pass', 'TestB'),
      event('pass'),
    );
    expect(result.counts).toMatchObject({ passed: 2, failed: 0 });
    expect(result.tests).toHaveLength(2);
    expect(result.log('TestB')).toContain('--- FAIL: TestUnknown (0.00s)');
  });

  it('shows tests without an end when the process died, with the panic and its goroutine', () => {
    const result = read(
      event('run', 'TestA'),
      event('run', 'TestB'),
      out('TestB', 'panic: boom [recovered]\n'),
      out('TestB', '\n'),
      out('TestB', 'goroutine 7 [running]:\n'),
      out('TestB', 'p.TestB(0xc000)\n'),
      out('TestB', '\t/src/p/b_test.go:12 +0x54\n'),
      out(undefined, 'FAIL\tp\t0.01s\n'),
      event('fail'),
    );
    expect(result.counts).toMatchObject({ notrun: 2 });
    expect(result.test('TestB')?.attempts[0]?.failure).toMatchObject({
      kind: 'panic',
      message: 'panic: boom',
      file: '/src/p/b_test.go',
      line: 12,
    });
    expect(result.test('TestA')?.attempts[0]?.failure?.message).toBe('did not finish: panic: boom');
    expect(result.packages[0]?.failure?.text).toContain('goroutine 7 [running]:');
  });

  it('takes the tests that a time-out lists, and their parents, for timed out, and others for unfinished', () => {
    const result = read(
      event('run', 'TestTree'),
      event('run', 'TestTree/slow'),
      event('run', 'TestWaiting'),
      event('pause', 'TestWaiting'),
      out('TestTree/slow', 'panic: test timed out after 1m0s\n'),
      out('TestTree/slow', '\trunning tests:\n'),
      out('TestTree/slow', '\t\tTestTree/slow (59s)\n'),
      out('TestTree/slow', '\n'),
      out('TestTree/slow', 'goroutine 1 [running]:\n'),
      event('fail'),
    );
    expect(['TestTree', 'TestTree/slow', 'TestWaiting'].map(result.status)).toEqual(['timedout', 'timedout', 'notrun']);
  });

  it('takes unfinished tests for timed out when the caller knows that the suite was', () => {
    expect(readText(`${event('run', 'TestA')}\n`, true).status('TestA')).toBe('timedout');
  });

  it('fails a package whose tests all passed, and says why', () => {
    const result = read(
      event('run', 'TestA'),
      event('pass', 'TestA'),
      out(undefined, 'PASS\n'),
      out(undefined, 'teardown failed: no such cluster\n'),
      out(undefined, 'FAIL\tp\t0.01s\n'),
      event('fail'),
    );
    expect(result.packages).toMatchObject([
      { status: 'failed', failure: { message: 'teardown failed: no such cluster' } },
    ]);
  });

  it('keeps a build that failed although the stream stops before a package says so', () => {
    const result = read(
      JSON.stringify({ ImportPath: 'p [p.test]', Action: 'build-output', Output: '# p [p.test]\n' }),
      JSON.stringify({ ImportPath: 'p [p.test]', Action: 'build-output', Output: './a.go:3:1: undefined: x\n' }),
      JSON.stringify({ ImportPath: 'p [p.test]', Action: 'build-fail' }),
    );
    expect(result.packages).toMatchObject([
      { package: 'p', status: 'failed', failure: { kind: 'build', message: './a.go:3:1: undefined: x', line: 3 } },
    ]);
  });

  it('reads builds that failed in plain text, as before Go 1.24', () => {
    const result = read('FAIL\tp/broken [build failed]', event('run', 'TestA'), event('pass', 'TestA'), event('pass'));
    expect(result.packages).toMatchObject([{ package: 'p/broken', status: 'failed' }, { status: 'passed' }]);
  });

  it('keeps output without a test as output of the package', () => {
    expect(read(out(undefined, 'setting up\n'), event('pass')).loose).toEqual(['setting up']);
  });

  it('shows a parent that fails by itself', () => {
    const result = read(
      event('run', 'TestP'),
      event('run', 'TestP/c'),
      event('pass', 'TestP/c'),
      out('TestP', '    p_test.go:9: broke after its children\n'),
      event('fail', 'TestP'),
      event('fail'),
    );
    expect(result.test('TestP')?.attempts[0]?.failure?.message).toBe('broke after its children');
  });

  it('keeps tests of the same name in several packages apart', () => {
    const other = JSON.stringify({ Action: 'fail', Package: 'q', Test: 'TestA' });
    const result = read(event('run', 'TestA'), other, event('pass', 'TestA'), event('pass'));
    expect(result.counts).toMatchObject({ passed: 1, failed: 1 });
  });

  it('keeps reruns apart and calls the test flaky', () => {
    const result = read(
      event('run', 'TestA'),
      event('fail', 'TestA'),
      event('fail'),
      event('run', 'TestA'),
      event('pass', 'TestA'),
      event('pass'),
    );
    expect(result.test('TestA')).toMatchObject({ status: 'passed', flaky: true });
    expect(result.packages).toMatchObject([{ status: 'passed' }]);
  });

  it('keeps output after the end with the test and does not start it again', () => {
    const result = read(event('run', 'TestA'), event('fail', 'TestA'), out('TestA', 'late\n'), event('fail'));
    expect(result.test('TestA')?.attempts.map((attempt) => attempt.status)).toEqual(['failed']);
    expect(result.log('TestA')).toEqual(['late']);
  });

  it('follows === NAME and === CONT in the text and says so', () => {
    const result = read(
      event('run', 'TestA'),
      event('run', 'TestB'),
      out('TestB', '=== NAME  TestA\n'),
      out('TestB', '    a_test.go:4: of A\n'),
      event('cont', 'TestB'),
      out('TestB', '    b_test.go:5: of B\n'),
      event('pass', 'TestA'),
      event('pass', 'TestB'),
      event('pass'),
    );
    expect([result.log('TestA'), result.log('TestB')]).toEqual([['    a_test.go:4: of A'], ['    b_test.go:5: of B']]);
    expect(result.repaired).toEqual(['reattributed-output']);
  });

  it('gives a log line that names another test to that test, with the lines that continue it', () => {
    const result = read(
      event('run', 'TestA'),
      event('run', 'TestB'),
      out('TestB', '    TestA: a_test.go:4: two\n'),
      out('TestB', '        lines\n'),
      out('TestB', 'own\n'),
      event('fail', 'TestA'),
      event('pass', 'TestB'),
      event('fail'),
    );
    expect(result.log('TestA')).toEqual(['    TestA: a_test.go:4: two', '        lines']);
    expect(result.test('TestA')?.attempts[0]?.failure).toMatchObject({ message: 'two', file: 'a_test.go', line: 4 });
    expect(result.log('TestB')).toEqual(['own']);
  });

  it('joins chunks of a line and hides framing', () => {
    const result = read(
      event('run', 'TestA'),
      out('TestA', '=== RUN   TestA\n'),
      out('TestA', 'one '),
      out('TestA', 'line\n'),
      out('TestA', 'no end'),
      out('TestA', '--- PASS: TestA (0.00s)\n'),
      event('pass', 'TestA'),
      event('pass'),
    );
    expect(result.log('TestA')).toEqual(['one line', 'no end']);
  });

  it('gives lines of any length in pieces and loses nothing', () => {
    const long = 'x'.repeat(300_000);
    const result = read(event('run', 'TestA'), out('TestA', `${long}\n`), event('pass', 'TestA'), event('pass'));
    const pieces = result.log('TestA');
    expect(pieces.join('')).toBe(long);
    expect(Math.max(...pieces.map((piece) => piece.length))).toBeLessThanOrEqual(66_560);
  });

  it('reads an event far over the limit of a line in parts', () => {
    const long = 'é\\n'.repeat(20) + 'abc"\\'.repeat(2_000_000);
    const result = read(event('run', 'TestA'), out('TestA', long), event('pass', 'TestA'), event('pass'));
    expect(result.log('TestA').join('')).toBe(long);
    expect(result.counts.passed).toBe(1);
  });

  it('reads a test with a name of 10 MB, with its output', () => {
    const name = `Test${'<b>é'.repeat(2_500_000)}`;
    const result = read(event('run', name), out(name, 'hello\n'), event('fail', name), event('fail'));
    expect(result.counts).toMatchObject({ failed: 1, passed: 0, notrun: 0 });
    expect(result.repaired).toEqual([]);
  });

  it('keeps lines of other programs and counts them', () => {
    const result = read(
      'go: downloading x',
      '{"level":"info"}',
      event('run', 'TestA'),
      event('pass', 'TestA'),
      event('pass'),
    );
    expect(result.loose).toEqual(['go: downloading x', '{"level":"info"}']);
    expect(result.repairs).toMatchObject([{ kind: 'non-json-line', count: 2 }]);
  });

  it('finds events glued to other text on both sides and to each other', () => {
    const result = read(
      `warning: ${event('run', 'TestA')}{"other":1}${event('pass', 'TestA')} done`,
      `${event('run', 'TestB')}${event('fail', 'TestB')}`,
      event('fail'),
    );
    expect(result.counts).toMatchObject({ passed: 1, failed: 1 });
    expect(result.repaired).toContain('glued-line');
    expect(result.loose.join('')).toContain('warning: ');
  });

  it('reads on behind an event that was cut off in the middle of a line', () => {
    const result = read(
      `{"Time":"2018-10-24T13:13:35Z","Action":"output","Test":"TestA",`,
      event('run', 'TestA'),
      event('pass', 'TestA'),
      event('pass'),
    );
    expect(result.counts.passed).toBe(1);
    expect(result.repaired).toEqual(['broken-event']);
  });

  it('keeps -count=2 and -cpu=1,2 as attempts', () => {
    const once = [event('run', 'TestA'), event('pass', 'TestA')];
    expect(read(...once, ...once, event('pass')).test('TestA')?.attempts).toHaveLength(2);
  });

  it('ends a benchmark by its line of results, which no event does', () => {
    const result = read(
      event('run', 'BenchmarkA'),
      out('BenchmarkA', 'BenchmarkA-8   \t'),
      out('BenchmarkA', '  100\t  25.1 ns/op\n'),
      event('pass'),
    );
    expect(result.status('BenchmarkA')).toBe('passed');
    expect(result.repairs).toEqual([]);
  });

  it('names the package from the last line when the events do not', () => {
    const bare = (Action: string, more: Fields): string => JSON.stringify({ Action, ...more });
    const result = read(
      bare('run', { Test: 'TestA' }),
      bare('pass', { Test: 'TestA' }),
      bare('output', { Output: 'ok  \tp/q\t0.01s\n' }),
      bare('pass', {}),
    );
    expect(result.tests[0]?.id).toEqual({ package: 'p/q', name: 'TestA' });
    expect(result.packages).toMatchObject([{ package: 'p/q', status: 'passed' }]);
  });

  it('takes attributes and the folder of artifacts', () => {
    const result = read(
      event('run', 'TestA'),
      event('attr', 'TestA', { Key: 'owner', Value: 'team-a' }),
      event('artifacts', 'TestA', { Path: '/tmp/a' }),
      event('pass', 'TestA'),
      event('pass'),
    );
    expect(result.test('TestA')).toMatchObject({
      owner: 'team-a',
      attributes: { owner: 'team-a', artifacts: '/tmp/a' },
    });
  });

  it('replaces NUL in names and leaves impossible durations out', () => {
    const result = read(event('run', 'Test\0A'), event('pass', 'Test\0A', { Elapsed: -1 }), event('pass'));
    expect(result.tests[0]?.id.name).toBe('Test\uFFFDA');
    expect(result.tests[0]?.attempts[0]).not.toHaveProperty('durationMs');
  });

  it('picks the lines that testing marks as errors', () => {
    const result = read(
      event('run', 'TestA'),
      event('output', 'TestA', { Output: '    a_test.go:1: failed to be quiet\n' }),
      event('output', 'TestA', { Output: '    a_test.go:2: the reason\n', OutputType: 'error' }),
      event('fail', 'TestA'),
      event('fail'),
    );
    expect(result.test('TestA')?.attempts[0]?.failure).toMatchObject({ message: 'the reason', line: 2 });
  });

  it("reads testify's block", () => {
    const lines = [
      '    a_test.go:9: ',
      '        \tError Trace:\t/src/p/a_test.go:9',
      '        \tError:      \tNot equal: ',
      '        \t            \texpected: 1',
      '        \t            \tactual  : 2',
      '        \tTest:       \tTestA',
      '        \tMessages:   \tcount of pods',
    ];
    const result = read(
      event('run', 'TestA'),
      ...lines.map((line) => out('TestA', `${line}\n`)),
      event('fail', 'TestA'),
      event('fail'),
    );
    expect(result.test('TestA')?.attempts[0]?.failure).toMatchObject({
      message: 'Not equal: expected: 1 actual  : 2: count of pods',
      file: '/src/p/a_test.go',
      line: 9,
    });
  });

  it('brings times to UTC and keeps their digits', () => {
    const at = '2018-10-24T14:32:01.310248-04:00';
    const result = read(event('run', 'TestA', { Time: at }), event('pass', 'TestA', { Time: at }), event('pass'));
    expect(result.test('TestA')?.attempts[0]?.startedAt).toBe('2018-10-24T18:32:01.310248Z');
  });
});
