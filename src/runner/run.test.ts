import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { steadyClock } from '../clock.js';
import { parseConfig } from '../config/index.js';
import { MkCiError } from '../errors.js';
import { createTemporaryFolder, type TemporaryFolder } from '../files.js';
import { runFolderAt } from '../results/run-folder.js';
import { identifyProcess } from '../process.js';
import { createFakeClusters, type FakeClusterOptions } from './fake-clusters.js';
import { fakeFormats } from './fake-formats.js';
import { loadRun } from './load-run.js';
import { planRun, type PlanFilters } from './plan.js';
import { executeRun, type RunOptions, type RunOutcome } from './run.js';

let folder: TemporaryFolder;
beforeEach(async () => {
  folder = await createTemporaryFolder('mk-ci-run-');
});
afterEach(async () => {
  await folder[Symbol.asyncDispose]();
});

interface Rig {
  readonly clusters?: FakeClusterOptions;
  readonly filters?: PlanFilters;
  readonly options?: Partial<RunOptions>;
  readonly signal?: AbortSignal;
}

async function run(yaml: string, rig: Rig = {}) {
  const config = parseConfig(`version: 1\n${yaml}`, join(folder.path, 'mk-ci.yaml'));
  const clusters = createFakeClusters(rig.clusters);
  const outcome = await executeRun({
    plan: planRun(config, rig.filters),
    runId: 'r1',
    toolVersion: '0.0.0',
    source: {},
    folder: runFolderAt(join(folder.path, 'out')),
    configFolder: folder.path,
    clusters,
    clusterLoad: () => ({ cpus: 0, memoryMiB: 1 }),
    limits: { cpus: 8, memoryMiB: 100_000, jobs: 4 },
    formats: fakeFormats,
    hostEnv: { PATH: process.env['PATH'], HOME: process.env['HOME'] },
    labels: { run: `test-${process.pid}-${Math.random()}` },
    keep: 'never',
    failOnFlaky: false,
    signal: rig.signal ?? new AbortController().signal,
    interruptedBy: () => (rig.signal?.aborted === true ? 'SIGINT' : undefined),
    now: () => new Date(),
    graceMs: 500,
    ...rig.options,
  });
  return { ...outcome, clusters };
}

/** Lines that `go test -json` prints for tests with these results. */
function goJson(results: Record<string, 'pass' | 'fail' | 'skip' | 'open'>, packageName = 'example.com/p'): string {
  const line = (event: object): string =>
    JSON.stringify({ Time: '2026-11-21T10:00:00Z', Package: packageName, ...event });
  const failed = Object.values(results).includes('fail');
  return [
    line({ Action: 'start' }),
    ...Object.entries(results).flatMap(([Test, Action]) => [
      line({ Action: 'run', Test }),
      ...(Action === 'open' ? [] : [line({ Action, Test, Elapsed: 0.1 })]),
    ]),
    ...(Object.values(results).includes('open') ? [] : [line({ Action: failed ? 'fail' : 'pass', Elapsed: 0.2 })]),
    '',
  ].join('\n');
}

async function suite(script: string, more = ''): Promise<string> {
  await writeFile(join(folder.path, 'suite.sh'), script);
  return `suites:\n  - name: s\n    command: sh suite.sh\n${more}`;
}

function print(text: string): string {
  return `cat <<'END'\n${text}END\n`;
}

/** Lines of a suite that wait for a file, so that what comes after it does not race with who makes it. */
function until(file: string): string {
  return `while [ ! -s ${file} ]; do sleep 0.01; done\n`;
}

function statuses(outcome: RunOutcome): Record<string, string> {
  return Object.fromEntries(
    outcome.result.cells.flatMap((cell) => cell.tests.map((test) => [test.id.name, test.status])),
  );
}

