import { appendFile, chmod, mkdir, readdir, readFile, rename, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import { MkCiError } from '../../errors.js';
import { exec } from '../../exec.js';
import { createTemporaryFolder, type TemporaryFolder } from '../../files.js';
import { silentLogger } from '../../log.js';
import type { BundlePart, BundleStep } from './bundle.js';
import { createBundleStore, type BundleStoreOptions, type ManagedBundleStore } from './store.js';
import {
  createFakeGo,
  fakeProgram,
  releaseFiles,
  releaseServersAt,
  sha256Of,
  startLoopbackServer,
  TEST_PLATFORM,
  writeTree,
  type FakeGoOptions,
  type LoopbackServer,
} from './testing/rig.js';

const VERSION = 'v1.36.3';
/** Below the ports that the kernel gives to anybody, and not on the list of those that `fetch` refuses. */
const NOBODY = 'http://127.0.0.1:2';

const WAIT = { timeout: 15_000, interval: 5 };
const never = new AbortController().signal;

let home: TemporaryFolder;
let bundles: string;
beforeEach(async () => {
  home = await createTemporaryFolder();
  bundles = join(home.path, 'cache', 'bundles');
});
afterEach(async () => {
  await home[Symbol.asyncDispose]();
});

function storeWith(options: Partial<BundleStoreOptions> = {}, go: Partial<FakeGoOptions> = {}): ManagedBundleStore {
  return createBundleStore({
    cacheFolder: join(home.path, 'cache'),
    exec: createFakeGo({ folder: join(home.path, 'modules'), ...go }),
    log: silentLogger,
    env: {},
    releaseServers: releaseServersAt(NOBODY),
    platform: TEST_PLATFORM,
    http: { connectTimeoutMs: 10_000, silenceMs: 10_000 },
    cores: 2,
    ...options,
  });
}

function wanting(parts: readonly BundlePart[] = ['control-plane'], steps: BundleStep[] = []) {
  return { parts, signal: never, onStep: (step: BundleStep) => void steps.push(step) };
}

/** Bundles in the cache; everything else there begins with a dot. */
async function bundleNames(): Promise<string[]> {
  return (await readdir(bundles).catch(() => [])).filter((name) => !name.startsWith('.'));
}

async function errorOf(promise: Promise<unknown>): Promise<MkCiError> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof MkCiError) return error;
    throw error;
  }
  throw new Error('nothing was thrown');
}

async function serverWithReleases(): Promise<LoopbackServer> {
  return await startLoopbackServer(releaseFiles(VERSION));
}

