import { describe, expect, it } from 'vitest';

import { parseConfig } from '../config/index.js';
import { matrixJobs } from './matrix.js';
import { planRun } from './plan.js';

const config = parseConfig(
  JSON.stringify({
    version: 1,
    environments: [{ driver: 'local' }],
    suites: ['a', 'b', 'c', 'd'].map((name) => ({ name, command: 'true', timeoutMinutes: 10, retries: 1 })),
  }),
  '/p/mk-ci.yaml',
);
const minutes: Readonly<Record<string, number>> = { a: 30, b: 10, c: 10, d: 10 };

describe('the matrix', () => {
  it('balances machines by recorded durations', () => {
    const { cells } = planRun(config, {}, (_, suite) => (minutes[suite] ?? 0) * 60_000);
    const jobs = matrixJobs(cells, 2);
    expect(jobs.map(({ expectedMinutes }) => expectedMinutes)).toEqual([30, 30]);
    expect(jobs[0]).toMatchObject({ name: '1', drivers: 'local', timeoutMinutes: 35 });
    expect(jobs.flatMap(({ cells: ids }) => ids.split(',')).sort()).toEqual(cells.map(({ id }) => id).sort());
  });

  it('spreads what never ran by count, with no more machines than cells', () => {
    const { cells } = planRun(config);
    expect(matrixJobs(cells, 2).map(({ cells: ids }) => ids.split(',').length)).toEqual([2, 2]);
    expect(matrixJobs(cells, 100)).toHaveLength(4);
  });

  it('names cells that a run takes, and no others', () => {
    const [job] = matrixJobs(planRun(config).cells, 4);
    expect(planRun(config, { cells: job!.cells.split(',') }).cells).toHaveLength(1);
    expect(() => planRun(config, { cells: ['local.x'] })).toThrow(/no cell local.x/);
  });
});