describe('exit code and tests of a suite', () => {
  it('passes when the suite exits 0 and its tests passed', async () => {
    const outcome = await run(await suite(print(goJson({ TestA: 'pass', TestB: 'skip' }))));
    expect(statuses(outcome)).toEqual({ TestA: 'passed', TestB: 'skipped' });
    expect(outcome.result.cells[0]).toMatchObject({ id: 'local-v1.36.s', status: 'passed' });
    expect(outcome.exitCode).toBe(0);
    expect(outcome.result.errors).toEqual([]);
  });

  it('fails when the suite exits 0 with a failed test in its output', async () => {
    const outcome = await run(await suite(print(goJson({ TestA: 'pass', TestB: 'fail' }))));
    expect(outcome.result.cells[0]?.status).toBe('failed');
    expect(outcome.exitCode).toBe(1);
  });

  it('reports a suite that exits 1 though all tests passed', async () => {
    const outcome = await run(await suite(`${print(goJson({ TestA: 'pass' }))}echo broken teardown >&2; exit 1`));
    expect(outcome.result.errors).toMatchObject([
      {
        code: 'RUN_SUITE_EXIT',
        message: 'the suite exited 1 though all tests passed',
        cell: 'local-v1.36.s',
        output: 'broken teardown',
      },
    ]);
    expect(outcome.result.cells[0]?.status).toBe('error');
    expect(outcome.exitCode).toBe(1);
  });

  it('never passes a suite that prints nothing', async () => {
    const outcome = await run(await suite('exit 0'));
    expect(outcome.result.errors).toMatchObject([{ code: 'RUN_NO_TESTS' }]);
    expect(outcome.exitCode).toBe(18);
  });

  it('says why a command is not there, not executable, or has no working folder', async () => {
    await writeFile(join(folder.path, 'plain.txt'), 'x');
    const outcome = await run(
      `suites:
  - { name: list, command: [./nowhere] }
  - { name: shell, command: nowhere-to-be-found }
  - { name: mode, command: [./plain.txt] }
  - { name: shellmode, command: ./plain.txt }
  - { name: cwd, command: [node], workingDirectory: not/here }`,
    );
    const messages = outcome.result.errors.map(({ code, cell, message }) => [code, cell, message]);
    expect(messages).toEqual(
      expect.arrayContaining([
        ['RUN_SUITE_START', 'local-v1.36.list', expect.stringContaining('not found')],
        ['RUN_SUITE_START', 'local-v1.36.shell', expect.stringContaining('not found')],
        ['RUN_SUITE_START', 'local-v1.36.mode', expect.stringContaining('not executable')],
        ['RUN_SUITE_START', 'local-v1.36.shellmode', expect.stringMatching(/ermission denied/)],
        ['RUN_SUITE_START', 'local-v1.36.cwd', expect.stringContaining('not/here')],
      ]),
    );
    expect(messages).toHaveLength(5);
    expect(outcome.exitCode).toBe(18);
  });

  it('ends a suite at its time limit with its children, unfinished tests timed out', async () => {
    const outcome = await run(
      await suite(`${print(goJson({ TestA: 'pass' }))}${print(goJson({ TestB: 'open' }))}sleep 300 & sleep 300`),
      { filters: { timeoutMs: 3000 } },
    );
    expect(statuses(outcome)).toEqual({ TestA: 'passed', TestB: 'timedout' });
    expect(outcome.result.errors).toMatchObject([{ code: 'RUN_SUITE_TIMEOUT' }]);
    expect(outcome.result.cells[0]).toMatchObject({ status: 'timedout', attempts: [{ timedOut: true }] });
    expect(outcome.exitCode).toBe(1);
  });

  it('keeps every byte of both outputs', async () => {
    await run(await suite(`printf 'a\\000b\\377'; printf 'no line end' >&2; ${print(goJson({ TestA: 'pass' }))}`));
    const attempt = runFolderAt(join(folder.path, 'out')).attempt('local-v1.36.s', 1);
    expect(await readFile(attempt.stdout)).toEqual(
      Buffer.concat([Buffer.from([0x61, 0, 0x62, 0xff]), Buffer.from(goJson({ TestA: 'pass' }))]),
    );
    expect(await readFile(attempt.stderr, 'utf8')).toBe('no line end');
  });
});

describe('what a suite leaves behind', () => {
  it('ends children in the group of a suite and reads what they say at their end', async () => {
    const child = `trap 'echo late; exit' TERM; echo yes > up; while :; do sleep 0.01; done`;
    const outcome = await run(await suite(`(${child}) & ${print(goJson({ TestA: 'pass' }))}${until('up')}`), {
      options: { graceMs: 15_000 },
    });
    const { stdout } = runFolderAt(join(folder.path, 'out')).attempt('local-v1.36.s', 1);
    expect(await readFile(stdout, 'utf8')).toMatch(/late\n$/);
    expect(outcome.exitCode).toBe(0);
    expect(outcome.result.cells[0]?.repairs).toMatchObject([{ kind: 'left-children' }]);
  });

  it.runIf(process.platform === 'linux')('ends a daemon that left the group and keeps the output open', async () => {
    const outcome = await run(
      await suite(
        `setsid sh -c 'echo $$ > daemon.pid; exec sleep 300' & ${print(goJson({ TestA: 'pass' }))}${until('daemon.pid')}`,
      ),
    );
    expect(outcome.exitCode).toBe(0);
    expect(outcome.result.cells[0]?.repairs).toMatchObject([
      { kind: 'left-processes', message: expect.stringContaining('sleep 300') as string },
    ]);
    const pid = Number(await readFile(join(folder.path, 'daemon.pid'), 'utf8'));
    expect(identifyProcess(pid)).toBeUndefined(); // a zombie where nobody reaps it counts as gone
  });
});

