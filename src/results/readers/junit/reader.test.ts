import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { addReadEvent, checkConservation, createCellState, endCellAttempt, summarizeCell } from '../../accumulate.js';
import type { ReadEvent } from '../../events.js';
import type { ReaderOptions } from '../../reader.js';
import { createJunitReader } from './index.js';
import { sniffJunit } from './sniff.js';

function eventsOf(pieces: readonly string[], options?: ReaderOptions): ReadEvent[] {
  const events: ReadEvent[] = [];
  const reader = createJunitReader((event) => events.push(event), options);
  for (const piece of pieces) reader.write(piece);
  reader.end();
  return events;
}

function read(xml: string, options?: ReaderOptions) {
  const state = createCellState();
  const events = eventsOf([xml], options);
  for (const event of events) addReadEvent(state, event);
  const open = state.open.size;
  endCellAttempt(state);
  const summary = summarizeCell(state);
  expect(open).toBe(0);
  expect(checkConservation(state, summary.tests).holds).toBe(true);
  const statuses = Object.fromEntries(summary.tests.map((test) => [`${test.id.package} ${test.id.name}`, test.status]));
  return { ...summary, events, statuses, kinds: summary.repairs.map(({ kind }) => kind) };
}

describe('JUnit reader', () => {
  it('reads results, times, places and reasons of cases', () => {
    const { tests, statuses } = read(`<?xml version="1.0"?><testsuites><testsuite name="s" tests="4">
      <testcase classname="c" name="ok" time="1,234.5" timestamp="2026-11-21T10:00:00+01:00"/>
      <testcase classname="c" name="bad" file="a/b.py" line="7"><failure type="E" message="1 != 2">trace
  a/b.py:9: in x</failure></testcase>
      <testcase classname="c" name="broken"><error message="boom"/></testcase>
      <testcase classname="c" name="left out"><skipped message="no net"/></testcase></testsuite></testsuites>`);
    expect(statuses).toEqual({ 'c ok': 'passed', 'c bad': 'failed', 'c broken': 'error', 'c left out': 'skipped' });
    expect(tests[0]!.attempts[0]).toMatchObject({ durationMs: 1_234_500, startedAt: '2026-11-21T09:00:00.000Z' });
    expect(tests[1]).toMatchObject({ file: 'a/b.py', line: 7 });
    expect(tests[1]!.attempts[0]!.failure).toMatchObject({ message: '1 != 2', file: 'a/b.py', line: 9 });
    expect(tests[3]!.attempts[0]!.skipReason).toBe('no net');
  });

  it('makes attempts of Surefire reruns: flaky ones before the pass, reruns after the failure', () => {
    const { tests } = read(`<testsuite name="s"><testcase classname="c" name="flaky" time="2">
      <flakyFailure message="first"><stackTrace>at X</stackTrace><system-out>one</system-out></flakyFailure>
      <flakyError message="second"/></testcase>
      <testcase classname="c" name="dead"><failure message="1"/><rerunFailure message="2"/><rerunError message="3"/></testcase>
      </testsuite>`);
    expect(tests[0]!.attempts.map(({ status, failure }) => [status, failure?.message])).toEqual([
      ['failed', 'first'],
      ['error', 'second'],
      ['passed', undefined],
    ]);
    expect(tests[0]).toMatchObject({ flaky: true, status: 'passed' });
    expect(tests[1]!.attempts.map(({ status, failure }) => [status, failure?.message])).toEqual([
      ['failed', '1'],
      ['failed', '2'],
      ['error', '3'],
    ]);
  });

  it('keeps output of an attempt between its start and its end', () => {
    const { events } = read(`<testsuite name="s"><testcase classname="c" name="t">
      <flakyFailure message="m"><system-out>during one</system-out></flakyFailure>
      <system-err>during two</system-err></testcase></testsuite>`);
    const short = events.map((event) => (event.type === 'output' ? `${event.stream ?? ''}:${event.text}` : event.type));
    expect(short).toEqual([
      'test-started',
      'stdout:during one',
      'test-ended',
      'test-started',
      'stderr:during two',
      'test-ended',
    ]);
  });

  it('takes a repeated test case as another attempt', () => {
    const { tests } = read(
      '<testsuite name="s"><testcase classname="c" name="t"><failure/></testcase><testcase classname="c" name="t"/></testsuite>',
    );
    expect(tests).toHaveLength(1);
    expect(tests[0]).toMatchObject({ status: 'passed', flaky: true });
  });

  it('names tests without a class by the suites around them', () => {
    const { statuses } = read(`<testsuites><testsuite name="all"><testsuite name="A"><testcase classname="" name="t"/>
      </testsuite><testsuite name="B"><testcase name="t"><failure/></testcase></testsuite></testsuite></testsuites>`);
    expect(statuses).toEqual({ 'all/A t': 'passed', 'all/B t': 'failed' });
  });

  it('gives a failure of a whole suite to the package', () => {
    const { packages, tests } = read(
      '<testsuite name="pkg"><error message="setup died">at y.java:3</error><testcase classname="pkg" name="t"/></testsuite>',
    );
    expect(tests[0]!.status).toBe('passed');
    expect(packages).toMatchObject([{ package: 'pkg', status: 'error', failure: { message: 'setup died' } }]);
  });

  it('reads what googletest did not run as skipped', () => {
    const { statuses } = read(
      '<testsuite name="s"><testcase classname="c" name="a" status="notrun"/><testcase classname="c" name="b" status="run" result="suppressed"/><testcase classname="c" name="d" status="run"/></testsuite>',
    );
    expect(statuses).toEqual({ 'c a': 'skipped', 'c b': 'skipped', 'c d': 'passed' });
  });

  it('joins several failures of one case', () => {
    const { tests } = read(
      '<testsuite name="s"><testcase name="t"><failure message="one"/><failure message="two"/></testcase></testsuite>',
    );
    expect(tests[0]!.attempts).toHaveLength(1);
    expect(tests[0]!.attempts[0]!.failure).toMatchObject({ message: 'one (and 1 more)', text: 'one\n\ntwo' });
  });

  it('trusts the cases when the attributes say something else, and says so', () => {
    const { counts, repairs } = read(
      '<testsuite name="s" tests="3" failures="0"><testcase name="a"><failure/></testcase><testcase name="b"/></testsuite>',
    );
    expect(counts).toMatchObject({ failed: 1, passed: 1 });
    expect(repairs).toMatchObject([
      { kind: 'attributes-disagree', message: expect.stringContaining('tests="3"') as string },
    ]);
  });

  it('accepts every way in which tools count: without skipped ones, with reruns, with nested suites', () => {
    expect(
      read('<testsuite name="s" tests="1"><testcase name="a"/><testcase name="b"><skipped/></testcase></testsuite>')
        .kinds,
    ).toEqual([]);
    expect(
      read('<testsuite name="s" tests="2" failures="1"><testcase name="a"><flakyFailure/></testcase></testsuite>')
        .kinds,
    ).toEqual([]);
    expect(
      read('<testsuite name="s" tests="1"><testsuite name="i"><testcase name="a"/></testsuite></testsuite>').kinds,
    ).toEqual([]);
  });

  it('keeps everything before a break, and the case in which it broke', () => {
    const { statuses, kinds } = read(
      '<testsuite name="s"><testcase classname="c" name="a"/><testcase classname="c" name="b"><failure message="x"/><system-out><![CDATA[tex',
    );
    expect(statuses).toEqual({ 'c a': 'passed', 'c b': 'failed' });
    expect(kinds).toEqual(['truncated']);
    expect(read('<testsuite name="s"><testcase classname="c" name="b"><system-out>x').statuses).toEqual({
      'c b': 'notrun',
    });
    expect(read('<testsuite name="s"><testcase classname="c" name="b">', { timedOut: true }).statuses).toEqual({
      'c b': 'timedout',
    });
  });

  it('works around what tools forget to escape', () => {
    const { statuses, kinds, tests } = read(
      '<testsuite name="s"><testcase classname="c" name="a & b"><failure>expected <nil> but R&D &#27;[31m</failure></testcase><testcase classname="c" name="next"/></testsuite>',
    );
    expect(statuses).toEqual({ 'c a & b': 'failed', 'c next': 'passed' });
    expect(kinds).toEqual(['malformed-xml']);
    expect(tests[0]!.attempts[0]!.failure!.message).toContain('expected');
  });

  it('expands no entity of a document and fetches nothing', () => {
    const bomb = `<!DOCTYPE lolz [<!ENTITY lol "lol"><!ENTITY lol2 "&lol;&lol;&lol;"><!ENTITY xxe SYSTEM "file:///etc/passwd">]>
      <testsuite name="s"><testcase classname="c" name="t"><failure message="&lol2;">&xxe;</failure></testcase></testsuite>`;
    const { tests, kinds } = read(bomb);
    expect(kinds).toEqual(['dtd-ignored', 'malformed-xml']);
    expect(JSON.stringify(tests)).not.toContain('lollol');
    expect(JSON.stringify(tests)).not.toContain('root:');
  });

  it('survives attribute names that break objects, deep nesting and huge names', () => {
    expect(
      read('<testsuite name="s"><testcase name="a"/><testcase hasOwnProperty="x" name="b"/></testsuite>').statuses,
    ).toMatchObject({ 's a': 'passed' });
    expect(read('<testsuite name="s"><testcase __proto__="x" constructor="y" name="b"/></testsuite>').statuses).toEqual(
      { 's b': 'passed' },
    );
    const deep = read(
      `<testsuite name="s"><testcase name="a"/>${'<x>'.repeat(5000)}</x><testcase name="b"/></testsuite>`,
    );
    expect(deep.statuses).toEqual({ 's a': 'passed' });
    expect(deep.kinds).toEqual(['truncated']);
    const long = 'n'.repeat(1_000_000);
    const { tests } = read(`<testsuite name="s"><testcase name="${long}1"/><testcase name="${long}2"/></testsuite>`);
    expect(tests).toHaveLength(2);
    expect(tests[0]!.id.name.length).toBeLessThan(10_000);
  });

  it('refuses what is no JUnit at all', () => {
    expect(() => eventsOf(['hello'])).toThrow(expect.objectContaining({ code: 'RES_MALFORMED' }) as Error);
    expect(() => eventsOf(['<html></html>'])).toThrow(expect.objectContaining({ code: 'RES_MALFORMED' }) as Error);
  });

  const piece = fc.constantFrom(
    '<testsuite name="s" tests="2">',
    '</testsuite>',
    '<testcase classname="c" name="t"',
    ' time="1"',
    '>',
    '/>',
    '</testcase>',
    '<failure message="m">',
    '</failure>',
    '<rerunFailure>',
    '</rerunFailure>',
    '<flakyError/>',
    '<system-out>',
    '</system-out>',
    '<![CDATA[',
    ']]>',
    '&amp;',
    '&x;',
    '<!--',
    '-->',
    '<!DOCTYPE x [',
    ']>',
    '\n',
    'text',
    '"',
    "'",
    '\u0000',
    '\ud800',
    '😀',
    '<skipped/>',
  );

  it('gives a result or a named error for any text, and never loses a started test', () => {
    fc.assert(
      fc.property(fc.array(fc.oneof(piece, fc.string()), { maxLength: 60 }), (parts) => {
        try {
          read(parts.join(''));
        } catch (error) {
          expect(error).toMatchObject({ code: 'RES_MALFORMED' });
        }
      }),
      { numRuns: 500 },
    );
  });

  it('reads the same however the input is split', () => {
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 40 }), fc.array(fc.nat(400), { maxLength: 8 }), (parts, cuts) => {
        const text = `<testsuites>${parts.join('')}`;
        const points = [...new Set([0, ...cuts.map((cut) => Math.min(cut, text.length)), text.length])].sort(
          (a, b) => a - b,
        );
        const pieces = points.slice(1).map((point, index) => text.slice(points[index], point));
        expect(eventsOf(pieces)).toEqual(eventsOf([text]));
      }),
      { numRuns: 300 },
    );
  });

  it('is recognised by its root element', () => {
    expect(sniffJunit('\n<?xml version="1.0"?>\n<!-- x --><!DOCTYPE a [<!ENTITY b "c">]><testsuites>')).toBeGreaterThan(
      0.9,
    );
    expect(sniffJunit('<testsuite name="x">')).toBeGreaterThan(0.9);
    expect(sniffJunit('<TestRun>')).toBe(0);
    expect(sniffJunit('{"testsuite":1}')).toBe(0);
  });
});
