/**
 * `mk-ci run` interrupted while it gets the Kubernetes programs: from a mirror that stops in the middle of a file, and from
 * a compiler that takes long. Needs the build; loopback only, no cluster, no real compiler.
 */
import { chmod, mkdir, readdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';

import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { startLoopbackServer } from '../src/cluster/bundle/testing/rig.js';
import { createTemporaryFolder, type TemporaryFolder } from '../src/files.js';
import { listLabelledProcesses } from '../src/process.js';
import { loadRun } from '../src/runner/index.js';
import { mkCi, startMkCi } from './mk-ci.js';

const SUITE = { name: 'ready', command: 'kubectl get --raw /readyz', format: 'tap' };
const RUN = ['run', '--out', 'out'];
const KUBERNETES = 'v1.36.3';

let folder: TemporaryFolder;
let env: NodeJS.ProcessEnv;

beforeEach(async () => {
  folder = await createTemporaryFolder('mk-ci-run-bundle-');
  const { MK_CI_BINARIES: _binaries, ...rest } = process.env;
  // The release servers are behind a proxy that nobody listens at.
  const nobody = { HTTPS_PROXY: 'http://127.0.0.1:2', NO_PROXY: '127.0.0.1' };
  env = { ...rest, ...nobody, MK_CI_HOME: join(folder.path, 'home') };
  const config = { version: 1, environments: [{ driver: 'local', nodes: 0 }], suites: [SUITE] };
  await writeFile(join(folder.path, 'mk-ci.yaml'), JSON.stringify(config));
});
afterEach(async () => {
  await folder[Symbol.asyncDispose]();
});

const bundles = async (): Promise<string[]> =>
  (await readdir(join(folder.path, 'home', 'cache', 'bundles')).catch(() => [])).filter(
    (name) => !name.startsWith('.'),
  );
const unfinished = async (): Promise<string[]> =>
  await readdir(join(folder.path, 'home', 'cache', 'bundles', '.work')).catch(() => []);
const leftOf = (pid: number) => listLabelledProcesses().filter(({ labels }) => labels['owner']?.startsWith(`${pid}:`));

async function expectCompleteRun(): Promise<void> {
  const [name = 'no run'] = (await readdir(join(folder.path, 'out'))).filter((entry) => entry !== 'latest');
  const root = join(folder.path, 'out', name);
  expect((await loadRun(root)).complete).toBe(true);
  const files = [
    'events.jsonl',
    'started.json',
    'finished.json',
    'junit.xml',
    'ctrf.json',
    'summary.md',
    'report.html',
  ];
  expect(await readdir(root)).toEqual(expect.arrayContaining(files));
}

/** A mirror that gives half of a program and then nothing more. */
async function stallingMirror() {
  const path = `${KUBERNETES}/bin/linux/${process.arch === 'arm64' ? 'arm64' : 'amd64'}/kube-apiserver`;
  const server = await startLoopbackServer(
    new Map([
      [path, Buffer.alloc(4_000_000, 'x')],
      [`${path}.sha256`, Buffer.from('0'.repeat(64))],
    ]),
  );
  server.faults.set(path, [{ kind: 'stall' }]);
  return { server, isAsked: () => server.requests.some((request) => request.path === path) };
}

/** A `go` that knows every module and then compiles for ever, with a compiler beside it as the real one has. */
async function endlessGo(): Promise<void> {
  const module = join(folder.path, 'module');
  const go = join(folder.path, 'bin', 'go');
  await mkdir(dirname(go), { recursive: true });
  await mkdir(module, { recursive: true });
  await writeFile(join(module, 'go.mod'), 'module k8s.io/kubernetes\n\ngo 1.24.0\n');
  await writeFile(join(module, 'go.sum'), '');
  await writeFile(
    go,
    `#!/bin/sh
case "$1" in
  env) echo '{"GOVERSION":"go1.99.0","GOFLAGS":""}' ;;
  mod) echo '{"Path":"k8s.io/kubernetes","Version":"${KUBERNETES}","Dir":"${module}","GoMod":"${module}/go.mod"}' ;;
  list) echo k8s.io/kubernetes ;;
  build) echo compiling-for-ever >&2; sleep 600 & echo $$ > ${folder.path}/building; sleep 600 ;;
esac
`,
  );
  await chmod(go, 0o755);
  env = { ...env, PATH: `${dirname(go)}:${env['PATH'] ?? ''}` };
}

describe.each([
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const)('%s while programs are fetched or compiled', (signal, exitCode) => {
  it('once, from a mirror: exit code, complete files, no half bundle', async () => {
    const { server, isAsked } = await stallingMirror();
    await using _server = server;
    const run = startMkCi(RUN, { cwd: folder.path, env: { ...env, MK_CI_BUNDLE_FROM: server.origin } });
    await expect.poll(isAsked, { timeout: 60_000 }).toBe(true);
    run.signal(signal);
    expect(await run.ended, run.stderr()).toEqual({ exitCode, signal: null });
    await expectCompleteRun();
    expect(await bundles()).toEqual([]);
    expect(await unfinished()).toEqual([]);
    expect(leftOf(run.pid)).toEqual([]);
  });

  it('once, in a build: the compiler and its children have ended too', async () => {
    await endlessGo();
    const run = startMkCi(RUN, { cwd: folder.path, env });
    await expect.poll(async () => await readdir(folder.path), { timeout: 60_000 }).toContain('building');
    expect(leftOf(run.pid)).not.toEqual([]);
    run.signal(signal);
    expect(await run.ended, run.stderr()).toEqual({ exitCode, signal: null });
    await expectCompleteRun();
    expect(await bundles()).toEqual([]);
    expect(await unfinished()).toEqual([]);
    expect(leftOf(run.pid)).toEqual([]);
  });

  it('twice: out at once, and gc ends what is left', async () => {
    await endlessGo();
    const run = startMkCi(RUN, { cwd: folder.path, env });
    await expect.poll(async () => await readdir(folder.path), { timeout: 60_000 }).toContain('building');
    run.signal(signal);
    await run.sees('once more to leave at once');
    run.signal(signal);
    expect(await run.ended, run.stderr()).toEqual({ exitCode, signal: null });
    expect((await mkCi(['gc', '--yes'], { env })).exitCode).toBe(0);
    await expect.poll(() => leftOf(run.pid), { timeout: 30_000 }).toEqual([]);
    expect(await bundles()).toEqual([]);
  });
});