describe('output that something else keeps writing', () => {
  it.runIf(process.platform === 'linux')('does not wait for a daemon that never stops talking', async () => {
    const startedAt = performance.now();
    const outcome = await run(
      await suite(
        `setsid sh -c 'trap "" PIPE; echo yes > left; while :; do echo chatter; sleep 0.02; done' & ${print(goJson({ TestA: 'pass' }))}${until('left')}`,
      ),
    );
    expect(performance.now() - startedAt).toBeLessThan(10_000);
    expect(outcome.exitCode).toBe(0);
    expect(outcome.result.cells[0]?.repairs).toMatchObject([{ kind: 'left-processes' }]);
  });
});

describe('clusters of a run', () => {
  const two = `environments:
  - { name: one, driver: local }
  - { name: two, driver: existing }
suites:
  - { name: a, command: sh suite.sh }
  - { name: b, command: sh suite.sh }`;

  it('starts one shared cluster for each environment and gives it back', async () => {
    await suite(print(goJson({ TestA: 'pass' })));
    const outcome = await run(two);
    expect(outcome.clusters.acquired).toHaveLength(2);
    expect(outcome.clusters.released).toHaveLength(2);
    expect(outcome.clusters.disposed).toBe(1);
    expect(outcome.exitCode).toBe(0);
  });

  it('makes the cells of a cluster that fails errors with the cause, and runs the others', async () => {
    await suite(print(goJson({ TestA: 'pass' })));
    const outcome = await run(two, {
      clusters: {
        onAcquire: async ({ driver }) => {
          if (driver === 'local') throw new MkCiError('K8S_START_TIMEOUT', { message: 'etcd said no' });
        },
      },
    });
    expect(outcome.result.cells.map(({ id, status }) => [id, status])).toEqual([
      ['one.a', 'error'],
      ['two.a', 'passed'],
      ['one.b', 'error'],
      ['two.b', 'passed'],
    ]);
    expect(outcome.result.errors).toHaveLength(2);
    expect(outcome.result.errors[0]).toMatchObject({
      code: 'K8S_START_TIMEOUT',
      infrastructure: true,
      environment: 'one',
      message: expect.stringContaining('etcd said no') as string,
    });
    expect(outcome.exitCode).toBe(102);
  });

  it('gives each attempt of a suite with a fresh cluster one of its own', async () => {
    const yaml = await suite(`${print(goJson({ TestA: 'fail' }))}exit 1`, '    cluster: fresh\n    retries: 1\n');
    const saved: string[] = [];
    const outcome = await run(yaml, { clusters: { saveLogs: async (to) => void saved.push(to) } });
    expect(outcome.clusters.acquired).toEqual(['fresh fake-1', 'fresh fake-2']);
    expect(outcome.clusters.released).toEqual(['fake-1', 'fake-2']);
    expect(saved.map((path) => path.slice(folder.path.length))).toEqual([
      '/out/clusters/local-v1.36/local-v1.36.s.attempt-1',
      '/out/clusters/local-v1.36/local-v1.36.s.attempt-2',
    ]);
  });

  it('keeps the cluster of a failed suite with --keep on-failure', async () => {
    const failing = await run(await suite(`${print(goJson({ TestA: 'fail' }))}exit 1`), {
      options: { keep: 'on-failure' },
    });
    expect(failing.clusters.kept).toEqual(['fake-1']);
    expect(failing.keptClusters).toMatchObject([{ name: 'fake-1' }]);
  });

  it('goes on when logs can not be saved, and says so', async () => {
    const outcome = await run(await suite(print(goJson({ TestA: 'pass' }))), {
      clusters: { saveLogs: async () => Promise.reject(new Error('gone')) },
    });
    expect(outcome.exitCode).toBe(0);
    expect(outcome.problems).toEqual([expect.stringContaining('gone')]);
  });
});

