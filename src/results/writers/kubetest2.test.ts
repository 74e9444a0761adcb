import { describe, expect, it } from 'vitest';

import type { CellResult, Phase, RunResult } from '../model.js';
import { renderKubetest2Junit } from './kubetest2.js';

const at = (second: number) => new Date(Date.UTC(2026, 10, 21, 10, 0, second)).toISOString();
const phase = (name: string, second: number, more: Partial<Phase> = {}): Phase => ({
  scope: 'cluster:c-1',
  environment: 'local',
  name,
  startedAt: at(second),
  durationMs: 2_000,
  status: 'ok',
  ...more,
});
const cell = (status: CellResult['status']): CellResult => ({
  id: 'local.e2e',
  environment: 'local',
  suite: 'e2e',
  startedAt: at(10),
  durationMs: 5_000,
  status,
  attempts: [{ attempt: 1, command: ['x'], startedAt: at(10) }],
  tests: [],
  packages: [],
  repairs: [],
});
const run = (phases: readonly Phase[], cells: readonly CellResult[]): RunResult => ({
  runId: 'r',
  toolVersion: '1',
  startedAt: at(0),
  source: {},
  environments: [],
  cells,
  phases,
  errors: [],
  repairs: [],
  complete: true,
});

describe('the phases as kubetest2 names them', () => {
  it('are Up, Test and Down, with the time from the first start to the last end', () => {
    const xml = renderKubetest2Junit(
      run([phase('etcd', 0), phase('readyz', 1), phase('delete', 20)], [cell('passed')]),
    );
    expect(xml).toContain('<testsuite name="kubetest2" tests="3" failures="0" time="10.000">');
    expect(
      [...xml.matchAll(/classname="local" name="(\w+)" time="([\d.]+)"/g)].map(([, name, time]) => [name, time]),
    ).toEqual([
      ['Up', '3.000'],
      ['Test', '5.000'],
      ['Down', '2.000'],
    ]);
  });

  it('say what failed, and leave out what did not happen', () => {
    const xml = renderKubetest2Junit(
      run(
        [phase('readyz', 0, { status: 'failed', message: 'no <answer> & no end' })],
        [{ ...cell('error'), attempts: [] }],
      ),
    );
    expect(xml).toContain('<failure>readyz: no &lt;answer&gt; &amp; no end</failure>');
    expect(xml).not.toContain('name="Test"');
    expect(renderKubetest2Junit(run([], [cell('failed')]))).toContain('<failure>local.e2e: failed</failure>');
  });
});
