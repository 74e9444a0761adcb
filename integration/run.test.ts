/**
 * `mk-ci run` from outside: suites that misbehave, signals, a full disk. Needs the build and a POSIX shell; no Kubernetes, as the
 * cluster is a fake API on loopback. The full disk needs Linux and the right to mount a tmpfs, else that test is skipped.
 */
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, readFile, readdir, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { exec } from '../src/exec.js';
import { createTemporaryFolder, type TemporaryFolder } from '../src/files.js';
import { listLabelledProcesses } from '../src/process.js';
import type { RunResult } from '../src/results/model.js';
import { loadRun } from '../src/runner/index.js';
import { PROGRAM, mkCi, startMkCi } from './mk-ci.js';
import { startFakeApiServer, type FakeApiServer } from './support/fake-api-server.js';

let folder: TemporaryFolder;
let api: FakeApiServer;
let env: NodeJS.ProcessEnv;

beforeEach(async () => {
  folder = await createTemporaryFolder('mk-ci-run-');
  api = await startFakeApiServer(folder.path);
  env = { ...process.env, MK_CI_HOME: join(folder.path, 'home'), KUBECONFIG: api.kubeconfig };
});
afterEach(async () => {
  await api[Symbol.asyncDispose]();
  await folder[Symbol.asyncDispose]();
});

/** Writes mk-ci.yaml with these suites, each a shell script. */
async function project(suites: Record<string, { script: string; more?: string }>): Promise<void> {
  const entries = await Promise.all(
    Object.entries(suites).map(async ([name, { script, more = '' }]) => {
      await writeFile(join(folder.path, `${name}.sh`), script);
      return `  - { name: ${name}, command: [sh, ${name}.sh]${more === '' ? '' : `, ${more}`} }`;
    }),
  );
  await writeFile(
    join(folder.path, 'mk-ci.yaml'),
    `version: 1\nenvironments: [{ name: e, driver: existing }]\nsuites:\n${entries.join('\n')}\n`,
  );
}

const out = (): string => join(folder.path, 'out');
const runArgs = (...more: string[]): string[] => ['run', '--out', out(), ...more];

async function runFolder(): Promise<string> {
  const [name] = (await readdir(out())).filter((entry) => entry !== 'latest');
  return join(out(), name ?? 'none');
}

const JSON_END = `echo '{"Action":"pass","Package":"p","Elapsed":0.2}'; `;
const JSON_PASS = (test: string, action = 'pass'): string =>
  `echo '{"Action":"run","Package":"p","Test":"${test}"}'; ${action === '' ? '' : `echo '{"Action":"${action}","Package":"p","Test":"${test}","Elapsed":0.1}'; `}`;

/** Waits for a file, so that what comes after it does not race with who makes it. */
const UNTIL = (file: string): string => `while [ ! -e ${file} ]; do sleep 0.01; done; `;

function cell(run: RunResult, suite: string) {
  const found = run.cells.find((item) => item.suite === suite);
  if (found === undefined) throw new Error(`no cell of ${suite}`);
  return found;
}

const FINAL_FILES = ['started.json', 'finished.json', 'junit.xml', 'ctrf.json', 'summary.json', 'summary.md'];

/** Every event of the record, from the outside: started tests against those with a status in the result. */
async function expectConserved(root: string): Promise<RunResult> {
  const run = await loadRun(root);
  const lines = (await readFile(join(root, 'events.jsonl'), 'utf8')).trimEnd().split('\n');
  const started = lines
    .map((line) => JSON.parse(line) as { type: string })
    .filter(({ type }) => type === 'test-started').length;
  const attempts = run.cells.flatMap((item) => item.tests.flatMap((test) => test.attempts));
  expect(attempts).toHaveLength(started);
  const junit = await readFile(join(root, 'junit.xml'), 'utf8').catch(() => undefined);
  for (const test of junit === undefined ? [] : run.cells.flatMap((item) => item.tests))
    expect(junit).toContain(`"${test.id.name}"`);
  return run;
}

