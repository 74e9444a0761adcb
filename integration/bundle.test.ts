/**
 * Bundles for real: a program compiled from its Go module, the folder that this makes used as a mirror, processes that
 * wait for one another, are interrupted and are killed.
 *
 * Needs the build and Go with the module of kwok in its cache or a module proxy in reach; without Go it is skipped.
 * About half a minute with warm Go caches.
 */
import { execFileSync } from 'node:child_process';
import { readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { extractFromTarGz } from '../src/cluster/bundle/untar.js';
import { exec } from '../src/exec.js';
import { createTemporaryFolder, type TemporaryFolder } from '../src/files.js';
import { listLabelledProcesses } from '../src/process.js';
import { mkCi, startMkCi } from './mk-ci.js';

const hasGo = await exec(['go', 'version'], { allowFailure: true }).then(
  ({ exitCode }) => exitCode === 0,
  () => false,
);

/** Only kwok: one small program, compiled in seconds. */
const PARTS = ['--parts', 'fake-nodes'];

async function namesIn(folder: string): Promise<string[]> {
  return await readdir(folder).catch(() => []);
}

async function bundleNames(home: string): Promise<string[]> {
  return (await namesIn(join(home, 'cache', 'bundles'))).filter((name) => !name.startsWith('.'));
}

function envOf(home: string): NodeJS.ProcessEnv {
  return { ...process.env, MK_CI_HOME: home };
}

/** What a killed build left running of its compilers. */
function buildsOf(pid: number): number {
  return listLabelledProcesses().filter(
    ({ labels }) => labels['role'] === 'bundle-build' && labels['owner']?.startsWith(`${pid}:`),
  ).length;
}

describe.skipIf(!hasGo)('mk-ci bundle with Go (skipped without it)', () => {
  let home: TemporaryFolder;
  let made: { folder: string; binaries: string; digest: string };
  beforeAll(async () => {
    home = await createTemporaryFolder();
    const result = await mkCi(['bundle', 'build', ...PARTS, '--json'], { env: envOf(home.path), timeoutMs: 600_000 });
    expect(result.stderr).toContain('kwok built from Go modules');
    expect(result.exitCode).toBe(0);
    made = JSON.parse(result.stdout) as typeof made;
  });
  afterAll(async () => {
    await home[Symbol.asyncDispose]();
  });

  it('compiles a program that runs and tells its version', async () => {
    const { stdout } = await exec([join(made.binaries, 'kwok'), '--version']);
    expect(stdout).toContain('kwok version v0.8.0');
    const manifest = JSON.parse(await readFile(join(made.folder, 'manifest.json'), 'utf8')) as {
      files: { source: object }[];
    };
    expect(manifest.files[0]?.source).toEqual({ kind: 'go', location: 'sigs.k8s.io/kwok@v0.8.0' });
  });

  it('takes the folder as a mirror in another home, without Go and network', async () => {
    await using other = await createTemporaryFolder();
    const env = { ...envOf(other.path), PATH: '/nonexistent' };
    const result = await mkCi(['bundle', 'fetch', ...PARTS, '--from', made.folder, '--json'], { env });
    expect(result).toMatchObject({ exitCode: 0 });
    expect((JSON.parse(result.stdout) as typeof made).digest).toBe(made.digest);
    expect((await mkCi(['bundle', 'verify'], { env })).exitCode).toBe(0);
  });

  it('takes bare programs of a folder after asking them for their version', async () => {
    await using other = await createTemporaryFolder();
    const result = await mkCi(['bundle', 'fetch', ...PARTS, '--from', made.binaries], { env: envOf(other.path) });
    expect(result.stderr).toContain('without a published sum');
    expect(result.exitCode).toBe(0);
  });

  it('finds a flipped byte and names the file', async () => {
    await using other = await createTemporaryFolder();
    const env = envOf(other.path);
    const fetched = await mkCi(['bundle', 'fetch', ...PARTS, '--from', made.folder, '--json'], { env });
    const path = join((JSON.parse(fetched.stdout) as typeof made).binaries, 'kwok');
    const content = await readFile(path);
    content[1_000_000] = (content[1_000_000] ?? 0) ^ 1;
    await writeFile(path, content);
    const verified = await mkCi(['bundle', 'verify', '--json'], { env });
    expect(verified.exitCode).toBe(38);
    expect(verified.stderr).toContain('bin/kwok');
    expect(verified.stderr).toContain('BND_CHECKSUM');
    expect(JSON.parse(verified.stdout)).toMatchObject([{ problems: [{ kind: 'changed', path: 'bin/kwok' }] }]);
  });

  it('builds once for two processes, the second says for whom it waits', async () => {
    await using other = await createTemporaryFolder();
    const env = envOf(other.path);
    const first = startMkCi(['bundle', 'build', ...PARTS], { env });
    while ((await namesIn(join(other.path, 'cache', 'bundles', '.locks'))).length === 0) {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    // Held up, so that the second one surely waits for long enough to say so; a stopped process is alive.
    first.signal('SIGSTOP');
    const second = startMkCi(['bundle', 'build', ...PARTS], { env });
    await second.sees(`waiting: for process ${first.pid}`);
    first.signal('SIGCONT');
    expect((await Promise.all([first.ended, second.ended])).map(({ exitCode }) => exitCode)).toEqual([0, 0]);
    expect(second.stdout()).toBe(first.stdout());
    expect(first.stderr() + second.stderr()).toMatch(/kwok built from Go modules/);
    expect((first.stderr() + second.stderr()).match(/kwok built from Go modules/g)).toHaveLength(1);
  });

  it('leaves no half bundle and no compiler when interrupted', async () => {
    await using other = await createTemporaryFolder();
    const build = startMkCi(['bundle', 'build', ...PARTS], { env: envOf(other.path) });
    while (buildsOf(build.pid) === 0) await new Promise((resolve) => setTimeout(resolve, 10));
    build.signal('SIGINT');
    expect((await build.ended).exitCode).toBe(130);
    expect(buildsOf(build.pid)).toBe(0);
    expect(await bundleNames(other.path)).toEqual([]);
    expect(await namesIn(join(other.path, 'cache', 'bundles', '.work'))).toEqual([]);
    expect(await namesIn(join(other.path, 'cache', 'bundles', '.locks'))).toEqual([]);
  });

  it('cleans up after a build that was killed, and takes its lock over', async () => {
    await using other = await createTemporaryFolder();
    const env = envOf(other.path);
    const build = startMkCi(['bundle', 'build', ...PARTS], { env });
    while (buildsOf(build.pid) === 0) await new Promise((resolve) => setTimeout(resolve, 10));
    build.signal('SIGKILL');
    await build.ended;
    expect(await bundleNames(other.path)).toEqual([]);
    expect(await namesIn(join(other.path, 'cache', 'bundles', '.locks'))).toHaveLength(1);
    const next = await mkCi(['bundle', 'build', ...PARTS], { env });
    expect(next.exitCode).toBe(0);
    expect(buildsOf(build.pid)).toBe(0);
    expect(await bundleNames(other.path)).toHaveLength(1);
    expect(await namesIn(join(other.path, 'cache', 'bundles', '.work'))).toEqual([]);
    expect(await namesIn(join(other.path, 'cache', 'bundles', '.locks'))).toEqual([]);
  });
});

describe('mk-ci bundle without any source', () => {
  it('says of each source why it failed and what to do, quickly', async () => {
    await using home = await createTemporaryFolder();
    const env = {
      ...envOf(home.path),
      PATH: '/nonexistent',
      // A port where nobody listens, as proxy: no release server is reached, whatever network the host has.
      HTTPS_PROXY: 'http://127.0.0.1:59999',
      https_proxy: 'http://127.0.0.1:59999',
      no_proxy: '',
      NO_PROXY: '',
    };
    const startedAt = performance.now();
    const { exitCode, stdout, stderr } = await mkCi(['bundle', 'build'], { env });
    expect(performance.now() - startedAt).toBeLessThan(20_000);
    expect({ exitCode, stdout }).toEqual({ exitCode: 39, stdout: '' });
    expect(stderr).toContain('BND_NO_SOURCE');
    for (const source of ['cache ', 'mirror: none given', 'release downloads: ', 'Go modules: Go is not installed']) {
      expect(stderr).toContain(source);
    }
    expect(stderr).toContain('go.dev/dl');
    expect(stderr).not.toMatch(/^\s+at /m);
  });
});

describe('extractFromTarGz', () => {
  it('reads what the tar of this host writes', async () => {
    await using folder = await createTemporaryFolder();
    const content = 'x'.repeat(100_000);
    execFileSync('mkdir', ['-p', join(folder.path, 'etcd-v3.6.8-linux-amd64')]);
    await writeFile(join(folder.path, 'etcd-v3.6.8-linux-amd64', 'etcd'), content, { mode: 0o755 });
    const tar = execFileSync('tar', ['-C', folder.path, '-cf', '-', 'etcd-v3.6.8-linux-amd64']);
    await writeFile(join(folder.path, 'a.tar.gz'), gzipSync(tar));
    const to = join(folder.path, 'etcd');
    await extractFromTarGz(
      join(folder.path, 'a.tar.gz'),
      'etcd-v3.6.8-linux-amd64/etcd',
      to,
      new AbortController().signal,
    );
    expect(await readFile(to, 'utf8')).toBe(content);
    expect((await stat(to)).mode & 0o777).toBe(0o755);
  });
});