describe('ensure with Go', () => {
  it('builds what no release server gives, and says why each source was left out', async () => {
    const steps: BundleStep[] = [];
    const bundle = await storeWith().ensure(VERSION, wanting(['control-plane', 'fake-nodes'], steps));
    expect(await readFile(bundle.path('kubectl'), 'utf8')).toContain(`Client Version: ${VERSION}`);
    expect((await stat(bundle.path('etcd'))).mode & 0o777).toBe(0o755);
    expect(bundle.binaries).toBe(join(bundle.folder, 'bin'));
    expect(await bundleNames()).toEqual([`${VERSION}-linux-amd64-${bundle.digest.slice(0, 8)}`]);
    expect(steps.find(({ state }) => state === 'skipped')).toMatchObject({
      name: 'release downloads',
      message: expect.stringContaining('connection refused') as string,
    });
    expect(await readdir(join(bundles, '.work'))).toEqual([]);
    expect(await readdir(join(bundles, '.locks'))).toEqual([]);
  });

  it('neutralises the flags of the user and stamps the version', async () => {
    const calls: NonNullable<FakeGoOptions['calls']> = [];
    await storeWith(
      { env: { GOFLAGS: '-tags=evil', CGO_ENABLED: '1', GOPROXY: 'https://proxy.example' } },
      { calls },
    ).ensure(VERSION, wanting());
    for (const { env } of calls) {
      expect(env).toMatchObject({
        GOFLAGS: '-mod=mod',
        CGO_ENABLED: '0',
        GOTOOLCHAIN: 'local',
        GOWORK: 'off',
        GOPROXY: 'https://proxy.example',
      });
    }
    const builds = calls.map(({ argv }) => argv.join(' ')).filter((line) => line.startsWith('go build'));
    expect(builds).toHaveLength(2);
    expect(builds[0]).toContain('-X k8s.io/component-base/version.gitVersion=v1.36.3');
    expect(builds[0]).toContain('k8s.io/kubernetes/cmd/kube-apiserver');
    expect(builds[0]).toContain('k8s.io/kubernetes/cmd/kubectl');
  });

  it('answers from the cache without asking anybody', async () => {
    const first = await storeWith().ensure(VERSION, wanting());
    const calls: NonNullable<FakeGoOptions['calls']> = [];
    const second = await storeWith({}, { calls }).ensure(VERSION, wanting());
    expect(second.folder).toBe(first.folder);
    expect(calls).toEqual([]);
  });

  it('grows a bundle by a part, builds only that, and leaves the old one to those who use it', async () => {
    const small = await storeWith().ensure(VERSION, wanting());
    const calls: NonNullable<FakeGoOptions['calls']> = [];
    const large = await storeWith({}, { calls }).ensure(VERSION, wanting(['fake-nodes']));
    expect(calls.filter(({ argv }) => argv[1] === 'build')).toHaveLength(1);
    expect(large.path('etcd')).not.toBe(small.path('etcd'));
    expect((await stat(large.path('etcd'))).ino).toBe((await stat(small.path('etcd'))).ino);
    expect(await bundleNames()).toHaveLength(2);
    expect(() => small.path('kwok')).toThrow(expect.objectContaining({ code: 'BND_NO_SOURCE' }));
    expect(large.digest).not.toBe(small.digest);
    const same = await storeWith().ensure(VERSION, wanting());
    expect([same.folder, same.digest]).toEqual([large.folder, small.digest]);
  });

  it('shares one build between callers that come at the same time', async () => {
    const calls: NonNullable<FakeGoOptions['calls']> = [];
    const steps: BundleStep[] = [];
    const waiting = (): BundleStep[] => steps.filter(({ name, state }) => name === 'waiting' && state === 'started');
    // The build lasts until all others wait for it.
    const duringBuild = async (): Promise<void> => {
      await vi.waitFor(() => {
        expect(waiting()).toHaveLength(3);
      }, WAIT);
    };
    const found = await Promise.all(
      Array.from({ length: 4 }, () =>
        storeWith({}, { calls, duringBuild }).ensure(VERSION, wanting(['fake-nodes'], steps)),
      ),
    );
    expect(new Set(found.map(({ folder }) => folder)).size).toBe(1);
    expect(calls.filter(({ argv }) => argv[1] === 'build')).toHaveLength(1);
    expect(waiting()[0]?.message).toContain(`process ${process.pid}`);
  });

  it('leaves no bundle when interrupted, and later builds only what was not finished', async () => {
    const abort = new AbortController();
    let builds = 0;
    const duringBuild = async (): Promise<void> => {
      builds += 1;
      if (builds === 2) abort.abort(new Error('interrupted'));
    };
    const store = storeWith({}, { duringBuild });
    await expect(store.ensure(VERSION, { parts: ['control-plane'], signal: abort.signal })).rejects.toThrow(
      'interrupted',
    );
    expect(await bundleNames()).toEqual([]);
    expect(await readdir(join(bundles, '.work'))).toEqual([]);
    const calls: NonNullable<FakeGoOptions['calls']> = [];
    await storeWith({}, { calls }).ensure(VERSION, wanting());
    expect(calls.filter(({ argv }) => argv[1] === 'build').map(({ argv }) => argv.at(-1))).toEqual([
      'go.etcd.io/etcd/server/v3',
    ]);
  });

  it('cleans up after a process that was killed in the middle', async () => {
    const work = join(bundles, '.work', '4000000-1-00000000-abcd');
    await mkdir(join(work, 'bundle', 'bin'), { recursive: true });
    await mkdir(join(bundles, '.locks'), { recursive: true });
    const dead = { pid: 4_000_000, startedAt: '1@00000000', purpose: 'x', since: '2026-11-21T10:00:00Z', token: 'a' };
    await writeFile(join(bundles, '.locks', `${VERSION}-linux-amd64.lock`), JSON.stringify(dead));
    await storeWith().ensure(VERSION, { ...wanting(), signal: AbortSignal.timeout(15_000) });
    expect(await readdir(join(bundles, '.work'))).toEqual([]);
    expect(await readdir(join(bundles, '.locks'))).toEqual([]);
  });

  it('says that the compiler failed, with its last lines and the log', async () => {
    const store = storeWith(
      {},
      { fail: (argv) => (argv[1] === 'build' ? { stderr: 'x.go:1: undefined: y\n', exitCode: 1 } : undefined) },
    );
    const error = await errorOf(store.ensure(VERSION, wanting()));
    expect(error.code).toBe('BND_BUILD_FAILED');
    expect(error.details['output']).toContain('undefined: y');
    expect(await readFile(String(error.details['logFile']), 'utf8')).toContain('$ go build');
  });

  it('calls a full disk by its name when the compiler meets it', async () => {
    const stderr = 'write /tmp/x: no space left on device\n';
    for (const step of ['build', 'list', 'mod']) {
      const store = storeWith({}, { fail: (argv) => (argv[1] === step ? { stderr, exitCode: 1 } : undefined) });
      expect((await errorOf(store.ensure(VERSION, wanting()))).code).toBe('HOST_DISK_FULL');
    }
  });
});

