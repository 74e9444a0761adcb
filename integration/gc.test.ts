/**
 * What is left after `kill -9` of a run, and of `cluster start`, at random moments, and what `mk-ci gc` makes of it.
 * Needs Kubernetes programs (MK_CI_BINARIES: a folder with etcd, kube-apiserver, …) and the built `dist/`.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdir, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { createJournal } from '../src/cluster/journal.js';
import { exec } from '../src/exec.js';
import { createTemporaryFolder, type TemporaryFolder } from '../src/files.js';
import {
  formatLabels,
  identifyProcess,
  identifySelf,
  isAlive,
  listLabelledProcesses,
  type LabelledProcess,
  type ProcessIdentity,
} from '../src/process.js';
import { kubernetesPrograms } from './mk-ci.js';

const ROOT = join(import.meta.dirname, '..');
const CLI = join(ROOT, 'dist', 'cli.js');
const SUPERVISOR = join(ROOT, 'dist', 'cluster', 'supervisor-main.js');
const OWNER = join(import.meta.dirname, 'fixtures', 'gc', 'owner.mts');
const binaries = kubernetesPrograms();

describe('gc', () => {
  let temporary: TemporaryFolder;
  let home: string;
  let state: string;
  const children: ChildProcess[] = [];

  beforeEach(async () => {
    temporary = await createTemporaryFolder('mk-ci-gc-test-');
    home = join(temporary.path, 'home');
    state = join(home, 'state');
    await mkdir(home);
  });
  afterEach(async () => {
    for (const child of children.splice(0)) child.kill('SIGKILL');
    await gc();
    for (const { pid } of ours()) process.kill(pid, 'SIGKILL');
    await temporary[Symbol.asyncDispose]();
  });

  const env = (): NodeJS.ProcessEnv => ({
    ...process.env,
    MK_CI_HOME: home,
    MK_CI_BINARIES: binaries,
    TMPDIR: temporary.path,
  });
  const run = async (...args: string[]): Promise<string> =>
    (await exec([process.execPath, CLI, ...args], { env: env(), timeoutMs: 120_000 })).stdout;
  const gc = async (): Promise<string> => await run('gc', '--yes');
  /** Processes of this test's clusters, whoever started them. */
  const ours = (): LabelledProcess[] =>
    listLabelledProcesses().filter(({ labels }) => labels['folder']?.startsWith(home) === true);
  const list = async (folder: string): Promise<string[]> => await readdir(join(state, folder)).catch(() => []);
  const launch = (argv: string[]): ChildProcess => {
    const child = spawn(process.execPath, argv, { env: env(), stdio: ['ignore', 'pipe', 'inherit'], detached: true });
    children.push(child);
    return child;
  };
  const kill = async (child: ChildProcess): Promise<void> => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const gone = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGKILL');
    await gone;
  };
  const expectNothingLeft = async (): Promise<void> => {
    expect(ours().map(({ pid, command }) => `${pid} ${command.slice(0, 60)}`)).toEqual([]);
    expect(await list('clusters')).toEqual([]);
    expect(await list('ports')).toEqual([]);
    expect(await list('journal')).toEqual([]);
  };

  it('leaves nothing of a run that was killed at any moment', async () => {
    for (const afterMs of [300, 900, 1700, 3000, 5000, 8000]) {
      const owner = launch(['--import', 'tsx', OWNER, state, binaries, SUPERVISOR, `r${afterMs}`]);
      await delay(afterMs * (0.7 + Math.random() * 0.6));
      await kill(owner);
      await gc();
      await expectNothingLeft();
    }
  });

  it('takes down a run whose clusters are up and frozen, with its journal and state folder or without', async () => {
    for (const lost of ['none', 'journal', 'state folder'] as const) {
      const owner = launch(['--import', 'tsx', OWNER, state, binaries, SUPERVISOR, 'r1']);
      await new Promise((resolve) => owner.stdout?.once('data', resolve));
      const before = ours();
      expect(before.length).toBeGreaterThan(5);
      // While the run lives, nothing of it is a leftover.
      await gc();
      expect(before.filter((process) => isAlive(process))).toHaveLength(before.length);
      // Its supervisors would end everything by themselves: without them it is up to gc.
      for (const { pid, labels } of before) if (labels['role'] === 'supervisor') process.kill(pid, 'SIGKILL');
      await kill(owner);
      if (lost === 'state folder') await rm(state, { recursive: true, force: true });
      if (lost === 'journal') await rm(join(state, 'journal'), { recursive: true });
      await gc();
      await expectNothingLeft();
    }
  });

  it('removes what a killed cluster start left, and keeps a cluster that is up until its folder is gone', async () => {
    for (const afterMs of [400, 1500, 3000]) {
      await kill(await launchedFor(launch([CLI, 'cluster', 'start', 'half']), afterMs));
      await gc();
      // Either it was still the starter's, or it was handed over: then it is a cluster like any other.
      const names = await list('clusters');
      if (names.length > 0) await run('cluster', 'delete', 'half');
    }
    await run('cluster', 'start', 'kept');
    expect(await gc()).toBe('nothing to remove\n');
    expect(await run('cluster', 'status', 'kept')).toContain('running');
    await rm(state, { recursive: true, force: true });
    expect(ours().length).toBeGreaterThan(3);
    await gc();
    await expectNothingLeft();
  });

  it('ends a process that lost its labels and is in the journal, and not one of a living owner or with a reused number', async () => {
    const journal = createJournal({ folder: join(state, 'journal') });
    const dead = { pid: 4_194_303, startedAt: '1@00000000' };
    const start = async (owner: ProcessIdentity, startedAt?: string): Promise<ChildProcess> => {
      // A program that cleans its environment, as sudo and su do.
      const child = spawn('env', ['-i', '/bin/sleep', '300'], { detached: true, stdio: 'ignore' });
      children.push(child);
      const pid = child.pid ?? 0;
      await expect.poll(async () => await readFile(`/proc/${pid}/cmdline`, 'utf8')).toMatch(/^\/bin\/sleep/);
      const identity = { pid, startedAt: startedAt ?? identifyProcess(pid)?.startedAt ?? '' };
      await journal.intend({ kind: 'process', command: '/bin/sleep 300', identity }, { runId: 'r1', owner });
      return child;
    };
    const left = await start(dead);
    const living = await start(identifySelf());
    const reused = await start(dead, '2@00000000');
    expect(listLabelledProcesses().map(({ pid }) => pid)).not.toContain(left.pid);
    const ended = new Promise((resolve) => left.once('exit', resolve));
    await gc();
    await ended;
    expect([living.exitCode, living.signalCode, reused.exitCode, reused.signalCode]).toEqual([null, null, null, null]);
    expect(await list('journal')).toHaveLength(1);
  });

  it('removes temporary folders of a killed process, and not those of a living one', async () => {
    const script = `const { createTemporaryFolder } = await import('${join(ROOT, 'dist', 'files.js')}');
      console.log((await createTemporaryFolder('mk-ci-image-')).path); setInterval(() => undefined, 1000);`;
    const start = async (): Promise<{ child: ChildProcess; path: string }> => {
      const child = launch(['--input-type=module', '--eval', script]);
      return { child, path: String((await once(child.stdout ?? expect.fail(), 'data'))[0]).trim() };
    };
    const [killed, living] = [await start(), await start()];
    await writeFile(join(killed.path, 'large.tar'), 'x');
    await kill(killed.child);
    expect(await gc()).toContain(dirname(killed.path));
    expect([existsSync(dirname(killed.path)), existsSync(living.path)]).toEqual([false, true]);
    await kill(living.child);
  });

  it('ends a daemon that a suite left behind, and no process without our labels or of a living owner', async () => {
    const dead = '4194303:1@00000000';
    const start = (labels: Record<string, string> | undefined): ChildProcess => {
      const variables = labels === undefined ? {} : { MK_CI_LABELS: formatLabels(labels) };
      const child = spawn('sleep', ['300'], { env: { ...process.env, ...variables }, detached: true, stdio: 'ignore' });
      children.push(child);
      return child;
    };
    const daemon = start({ run: 'r1', owner: dead });
    const ownerless = start({ run: 'r1' });
    const foreign = start(undefined);
    const ended = new Promise((resolve) => daemon.once('exit', resolve));
    await writeFile(join(home, 'x'), '');
    const listed = await run('gc');
    expect(listed).toContain(`process ${daemon.pid ?? 0} (sleep 300): run r1 (process 4194303) has ended`);
    await gc();
    await ended;
    expect([ownerless.exitCode, foreign.exitCode, ownerless.signalCode, foreign.signalCode]).toEqual([
      null,
      null,
      null,
      null,
    ]);
  });
});

async function launchedFor(child: ChildProcess, ms: number): Promise<ChildProcess> {
  await Promise.race([delay(ms), new Promise((resolve) => child.once('exit', resolve))]);
  return child;
}
