import { describe, expect, it } from 'vitest';

import { openFlakeStore, verdictOf, type RunRecord } from '../../flake/index.js';
import type { RunResult } from '../../results/index.js';
import { seriesKey } from '../failures.js';
import { readEvidence } from './verdicts.js';

const DAY_MS = 86_400_000;
const NOW_MS = Date.UTC(2026, 2, 1, 12);
const SIGNAL = new AbortController().signal;

/** 510 tests twice a day for 16 days, those that `fails` names failed in that run. */
function* month(
  repository: string,
  environment: string,
  fails: (test: number, run: number) => boolean,
): Generator<RunRecord> {
  for (let run = 2; run <= 33; run += 1) {
    const day = run >> 1;
    yield {
      uid: `${repository} ${environment} ${run}`,
      repository,
      environment,
      suite: 'e2e',
      commit: { sha: `c${day}` },
      startedAtMs: NOW_MS - day * DAY_MS,
      complete: true,
      origin: 'test',
      results: Array.from({ length: 510 }, (_, test) => ({
        package: 'p',
        name: `Test${test}`,
        attempt: 1,
        status: fails(test, run) ? ('failed' as const) : ('passed' as const),
        ...(fails(test, run) ? { failure: { message: 'the pod was not ready' } } : {}),
      })),
    };
  }
}

/** A pull request on which `Test7` failed once, in each environment. */
function failedRun(environments: readonly string[]): RunResult {
  return {
    runId: 'r1',
    toolVersion: '0',
    startedAt: new Date(NOW_MS).toISOString(),
    source: { repository: 'o/r', commit: 'head' },
    environments: environments.map((name) => ({ name })),
    cells: environments.map((environment) => ({
      id: `${environment}.e2e`,
      environment,
      suite: 'e2e',
      attempts: [],
      tests: [
        {
          id: { package: 'p', name: 'Test7' },
          attempts: [{ attempt: 1, status: 'failed', cellAttempt: 1, failure: { message: 'never seen: broken pipe' } }],
          status: 'failed',
          flaky: false,
        },
      ],
      packages: [],
      repairs: [],
      status: 'failed',
    })),
    phases: [],
    errors: [],
    repairs: [],
    complete: true,
  };
}

describe('readEvidence', () => {
  it('believes of a spotless test what the tests of its repository and environment show, not of another', async () => {
    await using store = await openFlakeStore(':memory:');
    // Every other test of `shaky` fails in two runs of the month; `steady` has two failures in all.
    const shaky = (test: number, run: number): boolean => test % 2 === 0 && (run * 7 + test) % 16 === 0;
    const steady = (test: number, run: number): boolean => test < 2 && run === 3;
    await store.write(month('o/r', 'shaky', shaky));
    await store.write(month('o/r', 'steady', steady));
    await store.write(month('o/other', 'steady', shaky));
    await store.write([...month('o/r', 'young', steady)].map((run) => ({ ...run, results: run.results.slice(0, 20) })));
    const environments = ['shaky', 'steady', 'young'];
    const evidence = await readEvidence(failedRun(environments), store, {
      repository: 'o/r',
      pullRequest: 9,
      sha: 'head',
      nowMs: NOW_MS,
      signal: SIGNAL,
    });
    const caused = environments.map(
      (name) => evidence.get(seriesKey({ package: 'p', name: 'Test7' }, name))?.verdict.causedProbability ?? NaN,
    );
    // Attempts without a failure have the dispersion 1.5: nothing is known of it.
    const n = 32 / 1.5;
    const byDefault = verdictOf({
      head: { failed: 1, passed: 0 },
      baseline: { k: 0, n, attempts: 32 },
      otherFailingCommits: 0,
      base: 'passes',
      signature: { isWeak: false, isNew: true },
    }).causedProbability;
    expect(caused[2]).toBeCloseTo(byDefault, 12);
    expect(caused[0]).toBeLessThan(byDefault / 2);
    expect(caused[1]).toBeGreaterThan(byDefault * 1.5);
  });

  it('asks nothing of the database when nothing failed', async () => {
    const refuse = (): never => {
      throw new Error('asked');
    };
    const run = { ...failedRun([]), cells: [] };
    const options = { repository: 'o/r', sha: 'head', nowMs: NOW_MS, signal: SIGNAL };
    expect(await readEvidence(run, { history: refuse, counts: refuse }, options)).toEqual(new Map());
  });
});
