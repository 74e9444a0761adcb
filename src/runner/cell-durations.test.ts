import { describe, expect, it } from 'vitest';

import { cellDurations, type RecordedSuite } from './cell-durations.js';
import { planRun, type PlanInput } from './plan.js';
import { parseConfig } from '../config/index.js';

const row = (suite: string, durationMs: number, runs = 1, environment = 'local'): RecordedSuite => ({
  environment,
  suite,
  durationMs,
  runs,
});

describe('cellDurations', () => {
  it('knows nothing of what never ran there', () => {
    const durations = cellDurations([row('e2e', 5000)]);
    expect([durations('local', 'e2e'), durations('local', 'unit'), durations('docker', 'e2e')]).toEqual([
      5000,
      undefined,
      undefined,
    ]);
  });

  it('adds shards up, and takes those that were not recorded for average', () => {
    expect(cellDurations([row('e2e 1/2', 3000), row('e2e 2/2', 5000)])('local', 'e2e')).toBe(8000);
    expect(cellDurations([row('e2e 1/4', 3000), row('e2e 3/4', 5000)])('local', 'e2e')).toBe(16_000);
  });

  it('believes the way in which it ran most often', () => {
    const rows = [row('e2e', 9000, 3), row('e2e 1/2', 1000, 2), row('e2e 2/2', 1000, 2)];
    expect(cellDurations(rows)('local', 'e2e')).toBe(9000);
    expect(cellDurations([...rows, row('e2e', 9000, 0)])('local', 'e2e')).toBe(9000);
  });

  it('takes a suite whose name only looks like a shard for what its name says', () => {
    expect(cellDurations([row('half 1 of 2', 700)])('local', 'half 1 of 2')).toBe(700);
  });

  it('puts the longest cell of a plan first', () => {
    const input: PlanInput = parseConfig(
      'version: 1\nsuites:\n  - { name: a, command: x }\n  - { name: b, command: x }\n  - { name: c, command: x, shards: 2 }\n',
      '/mk-ci.yaml',
    );
    const environment = input.environments[0]?.name ?? '';
    const recorded = [row('a', 1000), row('b', 4000), row('c', 6000)].map((one) => ({ ...one, environment }));
    const { cells } = planRun(input, {}, cellDurations(recorded));
    expect(cells.map(({ suite, shard }) => `${suite}${shard?.index ?? ''}`)).toEqual(['b', 'c1', 'c2', 'a']);
  });
});
