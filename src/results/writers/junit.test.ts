import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { addReadEvent, createCellState, summarizeCell } from '../accumulate.js';
import { cleanName } from '../readers/document/names.js';
import { createJunitReader } from '../readers/junit/index.js';
import type { RunResult, TestAttempt, TestResult } from '../model.js';
import { arbitraryRun } from './arbitrary-run.js';
import { renderJunit } from './junit.js';
import { xmlText } from './xml-text.js';

const failure = { message: 'boom', text: 'boom\n  at a.go:7', kind: 'assertion' } as const;

function attempts(...statuses: readonly TestAttempt['status'][]): TestAttempt[] {
  return statuses.map((status, index) => ({
    attempt: index + 1,
    status,
    durationMs: 1500 + index,
    cellAttempt: 1,
    ...(status === 'passed' || status === 'skipped' ? {} : { failure }),
  }));
}

function runOf(tests: readonly TestResult[], rest: Partial<RunResult> = {}): RunResult {
  return {
    runId: 'r1',
    toolVersion: '1.2.3',
    startedAt: '2026-11-21T10:00:00.000Z',
    endedAt: '2026-11-21T10:01:00.000Z',
    source: { commit: 'abc' },
    environments: [{ name: 'local', driver: 'local' }],
    cells: [
      {
        id: 'local.e2e',
        environment: 'local',
        suite: 'e2e',
        attempts: [],
        tests,
        packages: [],
        repairs: [],
        status: 'failed',
      },
    ],
    phases: [],
    errors: [],
    repairs: [],
    complete: true,
    ...rest,
  };
}

function test(name: string, list: readonly TestAttempt[], rest: Partial<TestResult> = {}): TestResult {
  return { id: { package: 'p', name }, attempts: list, status: list.at(-1)!.status, flaky: false, ...rest };
}

function readBack(xml: string) {
  const state = createCellState();
  const reader = createJunitReader((event) => {
    addReadEvent(state, event);
  });
  reader.write(xml);
  reader.end();
  return summarizeCell(state);
}

describe('JUnit writer', () => {
  it('writes flaky attempts before a pass as Surefire does', () => {
    const xml = [...renderJunit(runOf([test('t', attempts('failed', 'error', 'passed'))]))].join('');
    expect(xml).toContain(
      '<flakyFailure message="boom" type="assertion" time="1.5"><stackTrace>boom\n  at a.go:7</stackTrace></flakyFailure>',
    );
    expect(xml).toContain('<flakyError ');
    expect(xml).toContain('<testsuite name="local.e2e" tests="1" failures="0" errors="0" skipped="0">');
    expect(xml).toContain('<testcase classname="p" name="t" time="1.502">');
  });

  it('writes reruns that fail again below the failure', () => {
    const xml = [...renderJunit(runOf([test('t', attempts('failed', 'failed', 'error'))]))].join('');
    expect(xml).toMatch(/<failure [^>]*>[^<]*<\/failure>\n\s*<rerunFailure [\s\S]*<rerunError /);
    expect(xml.match(/<testcase/g)).toHaveLength(1);
    expect(xml).toContain('failures="1" errors="0"');
  });

  it('repeats the case when attempts come in another order', () => {
    const xml = [...renderJunit(runOf([test('t', attempts('passed', 'failed'))]))].join('');
    expect(xml.match(/<testcase/g)).toHaveLength(2);
  });

  it('shows unfinished tests as errors, package failures as cases, infrastructure in a suite of its own', () => {
    const run = runOf([test('t', attempts('notrun'))], {
      errors: [{ code: 'DRV_FAILED', message: 'no machine', infrastructure: true, environment: 'local' }],
    });
    const cell = {
      ...run.cells[0]!,
      packages: [{ package: 'p', status: 'failed' as const, failure: { message: 'exit 2' } }],
    };
    const xml = [...renderJunit({ ...run, cells: [cell] })].join('');
    expect(xml).toContain('<error message="boom" type="mk-ci.notrun">');
    expect(xml).toContain('<testcase classname="p" name="[package]">');
    expect(xml).toContain('<testsuite name="mk-ci.infra" tests="1" failures="0" errors="1" skipped="0">');
    expect(xml).toContain('tests="3" failures="1" errors="2"');
    expect(xml).toContain('<property name="driver" value="local"/>');
  });

  it('makes valid XML of any text', () => {
    expect(xmlText('a\u0000\u001b[31mb\u001b[0m]]>\ud800<&')).toBe('a\ufffdb]]&gt;\ufffd&lt;&amp;');
  });

  it('comes in pieces of a few tests, not as one string', () => {
    const many = Array.from({ length: 100 }, (_, index) => test(`t${index}`, attempts('passed')));
    expect([...renderJunit(runOf(many))].length).toBeGreaterThan(100);
  });

  it('is read back by the JUnit reader with equal tests and attempts, whatever the texts are', () => {
    fc.assert(
      fc.property(arbitraryRun(), (run) => {
        const xml = [...renderJunit(run)].join('');
        const { tests, repairs } = readBack(xml);
        expect(repairs).toEqual([]);
        const own = tests.filter(({ id }) => id.package !== 'mk-ci.infra');
        expect(own.map(shape)).toEqual(run.cells.flatMap((cell) => cell.tests).map(shape));
        expect(tests.length - own.length).toBe(run.errors.length);
      }),
      { numRuns: 300 },
    );
  });
});

/** What a round trip keeps: identity as XML can hold it, statuses, order and times of attempts. */
function shape({ id, status, flaky, attempts: list }: TestResult): object {
  return {
    package: cleanName(plain(id.package)),
    name: cleanName(plain(id.name)),
    status,
    flaky,
    attempts: list.map((attempt) => [attempt.attempt, attempt.status, attempt.durationMs]),
  };
}

function plain(text: string): string {
  return xmlText(text).replace(/&lt;/g, '<').replace(/&gt;/g, '>').replace(/&#13;/g, '\r').replace(/&amp;/g, '&');
}
