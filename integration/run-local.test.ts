/**
 * `mk-ci run` from outside on real control planes of the driver `local`. Needs the build and the Kubernetes programs
 * that the global setup provides (`MK_CI_BINARIES`).
 */
import { existsSync, readFileSync } from 'node:fs';
import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { createTemporaryFolder, type TemporaryFolder } from '../src/files.js';
import { listLabelledProcesses } from '../src/process.js';
import { loadRun } from '../src/runner/index.js';
import { mkCi, startMkCi } from './mk-ci.js';

let folder: TemporaryFolder;
let env: NodeJS.ProcessEnv;

beforeEach(async () => {
  folder = await createTemporaryFolder('mk-ci-run-');
  env = { ...process.env, MK_CI_HOME: join(folder.path, 'home') };
});

afterEach(async () => {
  await mkCi(['gc', '--yes'], { env });
  await folder[Symbol.asyncDispose]();
});

interface Suite {
  readonly name: string;
  readonly command: string;
  readonly cluster?: 'shared' | 'fresh';
}

async function project(suites: readonly Suite[], nodes = 0): Promise<void> {
  const config = {
    version: 1,
    environments: [{ driver: 'local', nodes }],
    suites: suites.map((suite) => ({ ...suite, format: 'tap' })),
  };
  await writeFile(join(folder.path, 'mk-ci.yaml'), JSON.stringify(config));
}

const out = () => join(folder.path, 'out');
const args = ['run', '--out', 'out'];

/** A TAP test that passes when the command does. */
const tap = (name: string, command: string) =>
  `echo 1..1; if ${command} >&2; then echo "ok 1 - ${name}"; else echo "not ok 1 - ${name}"; fi`;

async function runFolder(): Promise<string> {
  const [name] = (await readdir(out())).filter((entry) => entry !== 'latest');
  return join(out(), name ?? 'no run');
}

/** Processes that carry the state folder of this test in their labels or arguments. */
const leftProcesses = () =>
  listLabelledProcesses().filter(({ labels, command }) => JSON.stringify([labels, command]).includes(folder.path));

describe('a run on a local cluster', () => {
  it('passes, leaves every file of a run, and no process', async () => {
    await project([{ name: 'ready', command: tap('readyz', 'kubectl get --raw /readyz') }]);
    const run = await mkCi(args, { cwd: folder.path, env });
    expect(run.stderr).toContain('1 passed');
    expect(run.exitCode).toBe(0);
    const root = await runFolder();
    expect(await readdir(root)).toEqual(
      expect.arrayContaining([
        'cells',
        'clusters',
        'ctrf.json',
        'events.jsonl',
        'finished.json',
        'junit.xml',
        'report.html',
        'started.json',
        'summary.json',
        'summary.md',
      ]),
    );
    expect(existsSync(join(folder.path, '.mk-ci', 'flake.db'))).toBe(true);
    expect(readFileSync(join(root, 'cells', 'local-v1.36.ready', 'attempt-1', 'stdout.log'), 'utf8')).toContain(
      'ok 1 - readyz',
    );
    expect(leftProcesses()).toEqual([]);
  });

  it('gives each suite with cluster: fresh a cluster in which nothing of another one is left', async () => {
    const marks = 'test "$(kubectl get configmaps -o name | grep -c mark)" = 0 && kubectl create configmap mark';
    await project([
      { name: 'one', command: tap('unmarked', marks), cluster: 'fresh' },
      { name: 'two', command: tap('unmarked', marks), cluster: 'fresh' },
    ]);
    const run = await mkCi(args, { cwd: folder.path, env });
    expect(run.stderr).toContain('2 cells');
    expect(run.exitCode).toBe(0);
    expect(leftProcesses()).toEqual([]);
  });

  it('runs pods on simulated nodes', async () => {
    const command =
      'kubectl create deployment web --image=x --replicas=2 && kubectl rollout status deployment/web --timeout=60s';
    await project([{ name: 'pods', command: tap('rolls out', command) }], 1);
    expect(await mkCi(args, { cwd: folder.path, env })).toMatchObject({ exitCode: 0 });
  });
});

describe('an interrupt', () => {
  it.each([
    ['SIGINT', 130, 'while the cluster starts', /kube-apiserver|prepare|etcd/],
    ['SIGTERM', 143, 'while a suite runs', /▶ local-v1.36.slow/],
    ['SIGINT', 130, 'while the cluster is removed', /local-v1.36.slow passed/],
  ] as const)('%s gives %i and complete files %s', async (signal, exitCode, when, moment) => {
    const seconds = when.endsWith('removed') ? '0.1' : '60';
    await project([{ name: 'slow', command: `${tap('readyz', 'kubectl get --raw /readyz')}; sleep ${seconds}` }]);
    const run = startMkCi(args, { cwd: folder.path, env });
    await run.sees(moment);
    run.signal(signal);
    const end = await run.ended;
    expect(end, run.stderr()).toEqual({ exitCode, signal: null });
    const root = await runFolder();
    expect((await loadRun(root)).complete).toBe(true);
    expect(await readdir(root)).toEqual(expect.arrayContaining(['finished.json', 'junit.xml', 'report.html']));
    expect(leftProcesses()).toEqual([]);
    expect(JSON.parse((await mkCi(['cluster', 'list', '--json'], { env })).stdout)).toEqual([]);
  });

  it('SIGKILL leaves what gc then removes', async () => {
    await project([{ name: 'slow', command: `echo 1..1; echo ok 1 - begun; sleep 60` }]);
    const run = startMkCi(args, { cwd: folder.path, env });
    await run.sees(/▶ local-v1.36.slow/);
    run.signal('SIGKILL');
    await run.ended;
    const gc = await mkCi(['gc', '--yes'], { env });
    expect(gc.exitCode).toBe(0);
    expect(leftProcesses()).toEqual([]);
    expect((await mkCi(['gc'], { env })).stdout + gc.stderr).not.toMatch(/would/);
    expect(JSON.parse((await mkCi(['cluster', 'list', '--json'], { env })).stdout)).toEqual([]);
  });
});
