import { describe, expect, it } from 'vitest';

import { isFlaky, statusOfAttempts } from '../counts.js';
import type { RunResult, Status, TestResult } from '../model.js';
import { gopoghSummary, renderGopoghSummary } from './gopogh.js';
import { prowFinished, prowStarted } from './prow.js';

function test(name: string, statuses: readonly Status[], pkg = 'p'): TestResult {
  const attempts = statuses.map((status, index) => ({ attempt: index + 1, status, cellAttempt: 1, durationMs: 1234 }));
  return { id: { package: pkg, name }, attempts, status: statusOfAttempts(attempts), flaky: isFlaky(attempts) };
}

function runOf(tests: readonly TestResult[], rest: Partial<RunResult> = {}): RunResult {
  return {
    runId: 'r1',
    toolVersion: '1.2.3',
    startedAt: '2026-11-21T10:00:00.000Z',
    endedAt: '2026-11-21T10:01:05.256Z',
    source: { commit: 'abc', pullRequest: 12, repository: 'kubernetes/minikube', branch: 'master' },
    environments: [],
    cells: [
      {
        id: 'kvm.e2e',
        environment: 'kvm',
        suite: 'e2e',
        attempts: [],
        tests,
        packages: [],
        repairs: [],
        status: 'passed',
      },
    ],
    phases: [],
    errors: [],
    repairs: [],
    complete: true,
    exitCode: 0,
    ...rest,
  };
}

describe('gopogh summary', () => {
  it('counts leaves only, in gopogh fields and order', () => {
    const summary = gopoghSummary(
      runOf([
        test('TestA', ['failed']),
        test('TestA/x', ['failed']),
        test('TestA/y', ['failed', 'passed']),
        test('TestB', ['skipped']),
        test('TestAlone', ['passed']),
      ]),
    );
    expect(summary).toMatchObject({
      NumberOfTests: 4,
      NumberOfFail: 1,
      NumberOfPass: 2,
      NumberOfSkip: 1,
      FailedTests: ['TestA/x'],
      PassedTests: ['TestA/y', 'TestAlone'],
      SkippedTests: ['TestB'],
      Durations: { 'TestA/x': 1.23, 'TestA/y': 1.23, TestAlone: 1.23 },
      TotalDuration: 65.26,
      Detail: { Name: 'kvm', Details: 'abc:2026-11-21:r1', PR: '12', RepoName: 'github.com/kubernetes/minikube/' },
      MkCi: { FlakyTests: ['TestA/y'], FailedParents: [] },
    });
    expect(Object.keys(summary).slice(0, 12)).toEqual([
      'NumberOfTests',
      'NumberOfFail',
      'NumberOfPass',
      'NumberOfSkip',
      'FailedTests',
      'PassedTests',
      'SkippedTests',
      'Durations',
      'TotalDuration',
      'GopoghVersion',
      'GopoghBuild',
      'Detail',
    ]);
  });

  it('writes null for empty lists and loses neither unfinished tests nor parents that fail by themselves', () => {
    const summary = gopoghSummary(
      runOf([test('TestP', ['failed']), test('TestP/c', ['passed']), test('TestQ', ['notrun'])]),
    );
    expect(summary).toMatchObject({
      FailedTests: ['TestQ'],
      SkippedTests: null,
      MkCi: { UnfinishedTests: ['TestQ'], FailedParents: ['TestP'] },
    });
    expect(summary.NumberOfFail + summary.NumberOfPass + summary.NumberOfSkip).toBe(summary.NumberOfTests);
  });

  it('tells tests of one name in two packages apart', () => {
    const summary = gopoghSummary(runOf([test('TestX', ['passed'], 'a'), test('TestX', ['failed'], 'b')]));
    expect(summary.PassedTests).toEqual(['TestX (a, kvm.e2e)']);
    expect(summary.FailedTests).toEqual(['TestX (b, kvm.e2e)']);
    expect(gopoghSummary(runOf([test('TestX', ['passed'])]), { environment: 'other' }).NumberOfTests).toBe(0);
  });

  it('is plain JSON with four spaces, as gopogh writes it', () => {
    expect(renderGopoghSummary(runOf([]))).toMatch(/^\{\n {4}"NumberOfTests": 0,/);
  });
});

describe('Prow files', () => {
  it('say when, what and with which result', () => {
    const run = runOf([test('TestX', ['passed'])], { cells: runOf([test('TestX', ['passed'])]).cells });
    expect(prowStarted(run)).toEqual({
      timestamp: 1795255200,
      pull: '12',
      repos: { 'kubernetes/minikube': 'abc' },
      'repo-commit': 'abc',
    });
    expect(prowFinished(run)).toMatchObject({
      timestamp: 1795255265,
      passed: true,
      result: 'SUCCESS',
      metadata: { 'run-id': 'r1' },
    });
  });

  it('leave the result open for a run without an end, and tell an interrupted one from a failed one', () => {
    const { exitCode: _, ...open } = runOf([], { complete: false });
    expect(prowFinished(open)).toMatchObject({ passed: null, result: 'PENDING' });
    expect(prowFinished(open)).not.toHaveProperty('timestamp');
    expect(prowFinished(runOf([], { exitCode: 130 }))).toMatchObject({ passed: false, result: 'ABORTED' });
    expect(prowFinished(runOf([], { exitCode: 1 }))).toMatchObject({ passed: false, result: 'FAILURE' });
  });
});