describe('ensure with no source', () => {
  it('lists each source, why it failed, and what to install', async () => {
    const noGo = createFakeGo({ folder: home.path });
    const store = storeWith({
      from: join(home.path, 'nowhere'),
      exec: async (argv, options) => {
        if (argv[0] === 'go') throw new MkCiError('HOST_MISSING_TOOL', { message: 'go (not found)' });
        return await noGo(argv, options);
      },
    });
    const error = await errorOf(store.ensure(VERSION, wanting()));
    expect(error.code).toBe('BND_NO_SOURCE');
    const problems = (error.details['problems'] as string[]).join('\n');
    expect(problems).toMatch(/^cache .*: has no kube-apiserver, .* for v1\.36\.3$/m);
    expect(problems).toMatch(/^mirror .*nowhere: /m);
    expect(problems).toMatch(/^release downloads: 127\.0\.0\.1:2: connection refused/m);
    expect(problems).toMatch(/^Go modules: Go is not installed$/m);
    expect(error.advice).toContain('go.dev/dl');
    expect(error.advice).toContain('--from');
    expect(await bundleNames()).toEqual([]);
  });

  it('says that Go is too old', async () => {
    const error = await errorOf(storeWith({}, { goVersion: 'go1.24.1' }).ensure(VERSION, wanting()));
    expect(JSON.stringify(error.details['problems'])).toContain('Go 1.26.0 or newer is needed, 1.24.1 is installed');
  });

  it('says which module could not be fetched', async () => {
    const fail: FakeGoOptions['fail'] = (argv) =>
      argv[1] === 'mod'
        ? { stderr: 'go: k8s.io/kubernetes@v1.36.3: dial tcp: lookup proxy.golang.org: no such host\n', exitCode: 1 }
        : undefined;
    const error = await errorOf(storeWith({}, { fail }).ensure(VERSION, wanting()));
    expect(JSON.stringify(error.details['problems'])).toContain('lookup proxy.golang.org: no such host');
  });

  it('mentions the sources that were not asked for', async () => {
    const error = await errorOf(storeWith({ sources: ['mirror', 'release'] }).ensure(VERSION, wanting()));
    expect(JSON.stringify(error.details['problems'])).toContain('Go modules: not asked for');
  });

  it('refuses what is no version before anything else', async () => {
    expect((await errorOf(storeWith().ensure('1.36', wanting()))).code).toBe('BND_UNKNOWN_VERSION');
  });
});

