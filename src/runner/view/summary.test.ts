import { describe, expect, it } from 'vitest';

import type { CellResult, Failure, PackageResult, RunResult, Status } from '../../results/model.js';
import { runSummary } from './summary.js';

interface Facts {
  readonly packages?: readonly PackageResult[];
  readonly tests?: readonly { readonly name: string; readonly status: Status; readonly failure?: Failure }[];
}

function summary({ packages = [], tests = [] }: Facts): string {
  const cell: CellResult = {
    id: 'e.s',
    environment: 'e',
    suite: 's',
    status: 'failed',
    attempts: [],
    repairs: [],
    packages,
    tests: tests.map(({ name, status, failure }) => ({
      id: { package: 'p', name },
      status,
      flaky: false,
      attempts: [{ attempt: 1, cellAttempt: 1, status, ...(failure === undefined ? {} : { failure }) }],
    })),
  };
  const run: RunResult = {
    runId: 'r',
    toolVersion: '0',
    startedAt: '2026-11-21T10:00:00Z',
    source: {},
    environments: [],
    cells: [cell],
    phases: [],
    errors: [],
    repairs: [],
    complete: true,
  };
  return runSummary(run);
}

describe('runSummary', () => {
  it('names a failed test with its reason, and no reason that only repeats its name', () => {
    const tests = [
      { name: 'a', status: 'failed', failure: { message: 'got 1' } },
      { name: 'b', status: 'failed', failure: { message: 'b' } },
    ] as const;
    expect(summary({ tests })).toContain('Failed:\n  e.s: a failed: got 1\n  e.s: b failed\n');
  });

  it('names a package that failed by itself, and not one whose tests say why', () => {
    const failure = { message: 'planned 2 tests and has 1' };
    expect(
      summary({ tests: [{ name: 'a', status: 'passed' }], packages: [{ package: '', status: 'failed', failure }] }),
    ).toContain('Failed:\n  e.s: planned 2 tests and has 1\n');
    expect(summary({ packages: [{ package: 'x/y', status: 'error', failure }] })).toContain(
      '  e.s: x/y error: planned 2 tests and has 1\n',
    );
    expect(
      summary({ tests: [{ name: 'a', status: 'failed' }], packages: [{ package: 'p', status: 'failed', failure }] }),
    ).not.toContain('planned');
  });
});