describe('reruns', () => {
  const flaky = `n=$(cat count 2>/dev/null || echo 0); echo $((n+1)) > count
if [ $n = 0 ]; then ${print(goJson({ TestA: 'pass', TestB: 'fail' })).trim()}
exit 1; else ${print(goJson({ TestA: 'pass', TestB: 'pass' })).trim()}
fi`;

  it('marks a test flaky when a rerun passes, and keeps the failed attempt', async () => {
    const outcome = await run(await suite(flaky, '    retries: 2\n'));
    const test = outcome.result.cells[0]?.tests.find(({ id }) => id.name === 'TestB');
    expect(test).toMatchObject({ status: 'passed', flaky: true });
    expect(test?.attempts.map(({ status, cellAttempt }) => [status, cellAttempt])).toEqual([
      ['failed', 1],
      ['passed', 2],
    ]);
    expect(outcome.exitCode).toBe(0);
    expect(outcome.result.cells[0]?.attempts).toHaveLength(2);
    expect(outcome.result.cells[0]?.repairs).toMatchObject([{ kind: 'rerun', message: /whole suite/ }]);
  });

  it('exits 1 for a flaky test with --fail-on-flaky', async () => {
    const outcome = await run(await suite(flaky, '    retries: 1\n'), { options: { failOnFlaky: true } });
    expect(outcome.exitCode).toBe(1);
  });
});

describe('a wall clock that is set while a run goes on', () => {
  const HOUR_MS = 3_600_000;
  /** Steps back and forth by hours from one look to the next. */
  function jumping(): () => number {
    let looks = 0;
    return () => {
      looks += 1;
      return Date.now() + (looks % 2 === 0 ? -5 : 5) * HOUR_MS * looks;
    };
  }
  const times = async (): Promise<string[]> =>
    (await readFile(join(folder.path, 'out', 'events.jsonl'), 'utf8'))
      .split('\n')
      .flatMap((line) => /^\{"type":"(?:run|cell|attempt|phase)[^}]*?"at":"([^"]+)"/.exec(line)?.[1] ?? []);

  it('changes neither durations nor limits nor results', async () => {
    const wall = jumping();
    const outcome = await run(await suite(print(goJson({ TestA: 'pass' }))), {
      options: { now: () => new Date(wall()) },
    });
    const [cell] = outcome.result.cells;
    expect(cell).toMatchObject({ status: 'passed', attempts: [{ exitCode: 0 }] });
    for (const durationMs of [cell?.durationMs, cell?.attempts[0]?.durationMs]) {
      expect(durationMs).toBeGreaterThanOrEqual(0);
      expect(durationMs).toBeLessThan(HOUR_MS);
    }
    expect(outcome.exitCode).toBe(0);
  });

  it('leaves the times of the record in order when they come from a steady clock', async () => {
    await run(await suite(print(goJson({ TestA: 'pass' }))), { options: { now: steadyClock({ wall: jumping() }) } });
    const seen = await times();
    expect(seen.length).toBeGreaterThan(4);
    expect(seen).toEqual(seen.toSorted());
    expect(Date.parse(seen.at(-1) ?? '') - Date.parse(seen[0] ?? '')).toBeLessThan(HOUR_MS);
  });
});

describe('a run that is interrupted or can not be written', () => {
  it('ends the suites, leaves complete files and exits 130', async () => {
    const interrupt = new AbortController();
    const outcome = await run(await suite(`${print(goJson({ TestA: 'pass', TestB: 'open' }))}sleep 300`), {
      signal: interrupt.signal,
      options: {
        onEvent: (event) => {
          if (event.type === 'test-started' && event.test.name === 'TestB') interrupt.abort();
        },
      },
    });
    expect(outcome.exitCode).toBe(130);
    expect(statuses(outcome)).toEqual({ TestA: 'passed', TestB: 'notrun' });
    expect(outcome.result.cells[0]?.status).toBe('notrun');
    expect(outcome.clusters.released).toHaveLength(1);
    const again = await loadRun(join(folder.path, 'out'));
    expect(again).toEqual(outcome.result);
    const finished: unknown = JSON.parse(await readFile(join(folder.path, 'out', 'finished.json'), 'utf8'));
    expect(finished).toMatchObject({ passed: false, result: 'ABORTED' });
  });

  it('stops with RUN_OUTPUT when the folder can not be made, before any cluster starts', async () => {
    await writeFile(join(folder.path, 'out'), 'a file');
    await expect(run(await suite('exit 0'))).rejects.toMatchObject({ code: 'RUN_OUTPUT' });
  });

  it('ends suites and clusters when the record can not be written any more', async () => {
    const yaml = await suite(`${print(goJson({ TestA: 'pass' }))}sleep 300`);
    await mkdir(join(folder.path, 'out', 'cells', 'local-v1.36.s'), { recursive: true });
    await writeFile(join(folder.path, 'out', 'cells', 'local-v1.36.s', 'attempt-1'), 'in the way');
    await expect(run(yaml)).rejects.toMatchObject({ code: 'RUN_OUTPUT', exitCode: 39 });
  });
});