describe('suites that misbehave', () => {
  it('gives each a clear result, loses nothing and hangs nowhere', async () => {
    await project({
      longline: {
        script: `${JSON_PASS('TestLong')}head -c 200000000 /dev/zero | tr '\\0' x; echo; ${JSON_PASS('TestAfter')}${JSON_END}`,
      },
      // Says its last words when it is ended, which is after the suite's own end.
      afterend: {
        script: `${JSON_PASS('TestA')}${JSON_END}(trap 'echo late; exit' TERM; echo > child; while :; do sleep 0.05; done) & ${UNTIL('child')}exit 0`,
      },
      daemon: {
        // Goes on when its output is closed.
        script: `${JSON_PASS('TestA')}${JSON_END}setsid sh -c 'trap "" PIPE; echo > daemon; while :; do echo chatter; sleep 0.05; done' & ${UNTIL('daemon')}exit 0`,
      },
      exit0: { script: `${JSON_PASS('TestBad', 'fail')}exit 0` },
      exit1: { script: `${JSON_PASS('TestGood')}${JSON_END}exit 1` },
      silent: { script: 'exit 0' },
      stderr: { script: `${JSON_PASS('TestA')}${JSON_END}head -c 30000000 /dev/zero | tr '\\0' e >&2` },
      hangs: {
        script: `trap '' TERM; ${JSON_PASS('TestDone')}${JSON_PASS('TestHangs', '')}sleep 600`,
        more: 'timeoutMinutes: 0.15',
      },
    });
    const config = join(folder.path, 'mk-ci.yaml');
    await writeFile(join(folder.path, 'plain'), 'no program');
    await writeFile(
      config,
      `${await readFile(config, 'utf8')}  - { name: absent, command: [./nowhere] }\n  - { name: mode, command: [./plain] }\n`,
    );
    const { exitCode, stderr } = await mkCi(runArgs('--jobs', '4'), { cwd: folder.path, env });
    expect(exitCode).toBe(1);
    expect(stderr).not.toMatch(/^\s+at /m);
    const root = await runFolder();
    const run = await expectConserved(root);
    const statuses = Object.fromEntries(run.cells.map((item) => [item.suite, item.status]));
    expect(statuses).toEqual({
      longline: 'passed',
      afterend: 'passed',
      daemon: 'passed',
      exit0: 'failed',
      exit1: 'error',
      silent: 'error',
      stderr: 'passed',
      hangs: 'timedout',
      absent: 'error',
      mode: 'error',
    });
    const errors = Object.fromEntries(
      run.errors.map((error) => [(error.cell ?? 'run').replace('e.', ''), error.code] as const),
    );
    expect(errors).toEqual({
      exit1: 'RUN_SUITE_EXIT',
      silent: 'RUN_NO_TESTS',
      hangs: 'RUN_SUITE_TIMEOUT',
      absent: 'RUN_SUITE_START',
      mode: 'RUN_SUITE_START',
    });
    expect(cell(run, 'longline').tests.map(({ id }) => id.name)).toEqual(['TestLong', 'TestAfter']);
    expect(cell(run, 'hangs').tests.map(({ id, status }) => [id.name, status])).toEqual([
      ['TestDone', 'passed'],
      ['TestHangs', 'timedout'],
    ]);
    const size = async (suite: string, file: string): Promise<number> =>
      (await stat(join(root, 'cells', `e.${suite}`, 'attempt-1', file))).size;
    expect(await size('longline', 'stdout.log')).toBeGreaterThan(200_000_000);
    expect(await size('stderr', 'stderr.log')).toBe(30_000_000);
    expect(cell(run, 'daemon').repairs.map(({ kind }) => kind)).toContain('left-processes');
    expect(cell(run, 'afterend').repairs.map(({ kind }) => kind)).toContain('left-children');
    expect(await readFile(join(root, 'cells', 'e.afterend', 'attempt-1', 'stdout.log'), 'utf8')).toMatch(/late\n$/);
    for (const file of FINAL_FILES) expect(existsSync(join(root, file)), file).toBe(true);
    expect(listLabelledProcesses().filter(({ labels }) => labels['run'] === run.runId)).toEqual([]);
  });

  it.runIf(process.platform === 'linux')('reads a 200 MB line in bounded memory', async () => {
    await project({
      longline: {
        script: `${JSON_PASS('TestLong')}head -c 200000000 /dev/zero | tr '\\0' x; echo; ${JSON_PASS('TestAfter')}${JSON_END}`,
      },
    });
    const result = await exec(
      [
        '/bin/sh',
        '-c',
        `"$0" "$@" & pid=$!; peak=0; while kill -0 $pid 2>/dev/null; do grep VmHWM /proc/$pid/status; sleep 0.1; done | tail -1; wait $pid`,
        process.execPath,
        PROGRAM,
        ...runArgs(),
      ],
      { cwd: folder.path, env, allowFailure: true },
    );
    const peakMiB = Number(/VmHWM:\s+(\d+) kB/.exec(result.stdout)?.[1]) / 1024;
    expect(peakMiB).toBeGreaterThan(20);
    expect(peakMiB).toBeLessThan(300);
  });
});