describe('ensure with release downloads', () => {
  it('gets all programs with their published sums', async () => {
    await using server = await serverWithReleases();
    const store = storeWith({ releaseServers: releaseServersAt(server.origin), sources: ['release'] });
    const bundle = await store.ensure(VERSION, wanting(['control-plane', 'fake-nodes']));
    expect(await readFile(bundle.path('etcd'), 'utf8')).toContain('etcd Version: 3.6.8');
    expect(await readFile(bundle.path('kwok'), 'utf8')).toContain('kwok version v0.8.0');
    const [entry] = await store.list();
    const files = entry && 'manifest' in entry ? entry.manifest.files : [];
    expect(files.every(({ source }) => source.kind === 'release')).toBe(true);
    expect(files.find(({ name }) => name === 'kubectl')?.sha256).toBe(sha256Of(fakeProgram('kubectl', VERSION)));
    expect((await store.verify(undefined, { signal: never }))[0]?.problems).toEqual([]);
  });

  it('refuses a program when the published sum lies', async () => {
    await using server = await serverWithReleases();
    server.files.set(`release/${VERSION}/bin/linux/amd64/kubectl`, Buffer.from('evil'));
    const error = await errorOf(
      storeWith({ releaseServers: releaseServersAt(server.origin) }).ensure(VERSION, wanting()),
    );
    expect(error.code).toBe('BND_CHECKSUM');
    expect(error.message).toContain('/bin/linux/amd64/kubectl');
    expect(await bundleNames()).toEqual([]);
  });

  it('builds from Go what the server does not have', async () => {
    await using server = await serverWithReleases();
    for (const path of server.files.keys()) if (path.includes('etcd')) server.files.delete(path);
    const store = storeWith({ releaseServers: releaseServersAt(server.origin) });
    await store.ensure(VERSION, wanting());
    const [entry] = await store.list();
    const kinds =
      entry && 'manifest' in entry ? entry.manifest.files.map(({ name, source }) => `${name} ${source.kind}`) : [];
    expect(kinds).toContain('etcd go');
    expect(kinds).toContain('kubectl release');
  });

  it('takes no file whose sum nobody published', async () => {
    await using server = await serverWithReleases();
    server.files.set(`release/${VERSION}/bin/linux/amd64/kubectl.sha256`, Buffer.from('<html>try later</html>'));
    const store = storeWith({ releaseServers: releaseServersAt(server.origin), sources: ['release'] });
    const error = await errorOf(store.ensure(VERSION, wanting()));
    expect(JSON.stringify(error.details['problems'])).toContain('gives no sha256 for kubectl');
  });

  it('keeps what it got when the server dies, and gets only the rest the next time', async () => {
    await using server = await serverWithReleases();
    const apiserver = `release/${VERSION}/bin/linux/amd64/kube-apiserver`;
    server.faults.set(apiserver, [{ kind: 'status', status: 404 }]);
    const options = { releaseServers: releaseServersAt(server.origin), sources: ['release'] as const };
    expect((await errorOf(storeWith(options).ensure(VERSION, wanting()))).code).toBe('BND_NO_SOURCE');
    server.requests.length = 0;
    await storeWith(options).ensure(VERSION, wanting());
    expect(server.requests.map(({ path }) => path)).toEqual([`${apiserver}.sha256`, apiserver]);
  });
});

