/**
 * Runs as a Job: `run --engine=kubernetes` on a cluster of two nodes that mk-ci itself starts. Needs docker that answers, as root
 * (`scripts/with-dockerd.sh` gives one), and a node image in the cache or what is needed to make one; else skipped with a
 * word. About five minutes, 3 GB of memory and 4 GB of disk.
 */
import { readFile, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';

import { exec } from '../src/exec.js';
import { createTemporaryFolder, type TemporaryFolder } from '../src/files.js';
import { loadRun } from '../src/runner/index.js';
import { describeWithNodeImage, findNodeImage, makeHome } from './engines.js';
import { mkCi, startMkCi } from './mk-ci.js';

const MINUTE = 60_000;
const IMAGE = 'mk-ci-engine-test:dev';
const found = await findNodeImage('docker');

const CONFIG = {
  version: 1,
  environments: [{ name: 'here', driver: 'existing' }],
  suites: [
    { name: 'fast', command: 'node --test --test-reporter=tap fast.test.mjs', format: 'tap' },
    { name: 'slow', command: 'node slow.mjs', format: 'tap', env: { SLOW_MS: '1000' } },
  ],
};
const FAST = `import test from 'node:test';
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
test('asks the cluster that it runs on', () => {
  if (!execFileSync('kubectl', ['get', 'nodes', '--output=name'], { encoding: 'utf8' }).includes('node/worker-1')) throw new Error('no');
  writeFileSync(process.env.ARTIFACTS + '/data.bin', Buffer.alloc(300_000, 7));
});
`;
/** By hand, since `node --test` keeps what a file says until it has ended. */
const SLOW = `console.log('TAP version 13');
console.log('ok 1 - begins');
setTimeout(() => {
  console.log('ok 2 - ends');
  console.log('1..2');
}, Number(process.env.SLOW_MS));
`;

describeWithNodeImage('runs as a Job', found, () => {
  let temporary: TemporaryFolder;
  let env: NodeJS.ProcessEnv;
  let kubeconfig: string;
  /** Of this test alone. */
  let out: string;
  let count = 0;

  const run = async (...args: string[]): Promise<string> => {
    const result = await mkCi(args, { cwd: temporary.path, env, timeoutMs: 9 * MINUTE });
    expect(result.exitCode, `mk-ci ${args.join(' ')}\n${result.stdout}\n${result.stderr}`).toBe(0);
    return result.stdout;
  };
  const kubectl = async (...args: string[]): Promise<string> =>
    await run('cluster', 'exec', 'engine', '--', 'kubectl', ...args);
  const flags = (): string[] => [
    ...['--engine', 'kubernetes', '--engine-image', IMAGE, '--engine-kubeconfig', kubeconfig],
    ...['--engine-service-account', 'ci', '--engine-namespace', 'ci', '--out', out],
  ];
  const expectNothingLeft = async (): Promise<void> => {
    expect(await kubectl('get', 'jobs,pods,secrets', '--namespace=ci', '--output=name')).toBe('');
    expect(await run('gc')).toContain('nothing to remove');
  };
  const writeConfig = async (slowMs: number): Promise<void> => {
    const suites = CONFIG.suites.map((suite) =>
      suite.env === undefined ? suite : { ...suite, env: { SLOW_MS: String(slowMs) } },
    );
    await writeFile(join(temporary.path, 'mk-ci.yaml'), JSON.stringify({ ...CONFIG, suites }));
  };
  const latest = (): string => join(out, 'latest');
  /** Waits until a pod has sent that the suite began. @returns the pod */
  const begun = async (): Promise<string> => {
    for (;;) {
      for (const name of await readdir(out).catch(() => [])) {
        const pods = join(out, name, 'lost-pods');
        for (const pod of await readdir(pods).catch(() => [])) {
          const stdout = join(pods, pod, 'cells', 'here.slow', 'attempt-1', 'stdout.log');
          if ((await readFile(stdout, 'utf8').catch(() => '')).includes('begins')) return pod;
        }
      }
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  };

  beforeAll(async () => {
    temporary = await createTemporaryFolder('mk-ci-engine-');
    env = {
      ...process.env,
      MK_CI_HOME: await makeHome(temporary.path),
      KUBECONFIG: '/nowhere',
      TMPDIR: temporary.path,
    };
    await writeConfig(1000);
    await writeFile(join(temporary.path, 'fast.test.mjs'), FAST);
    await writeFile(join(temporary.path, 'slow.mjs'), SLOW);
    const image = await createTemporaryFolder('mk-ci-engine-image-');
    await using _image = image;
    const archive = join(image.path, 'engine.tar');
    // Without the home, which lies beside the project.
    const project = await createTemporaryFolder('mk-ci-project-');
    await using _project = project;
    for (const name of ['fast.test.mjs', 'slow.mjs']) await exec(['cp', join(temporary.path, name), project.path]);
    await run('engine-image', 'build', '--name', IMAGE, '--project', project.path, '--out', archive);
    await run('cluster', 'start', 'engine', '--driver', 'docker', '--nodes', '2');
    await run('cluster', 'image', 'load', 'engine', archive);
    kubeconfig = (await run('cluster', 'kubeconfig', 'engine', '--path')).trim();
    await kubectl('create', 'namespace', 'ci');
    await kubectl('create', 'serviceaccount', 'ci', '--namespace=ci');
    await kubectl('create', 'clusterrolebinding', 'ci', '--clusterrole=cluster-admin', '--serviceaccount=ci:ci');
  }, 15 * MINUTE);
  beforeEach(() => {
    count += 1;
    out = join(temporary.path, `runs-${count}`);
  });
  afterAll(async () => {
    await mkCi(['cluster', 'delete', 'engine'], { cwd: temporary.path, env });
    await mkCi(['gc', '--yes'], { cwd: temporary.path, env });
    await temporary[Symbol.asyncDispose]();
  });

  it(
    'leave what a run on this host leaves, and nothing on the cluster',
    async () => {
      await run('run', ...flags());
      const { cells, complete, errors } = await loadRun(latest());
      expect(cells.map(({ id, status }) => `${id} ${status}`).sort()).toEqual(['here.fast passed', 'here.slow passed']);
      expect({ complete, errors }).toEqual({ complete: true, errors: [] });
      const attempt = join(latest(), 'cells', 'here.fast', 'attempt-1');
      expect(await readFile(join(attempt, 'stdout.log'), 'utf8')).toContain('asks the cluster');
      expect(await readFile(join(attempt, 'artifacts', 'data.bin'))).toEqual(Buffer.alloc(300_000, 7));
      expect(await readFile(join(latest(), 'junit.xml'), 'utf8')).toContain('asks the cluster');
      await expectNothingLeft();
    },
    5 * MINUTE,
  );

  it(
    'neither lose nor double the results of a pod that is deleted',
    async () => {
      await writeConfig(15_000);
      const child = startMkCi(['run', 'slow', ...flags()], { cwd: temporary.path, env });
      const lost = await begun();
      await kubectl('delete', 'pod', lost, '--namespace=ci', '--wait=false');
      const { exitCode } = await child.ended;
      expect(exitCode, child.stderr()).toBe(0);
      const { cells, errors } = await loadRun(latest());
      const tests = cells.flatMap((cell) => cell.tests.map(({ id, attempts }) => [id.name, attempts.length]));
      expect(tests).toEqual([
        ['begins', 1],
        ['ends', 1],
      ]);
      expect(errors).toEqual([]);
      expect(JSON.stringify(cells[0]?.repairs)).toContain(lost);
      expect(await readdir(join(latest(), 'lost-pods'))).toEqual([lost]);
      await expectNothingLeft();
    },
    5 * MINUTE,
  );

  it(
    'are deleted with their pods when the run is interrupted',
    async () => {
      await writeConfig(240_000);
      const child = startMkCi(['run', 'slow', ...flags()], { cwd: temporary.path, env });
      await begun();
      child.signal('SIGTERM');
      expect((await child.ended).exitCode).toBe(143);
      const { cells, exitCode } = await loadRun(latest());
      expect(exitCode).toBe(143);
      expect(cells[0]?.tests.find(({ id }) => id.name === 'begins')?.status).toBe('passed');
      await expectNothingLeft();
    },
    5 * MINUTE,
  );

  it(
    'are found by gc when the run was killed',
    async () => {
      await writeConfig(240_000);
      const child = startMkCi(['run', 'slow', ...flags()], { cwd: temporary.path, env });
      await child.sees('here.slow: pod ', 2 * MINUTE);
      child.signal('SIGKILL');
      await child.ended;
      expect(await run('gc', '--yes')).toContain('removed  kubernetes job ci/mk-ci-');
      await expectNothingLeft();
    },
    5 * MINUTE,
  );

  it(
    'say what the kubelet says of an image that is not there',
    async () => {
      const args = flags().map((word) => (word === IMAGE ? 'nowhere.invalid/none:1' : word));
      const { exitCode, stderr } = await mkCi(['run', 'fast', ...args], { cwd: temporary.path, env });
      expect(exitCode).toBe(59);
      expect(stderr).toMatch(/nowhere\.invalid\/none:1: ImagePullBackOff.*\(RUN_ENGINE_IMAGE\)/);
      await expectNothingLeft();
    },
    5 * MINUTE,
  );
});
