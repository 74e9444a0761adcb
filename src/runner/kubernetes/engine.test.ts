import { access, readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';

import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { parseConfig } from '../../config/index.js';
import { createTemporaryFolder, type TemporaryFolder } from '../../files.js';
import type { RunEvent } from '../../results/events.js';
import { runFolderAt } from '../../results/run-folder.js';
import { loadRun } from '../load-run.js';
import { planRun } from '../plan.js';
import { executeOnKubernetes } from './engine.js';
import { createFakeJobApi, podLog, type FakeJobApi, type PodScript } from './fake-job-api.js';

const AT = '2026-11-21T20:00:00.000Z';
let folder: TemporaryFolder;
beforeEach(async () => {
  folder = await createTemporaryFolder('mk-ci-engine-');
});
afterEach(async () => {
  await folder[Symbol.asyncDispose]();
});

/** What a cell with one test records; without an end when its pod is lost meanwhile. */
function eventsOf(
  cell: string,
  { isOver = true, status = 'passed' }: { isOver?: boolean; status?: 'passed' | 'failed' } = {},
): RunEvent[] {
  const test = { package: 'p', name: 'works' };
  return [
    { type: 'run-started', version: 1, at: AT, runId: 'r1', toolVersion: '0', source: {}, environments: [], cells: [] },
    { type: 'cell-started', at: AT, cell },
    { type: 'attempt-started', at: AT, cell, attempt: 1, command: ['x'], folder: `cells/${cell}/attempt-1` },
    { type: 'test-started', test, cell, attempt: 1 },
    ...(isOver
      ? ([
          { type: 'test-ended', test, status, durationMs: 1, cell, attempt: 1 },
          { type: 'attempt-ended', at: AT, cell, attempt: 1, durationMs: 1, exitCode: 0 },
          { type: 'cell-ended', at: AT, cell, status, durationMs: 1 },
          { type: 'run-ended', at: AT, exitCode: 0 },
        ] satisfies RunEvent[])
      : []),
  ];
}

const whole = (cell: string, status: 'passed' | 'failed' = 'passed'): PodScript => ({
  log: podLog(eventsOf(cell, { status }), cell, true),
});
const lost = (cell: string, ends: PodScript['ends'] = 'deleted'): PodScript => ({
  log: podLog(eventsOf(cell, { isOver: false }), cell, false),
  ends,
});

async function run(api: FakeJobApi, rig: { readonly driver?: string; readonly signal?: AbortSignal } = {}) {
  const text = `version: 1\nenvironments: [{ name: e, driver: ${rig.driver ?? 'existing'} }]\nsuites: [{ name: a, command: x }, { name: b, command: x, cpus: 2 }]\n`;
  const notes: string[] = [];
  const outcome = await executeOnKubernetes({
    plan: planRun(parseConfig(text, join(folder.path, 'mk-ci.yaml'))),
    runId: '20261121-200000-abcdef',
    toolVersion: '0',
    source: {},
    folder: runFolderAt(join(folder.path, 'out')),
    failOnFlaky: false,
    signal: rig.signal ?? new AbortController().signal,
    interruptedBy: () => (rig.signal?.aborted === true ? 'SIGTERM' : undefined),
    now: () => new Date(),
    api,
    namespace: 'ci',
    image: 'ci:1',
    serviceAccount: 'tester',
    parallelism: 8,
    environments: {},
    filters: { retries: 1 },
    configText: text,
    ownership: { 'mk-ci.owner': '1:2' },
    onNote: (note) => notes.push(note),
    pollMs: 1,
  });
  return { ...outcome, notes };
}

const tests = (cells: Awaited<ReturnType<typeof run>>['result']['cells']): unknown =>
  cells.map(({ id, status, tests: found }) => [id, status, found.map(({ attempts }) => attempts.length)]);

describe('a run as a Job', () => {
  it('takes results and logs of every pod, and removes the Job', async () => {
    const api = createFakeJobApi((index) => whole(index === 0 ? 'e.a' : 'e.b', index === 0 ? 'passed' : 'failed'));
    const { result, exitCode } = await run(api);
    expect(tests(result.cells)).toEqual([
      ['e.a', 'passed', [1]],
      ['e.b', 'failed', [1]],
    ]);
    expect(exitCode).toBe(1);
    expect(api.calls).toEqual(['create job', 'create secret', 'delete job']);
    const root = join(folder.path, 'out');
    expect(await readFile(join(root, 'cells/e.a/attempt-1/stdout.log'), 'utf8')).toBe('out');
    await expect(access(join(root, 'lost-pods'))).rejects.toThrow();
    expect(await loadRun(root)).toEqual(result);
  });

  it('counts a cell once whose pod was lost, and keeps what the lost one had sent', async () => {
    const api = createFakeJobApi((index, nth) =>
      index === 0 && nth < 3 ? lost('e.a') : whole(index === 0 ? 'e.a' : 'e.b'),
    );
    const { result, exitCode } = await run(api);
    expect(tests(result.cells)).toEqual([
      ['e.a', 'passed', [1]],
      ['e.b', 'passed', [1]],
    ]);
    expect(exitCode).toBe(0);
    expect(result.cells[0]?.repairs.map(({ kind }) => kind)).toEqual(['pod-lost', 'pod-lost']);
    expect(await readdir(join(folder.path, 'out', 'lost-pods'))).toEqual(['pod-0-1', 'pod-0-2']);
  });

  it('tells how far a cell came whose pods were all lost; such a run does not pass', async () => {
    const { result, exitCode } = await run(
      createFakeJobApi((index) => (index === 0 ? lost('e.a', 'Failed') : whole('e.b'))),
    );
    expect(tests(result.cells)).toEqual([
      ['e.a', 'error', [1]],
      ['e.b', 'passed', [1]],
    ]);
    expect(result.cells[0]?.tests[0]?.status).toBe('notrun');
    expect(result.errors).toMatchObject([{ code: 'RUN_POD_LOST', cell: 'e.a', infrastructure: true }]);
    expect(exitCode).not.toBe(0);
  });

  it('goes on when the API is silent for a while', async () => {
    const api = createFakeJobApi((index) => whole(index === 0 ? 'e.a' : 'e.b'), { silentLooks: 5 });
    expect((await run(api)).exitCode).toBe(0);
  });

  it('keeps what was there and removes the Job when it is interrupted', async () => {
    const interrupt = new AbortController();
    const api = createFakeJobApi((index) => (index === 0 ? whole('e.a') : lost('e.b', 'never')));
    let looks = 0;
    const interrupting: FakeJobApi = {
      ...api,
      readJob: async (...args) => {
        looks += 1;
        if (looks === 20) interrupt.abort(new Error('interrupted'));
        return await api.readJob(...args);
      },
    };
    const { result, exitCode } = await run(interrupting, { signal: interrupt.signal });
    expect(exitCode).toBe(143);
    expect(tests(result.cells)).toEqual([
      ['e.a', 'passed', [1]],
      ['e.b', 'notrun', [1]],
    ]);
    expect(result.errors).toEqual([]);
    expect(api.calls.at(-1)).toBe('delete job');
  });

  it('stops when no pod can start from the image, in the words of the kubelet', async () => {
    const waiting = { reason: 'ErrImageNeverPull', message: 'ci:1 is not present' };
    const api = createFakeJobApi(() => ({ log: [], waiting }));
    await expect(run(api)).rejects.toMatchObject({
      code: 'RUN_ENGINE_IMAGE',
      message: expect.stringContaining('ErrImageNeverPull: ci:1 is not present') as string,
    });
    expect(api.calls.at(-1)).toBe('delete job');
  });

  it('refuses cells that need another cluster than that of the Job, and makes nothing', async () => {
    const api = createFakeJobApi(() => whole('e.a'));
    await expect(run(api, { driver: 'local' })).rejects.toMatchObject({
      code: 'RUN_ENGINE_CELL',
      message: expect.stringContaining('e.a (driver local), e.b (driver local)') as string,
    });
    expect(api.calls).toEqual([]);
  });

  it('asks for one index a cell, with labels, limits in time, and a Secret that goes with the Job', async () => {
    const api = createFakeJobApi((index) => whole(index === 0 ? 'e.a' : 'e.b'));
    await run(api);
    const [job, secret] = api.bodies;
    const labels = { 'app.kubernetes.io/managed-by': 'mk-ci', 'mk-ci.run': '20261121-200000-abcdef' };
    expect(job).toMatchObject({
      metadata: {
        name: 'mk-ci-20261121-200000-abcdef',
        namespace: 'ci',
        labels,
        annotations: { 'mk-ci.owner': '1:2' },
      },
      spec: {
        completionMode: 'Indexed',
        completions: 2,
        parallelism: 2,
        backoffLimitPerIndex: 2,
        podReplacementPolicy: 'Failed',
        ttlSecondsAfterFinished: 3600,
        template: {
          metadata: { labels },
          spec: {
            restartPolicy: 'Never',
            serviceAccountName: 'tester',
            containers: [{ image: 'ci:1', resources: { requests: { cpu: '200m', memory: '512Mi' } } }],
          },
        },
      },
    });
    expect(secret).toMatchObject({
      metadata: { labels, ownerReferences: [{ kind: 'Job', uid: 'job-uid' }] },
      stringData: { 'mk-ci.yaml': expect.stringContaining('name: a') as string },
    });
    expect(JSON.stringify(secret)).toContain('\\"cells\\":[\\"e.a\\",\\"e.b\\"]');
  });
});