describe('ensure with a mirror', () => {
  it('takes a bundle of another cache, as folder, as cache and as server', async () => {
    const made = await storeWith().ensure(VERSION, wanting());
    const away = join(home.path, 'away');
    await rename(join(home.path, 'cache'), away);
    const bundle = join(away, 'bundles', made.folder.slice(made.folder.lastIndexOf('/') + 1));
    for (const from of [bundle, join(away, 'bundles'), away]) {
      const copied = await storeWith({ from, sources: ['mirror'] }).ensure(VERSION, wanting());
      expect(copied.digest).toBe(made.digest);
      await rm(join(home.path, 'cache'), { recursive: true });
    }
    const files = new Map<string, Buffer>();
    for (const path of ['manifest.json', ...(await readdir(join(bundle, 'bin'))).map((name) => `bin/${name}`)]) {
      files.set(path, await readFile(join(bundle, path)));
    }
    await using server = await startLoopbackServer(files);
    const fetched = await storeWith({ from: `${server.origin}/`, sources: ['mirror'] }).ensure(VERSION, wanting());
    expect(fetched.digest).toBe(made.digest);
  });

  it('refuses a file of the bundle that was changed', async () => {
    const made = await storeWith().ensure(VERSION, wanting());
    const away = join(home.path, 'away');
    await rename(join(home.path, 'cache'), away);
    const folder = made.folder.replace(join(home.path, 'cache'), away);
    await appendFile(join(folder, 'bin', 'etcd'), 'x');
    const error = await errorOf(storeWith({ from: folder }).ensure(VERSION, wanting()));
    expect(error.code).toBe('BND_CHECKSUM');
    expect(error.message).toContain('bin/etcd');
  });

  it('takes a copy of the release servers, as folder and as server', async () => {
    const folder = join(home.path, 'mirror');
    await writeTree(folder, releaseFiles(VERSION));
    const parts: BundlePart[] = ['control-plane', 'fake-nodes'];
    const copied = await storeWith({ from: folder, sources: ['mirror'] }).ensure(VERSION, wanting(parts));
    await rm(join(home.path, 'cache'), { recursive: true });
    await using server = await serverWithReleases();
    const fetched = await storeWith({ from: server.origin, sources: ['mirror'] }).ensure(VERSION, wanting(parts));
    expect(fetched.digest).toBe(copied.digest);
  });

  it('takes bare programs of a folder that tell the right version', async () => {
    const folder = join(home.path, 'programs');
    const names = ['kube-apiserver', 'kube-controller-manager', 'kube-scheduler', 'kubectl'];
    await writeTree(folder, new Map(names.map((name) => [`bin/${name}`, fakeProgram(name, VERSION)])));
    await writeTree(folder, new Map([['etcd', fakeProgram('etcd', 'v3.6.5')]]));
    const store = storeWith({ env: { MK_CI_BUNDLE_FROM: folder }, sources: ['mirror'], exec });
    await store.ensure(VERSION, wanting());
    const [entry] = await store.list();
    const files = entry && 'manifest' in entry ? entry.manifest.files : [];
    expect(files.find(({ name }) => name === 'etcd')).toMatchObject({ version: 'v3.6.5', source: { kind: 'folder' } });

    await writeTree(folder, new Map([['bin/kubectl', fakeProgram('kubectl', 'v1.30.0')]]));
    await rm(join(home.path, 'cache'), { recursive: true });
    const error = await errorOf(store.ensure(VERSION, wanting()));
    expect(JSON.stringify(error.details['problems'])).toContain('bin/kubectl is v1.30.0');
  });

  it('goes on to the next source when the mirror has another version', async () => {
    await storeWith().ensure(VERSION, wanting());
    const away = join(home.path, 'away');
    await rename(join(home.path, 'cache'), away);
    const [name] = await readdir(join(away, 'bundles')).then((names) => names.filter((entry) => entry.startsWith('v')));
    const steps: BundleStep[] = [];
    const bundle = await storeWith({ from: join(away, 'bundles', name!) }).ensure(
      'v1.35.4',
      wanting(['control-plane'], steps),
    );
    expect(bundle.kubernetesVersion).toBe('v1.35.4');
    expect(steps.find(({ state }) => state === 'skipped')?.message).toBe('holds v1.36.3');
  });
});