describe('signals', () => {
  it.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const)('%s in a suite ends it, completes the files and exits %i', async (signal, code) => {
    await project({
      a: { script: `${JSON_PASS('TestDone')}${JSON_PASS('TestOpen', '')}echo ready >&2; sleep 600 & sleep 600` },
    });
    const program = startMkCi(runArgs(), { cwd: folder.path, env });
    await program.sees('▶ e.a');
    await seesStarted('TestOpen');
    program.signal(signal);
    expect(await program.ended).toEqual({ exitCode: code, signal: null });
    const root = await runFolder();
    const run = await expectConserved(root);
    expect(run.complete).toBe(true);
    expect(cell(run, 'a').tests.map(({ status }) => status)).toEqual(['passed', 'notrun']);
    for (const file of FINAL_FILES) expect(existsSync(join(root, file)), file).toBe(true);
    expect(JSON.parse(await readFile(join(root, 'finished.json'), 'utf8'))).toMatchObject({ result: 'ABORTED' });
    expect(listLabelledProcesses().filter(({ labels }) => labels['run'] === run.runId)).toEqual([]);
  });

  it('while a cluster starts: no suite begins, files are complete, exit 130', async () => {
    await using slow = await startFakeApiServer(folder.path, 600_000);
    await project({ a: { script: JSON_PASS('TestA') } });
    const program = startMkCi(runArgs(), { cwd: folder.path, env: { ...env, KUBECONFIG: slow.kubeconfig } });
    await program.sees('1 cell');
    await until(() => existsSync(out()));
    program.signal('SIGINT');
    expect((await program.ended).exitCode).toBe(130);
    const run = await loadRun(await runFolder());
    expect(cell(run, 'a')).toMatchObject({ status: 'notrun', attempts: [] });
    expect(existsSync(join(await runFolder(), 'junit.xml'))).toBe(true);
  });

  it('goes to its end, with all its files, when nobody reads its messages any more', async () => {
    await project({ a: { script: `sleep 1; ${JSON_PASS('TestA')}${JSON_END}` } });
    const program = startMkCi(runArgs(), { cwd: folder.path, env });
    await program.sees('1 cell');
    program.stopReading();
    expect((await program.ended).exitCode).toBe(0);
    const run = await loadRun(await runFolder());
    expect(run.complete).toBe(true);
    expect(cell(run, 'a').status).toBe('passed');
    expect(existsSync(join(await runFolder(), 'junit.xml'))).toBe(true);
  });

  it('twice: leaves at once although a suite ignores the first', async () => {
    await project({ a: { script: `trap '' TERM INT; ${JSON_PASS('TestOpen', '')}while :; do sleep 1; done` } });
    const program = startMkCi(runArgs(), { cwd: folder.path, env });
    await seesStarted('TestOpen');
    program.signal('SIGINT');
    await program.sees('once more to leave at once');
    program.signal('SIGINT');
    expect((await program.ended).exitCode).toBe(130);
    // It did not wait for the suite, which ends only by the SIGKILL after the grace time.
    expect((await loadRun(await runFolder())).complete).toBe(false);
    const swept = await mkCi(['gc', '--yes'], { cwd: folder.path, env });
    expect(swept.exitCode).toBe(0);
    const run = await loadRun(await runFolder());
    expect(listLabelledProcesses().filter(({ labels }) => labels['run'] === run.runId)).toEqual([]);
  });

  it('SIGKILL: report gives complete files, unfinished tests notrun', async () => {
    await project({ a: { script: `${JSON_PASS('TestDone')}${JSON_PASS('TestOpen', '')}sleep 600` } });
    const program = startMkCi(runArgs(), { cwd: folder.path, env });
    await seesStarted('TestOpen');
    program.signal('SIGKILL');
    await program.ended;
    const root = await runFolder();
    const report = await mkCi(['report', root, '--json'], { cwd: folder.path, env });
    expect(report).toMatchObject({ exitCode: 0 });
    expect(JSON.parse(report.stdout)).toMatchObject({ total: { tests: 2, counts: { passed: 1, notrun: 1 } } });
    const run = await expectConserved(root);
    expect(run.complete).toBe(false);
    expect(await readdir(root)).toEqual(
      expect.arrayContaining(['report.html', 'junit.xml', 'ctrf.json', 'summary.json', 'summary.md', 'finished.json']),
    );
    expect(await readFile(join(root, 'junit.xml'), 'utf8')).toContain('TestOpen');
    await mkCi(['gc', '--yes'], { cwd: folder.path, env });
    expect(listLabelledProcesses().filter(({ labels }) => labels['run'] === run.runId)).toEqual([]);
  });
});

