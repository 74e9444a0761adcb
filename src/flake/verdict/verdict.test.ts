import { describe, expect, it } from 'vitest';

import { testStateOf } from './test-state.js';
import { verdictOf, type VerdictInput } from './verdict.js';

const clean: VerdictInput = {
  head: { failed: 1, passed: 0 },
  baseline: { k: 0, n: 30, attempts: 30 },
  otherFailingCommits: 0,
  base: 'passes',
  signature: { isWeak: false, isNew: false },
};

describe('verdictOf', () => {
  it('asks for a rerun on the first failure of a clean test, and accuses after the second', () => {
    expect(verdictOf(clean).kind).toBe('undecided');
    const again = verdictOf({ ...clean, head: { failed: 2, passed: 0 } });
    expect(again.kind).toBe('caused');
    expect(again.causedProbability).toBeGreaterThan(0.97);
    expect(again.evidence).toContain('elsewhere: 0 of 30 failed');
  });

  it('asks for one more where a fitted prior knows that all tests flake', () => {
    // Fitted to tests that fail 0.1 to 50 % of the time: two failures after a spotless month are still a flake in 3 of 100.
    const prior = { alpha: 0.42, beta: 2.87 };
    const twice = verdictOf({
      ...clean,
      baseline: { k: 0, n: 200, attempts: 300 },
      head: { failed: 2, passed: 0 },
      prior,
    });
    expect(twice.causedProbability).toBeCloseTo(0.97, 3);
    expect(twice.kind).toBe('undecided');
    expect(
      verdictOf({ ...clean, baseline: { k: 0, n: 200, attempts: 300 }, head: { failed: 3, passed: 0 }, prior }).kind,
    ).toBe('caused');
  });

  it('does not accuse while the base is unknown, and blames the base when it fails', () => {
    const twice = { ...clean, head: { failed: 2, passed: 0 } };
    expect(verdictOf({ ...twice, base: 'unknown' }).kind).toBe('undecided');
    expect(verdictOf({ ...twice, base: 'fails' }).kind).toBe('broken-on-base');
  });

  it('excuses a known flake only with two other commits, a telling message and a test that was not touched', () => {
    const flake: VerdictInput = { ...clean, baseline: { k: 2, n: 30, attempts: 30 }, otherFailingCommits: 2 };
    expect(verdictOf(flake).kind).toBe('known-flake');
    expect(verdictOf({ ...flake, otherFailingCommits: 1 }).kind).toBe('undecided');
    expect(verdictOf({ ...flake, signature: { isWeak: true, isNew: false } }).kind).toBe('undecided');
    expect(verdictOf({ ...flake, signature: { isWeak: false, isNew: true } }).kind).toBe('undecided');
    expect(verdictOf({ ...flake, change: 'test' }).kind).toBe('undecided');
  });

  it('takes one failure for proof after 300 clean attempts, and none after a pass on the same commit', () => {
    const long: VerdictInput = { ...clean, baseline: { k: 0, n: 300, attempts: 450 } };
    // In a suite of which nearly all tests are clean; by the default prior one failure is 0.92, which is not enough.
    expect(verdictOf({ ...long, prior: { alpha: 0.003, beta: 1 } }).kind).toBe('caused');
    expect(verdictOf(long)).toMatchObject({ kind: 'undecided' });
    expect(verdictOf({ ...long, baseline: { k: 0, n: 2000, attempts: 2000 } }).kind).toBe('undecided');
    expect(verdictOf({ ...clean, head: { failed: 1, passed: 1 } }).kind).toBe('undecided');
  });

  it('never blames a test for its infrastructure', () => {
    expect(verdictOf({ ...clean, infrastructure: 'setup failed' }).kind).toBe('infrastructure');
    expect(verdictOf({ ...clean, head: { failed: 0, passed: 3 } }).kind).toBe('undecided');
  });
});

describe('testStateOf', () => {
  const pass = { passed: 1, failed: 0 };
  const fail = { passed: 0, failed: 1 };
  const mixed = { passed: 1, failed: 1 };
  const quiet = { cleanRuns: 0, cleanDays: 0 };

  it('calls three failed commits in a row broken, and one failure suspected', () => {
    expect(testStateOf({ commits: [fail, fail, fail, pass], k: 3, n: 40, ...quiet })).toBe('broken');
    expect(testStateOf({ commits: [fail, pass, pass], k: 1, n: 40, ...quiet })).toBe('suspected');
    expect(testStateOf({ commits: [pass, pass], k: 0, n: 40, ...quiet })).toBe('healthy');
    expect(testStateOf({ commits: [], k: 0, n: 0, ...quiet })).toBe('healthy');
  });

  it('calls a test flaky for two mixed commits, or one and two failures between passes', () => {
    expect(testStateOf({ commits: [pass, mixed, pass, mixed], k: 2, n: 40, ...quiet })).toBe('flaky');
    expect(testStateOf({ commits: [pass, mixed, pass], k: 1, n: 40, ...quiet })).toBe('suspected');
    expect(testStateOf({ commits: [pass, fail, mixed, fail, pass], k: 3, n: 40, ...quiet })).toBe('flaky');
  });

  it('lets a flaky test go only after two clean weeks in which its rate would have shown', () => {
    const previous = { state: 'flaky', rateWhenFlagged: 0.2 } as const;
    const commits = Array.from({ length: 40 }, () => pass);
    const after = (cleanRuns: number, cleanDays: number, n: number) =>
      testStateOf({ commits, k: 0, n, cleanRuns, cleanDays, previous });
    expect(after(40, 20, 40)).toBe('healthy');
    expect(after(40, 5, 40)).toBe('flaky');
    expect(after(10, 20, 10)).toBe('flaky');
    expect(testStateOf({ commits: [pass], k: 0, n: 1, ...quiet, previous: { state: 'broken' } })).toBe('suspected');
  });
});