describe('a bundle in the cache', () => {
  it('is refused when a file was changed, naming the file', async () => {
    const bundle = await storeWith().ensure(VERSION, wanting());
    const path = bundle.path('kubectl');
    const content = await readFile(path);
    content[100] = content[100]! ^ 1;
    await writeFile(path, content);
    await utimes(path, 1, 1);
    const error = await errorOf(storeWith().ensure(VERSION, wanting()));
    expect(error.code).toBe('BND_CHECKSUM');
    expect(error.message).toContain(path);
  });

  it('is used when only times or modes were lost, and put right', async () => {
    const bundle = await storeWith().ensure(VERSION, wanting());
    const before = await stat(bundle.path('kubectl'));
    await utimes(bundle.path('kubectl'), 1, 1);
    await chmod(bundle.path('etcd'), 0o644);
    expect((await storeWith().ensure(VERSION, wanting())).folder).toBe(bundle.folder);
    expect((await stat(bundle.path('kubectl'))).mtimeMs).toBe(before.mtimeMs);
    expect((await stat(bundle.path('etcd'))).mode & 0o777).toBe(0o755);
  });

  it('is made again when a file is missing', async () => {
    const bundle = await storeWith().ensure(VERSION, wanting());
    await rm(bundle.path('kubectl'));
    const again = await storeWith({ sources: [] }).ensure(VERSION, wanting());
    expect(again.folder).toBe(bundle.folder);
    expect((await storeWith().verify(VERSION, { signal: never }))[0]?.problems).toEqual([]);
  });

  it('is built anew after deletion when the flipped byte is in the finished file too', async () => {
    const bundle = await storeWith().ensure(VERSION, wanting());
    const content = await readFile(bundle.path('etcd'));
    content[50] = content[50]! ^ 1;
    const { mtime } = await stat(bundle.path('etcd'));
    await writeFile(bundle.path('etcd'), content);
    await utimes(bundle.path('etcd'), mtime, mtime);
    await storeWith().delete(VERSION, { dryRun: false });
    const again = await storeWith().ensure(VERSION, wanting());
    expect((await storeWith().verify(VERSION, { signal: never }))[0]?.problems).toEqual([]);
    expect(again.digest).toBe(bundle.digest);
  });

  it('shows verify a flipped byte, a missing, a foreign and a not executable file', async () => {
    const bundle = await storeWith().ensure(VERSION, wanting());
    const content = await readFile(bundle.path('kubectl'));
    content[100] = content[100]! ^ 1;
    await writeFile(bundle.path('kubectl'), content);
    await rm(bundle.path('etcd'));
    await writeFile(join(bundle.binaries, 'extra'), '');
    await chmod(bundle.path('kube-scheduler'), 0o644);
    const [result] = await storeWith().verify(VERSION, { signal: never });
    expect(result?.problems.map(({ kind, path }) => `${kind} ${path}`).sort()).toEqual([
      'changed bin/kubectl',
      'foreign bin/extra',
      'missing bin/etcd',
      'mode bin/kube-scheduler',
    ]);
  });

  it('without a readable manifest is listed as broken and left out', async () => {
    await mkdir(join(bundles, `${VERSION}-linux-amd64-00000000`), { recursive: true });
    const store = storeWith();
    expect((await store.list())[0]).toMatchObject({ problem: 'no manifest.json' });
    await store.ensure(VERSION, wanting());
    expect((await store.prune({ dryRun: true })).map(({ why }) => why)).toEqual(['broken: no manifest.json']);
  });
});

describe('delete and prune', () => {
  it('remove what they list, and a dry run removes nothing', async () => {
    const store = storeWith();
    await store.ensure(VERSION, wanting());
    const listed = await store.delete(VERSION, { dryRun: true });
    expect(await bundleNames()).toHaveLength(1);
    const removed = await store.delete(VERSION, { dryRun: false });
    expect(removed).toEqual(listed);
    expect(await bundleNames()).toEqual([]);
    // etcd stays for other versions, so only the four programs of Kubernetes and the manifest are free.
    const freed = removed.reduce((sum, { freedBytes }) => sum + freedBytes, 0);
    expect(freed).toBeGreaterThan(4 * 4000);
    expect(freed).toBeLessThan(5 * 4000 + 8000);
    expect(await store.delete(VERSION, { dryRun: false })).toEqual([]);
  });

  it('prune removes bundles that a larger one replaced', async () => {
    const store = storeWith();
    const small = await store.ensure(VERSION, wanting());
    const large = await store.ensure(VERSION, wanting(['fake-nodes']));
    expect((await store.prune({ dryRun: false })).map(({ path }) => path)).toEqual([small.folder]);
    expect((await store.verify(VERSION, { signal: never })).map(({ folder, problems }) => [folder, problems])).toEqual([
      [large.folder, []],
    ]);
  });

  it('do not take a release candidate for the release', async () => {
    const store = storeWith();
    await store.ensure('v1.37.0-rc.1', wanting());
    expect(await store.delete('v1.37.0', { dryRun: false })).toEqual([]);
    expect(await store.delete('v1.37.0-rc.1', { dryRun: false })).not.toEqual([]);
  });
});

describe('a cache that can not be written', () => {
  it('is called by its name', async () => {
    await writeFile(join(home.path, 'cache'), 'a file where the folder should be');
    await expect(storeWith().ensure(VERSION, wanting())).rejects.toThrow();
  });
});