describe('a disk that is full', () => {
  it('ends with RUN_OUTPUT and exit 39, ends the suite and leaves a record of whole lines', async ({ skip }) => {
    await mkdir(out());
    try {
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=2m', 'tmpfs', out()], { stdio: 'ignore' });
    } catch {
      skip('no right to mount a tmpfs');
    }
    try {
      await project({ a: { script: `${JSON_PASS('TestA')}head -c 8000000 /dev/zero; sleep 600` } });
      const { exitCode, stderr } = await mkCi(runArgs(), { cwd: folder.path, env, timeoutMs: 60_000 });
      expect(stderr).toContain('(RUN_OUTPUT)');
      expect(stderr).toContain('no space left');
      expect(stderr).not.toMatch(/^\s+at /m);
      expect(exitCode).toBe(39);
      const text = await readFile(join(await runFolder(), 'events.jsonl'), 'utf8');
      expect(text.endsWith('\n')).toBe(true);
      for (const line of text.trimEnd().split('\n')) expect(() => JSON.parse(line) as unknown).not.toThrow();
    } finally {
      execFileSync('umount', [out()]);
    }
  });
});

describe('flags', () => {
  it('plans without doing anything', async () => {
    await project({ a: { script: '' }, b: { script: '' } });
    const { exitCode, stdout } = await mkCi(runArgs('b', '--dry-run', '--json'), { cwd: folder.path, env });
    expect(exitCode).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ cells: [{ id: 'e.b' }] });
    expect(existsSync(out())).toBe(false);
  });
});

async function seesStarted(test: string): Promise<void> {
  await until(async () => {
    if (!existsSync(out())) return false;
    const text = await readFile(join(await runFolder(), 'events.jsonl'), 'utf8').catch(() => '');
    return text.includes(`"${test}"`);
  });
}

async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 60_000;
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error('waited 60 s in vain');
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
