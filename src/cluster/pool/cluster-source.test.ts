import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import { MkCiError } from '../../errors.js';
import { createTemporaryFolder, type TemporaryFolder } from '../../files.js';
import { silentLogger } from '../../log.js';
import type { ClusterSource, ClusterSpec, ClusterStatus, RunningCluster } from '../cluster.js';
import { clusterFolder } from '../folder.js';
import type { SeedableClusterManager } from '../manager.js';
import { createTemplates } from '../templates/index.js';
import { clusterName, createClusterSource, type ClusterSourceOptions, type SpecWithoutName } from './cluster-source.js';

const SPEC: SpecWithoutName = { driver: 'local', kubernetesVersion: 'v1.36.3', nodes: 1 };
const { signal } = new AbortController();

/** A manager whose clusters are folders: it notes every call and whether a start found data. */
function fakeManager(stateFolder: string) {
  const calls: string[] = [];
  const failing = new Set<string>();
  const check = (call: string): void => {
    calls.push(call);
    if (failing.has(call) || failing.has(call.split(' ')[0]!)) throw new MkCiError('DRV_FAILED', { message: call });
  };
  const running = (spec: ClusterSpec): RunningCluster => ({
    name: spec.name,
    spec,
    server: 'https://127.0.0.1:1',
    kubeconfig: '',
    binaries: '',
    saveLogs: async () => undefined,
    exec: async () => {
      throw new Error('not used');
    },
  });
  const unused = async (): Promise<never> => {
    throw new Error('not used');
  };
  const status = (name: string): ClusterStatus => ({
    ...{ name, driver: 'local', kubernetesVersion: 'v1.36.3', state: 'running', kubeconfig: '', nodes: 1 },
    ...{ createdAt: '', components: [] },
  });
  const manager: SeedableClusterManager = {
    validate: () => undefined,
    start: async (spec, { seed, owner }) => {
      const paths = clusterFolder(stateFolder, spec.name);
      const { etcd, pki } = paths;
      const isSeeded = (await seed?.copyTo({ etcd, pki })) ?? false;
      if (isSeeded) await seed?.check(signal);
      check(`start ${spec.name} ${owner === undefined ? 'kept' : isSeeded ? 'seeded' : 'cold'}`);
      await mkdir(etcd, { recursive: true });
      await mkdir(pki, { recursive: true });
      await writeFile(join(etcd, 'db'), 'x');
      await writeFile(join(pki, 'ca.crt'), 'x');
      return running(spec);
    },
    delete: async (name) => {
      check(`delete ${name}`);
      await rm(clusterFolder(stateFolder, name).folder, { recursive: true, force: true });
    },
    pause: async (name) => {
      check(`pause ${name}`);
    },
    unpause: async (name) => {
      check(`unpause ${name}`);
      return running({ ...SPEC, name });
    },
    refresh: async (name) => {
      check(`refresh ${name}`);
    },
    status: async (name) => status(name),
    stop: async (name) => {
      check(`stop ${name}`);
    },
    get: unused,
    list: unused,
    check: unused,
    saveLogs: unused,
    readState: async (name, _options, act) => {
      const { etcd, pki } = clusterFolder(stateFolder, name);
      return await act({ etcd, pki });
    },
    replaceState: unused,
  };
  return { manager, calls, failing };
}

describe('createClusterSource', () => {
  let temporary: TemporaryFolder;
  let fake: ReturnType<typeof fakeManager>;
  let source: ClusterSource;
  const open = (some: Partial<ClusterSourceOptions> = {}): ClusterSource => {
    return createClusterSource({
      manager: fake.manager,
      templates: createTemplates({ folder: join(temporary.path, 'templates'), now: () => new Date() }),
      owner: { runId: '20260824-abc123' },
      bundleDigest: async () => 'digest',
      settle: async () => undefined,
      log: silentLogger,
      pool: { min: 0, max: 0 },
      room: () => ({ fits: true, isIdle: true }),
      ...some,
    });
  };

  const called = async (call: string): Promise<void> => {
    await vi.waitFor(
      () => {
        expect(fake.calls).toContain(call);
      },
      { timeout: 15_000, interval: 2 },
    );
  };

  beforeEach(async () => {
    temporary = await createTemporaryFolder();
    fake = fakeManager(join(temporary.path, 'state'));
    source = open();
  });
  afterEach(async () => {
    await temporary[Symbol.asyncDispose]();
  });

  it('keeps the state of a shared cluster where starting cold takes long, for the next run', async () => {
    for (const kind of ['cold', 'seeded']) {
      await using one = open({ keepsShared: () => true });
      const lease = await one.acquire(SPEC, 'shared', { signal });
      expect(fake.calls.at(-1)).toMatch(new RegExp(`^start .* ${kind}$`));
      await lease[Symbol.asyncDispose]();
    }
  });

  it('starts a shared cluster once and removes it at the end', async () => {
    const leases = await Promise.all([1, 2].map(() => source.acquire(SPEC, 'shared', { signal })));
    expect(leases[0]!.cluster).toBe(leases[1]!.cluster);
    await leases[0]![Symbol.asyncDispose]();
    await source[Symbol.asyncDispose]();
    expect(fake.calls).toEqual(['start local-0824abc123-1 cold', 'delete local-0824abc123-1']);
  });

  it('starts fresh clusters from a template that the first one leaves', async () => {
    for (let round = 0; round < 3; round += 1) {
      await using _lease = await source.acquire(SPEC, 'fresh', { signal });
    }
    await source[Symbol.asyncDispose]();
    expect(fake.calls).toEqual([
      'start local-0824abc123-1 cold',
      'delete local-0824abc123-1',
      'start local-0824abc123-2 seeded',
      'delete local-0824abc123-2',
      'start local-0824abc123-3 seeded',
      'delete local-0824abc123-3',
    ]);
  });

  it('tells how long the first one took to leave it', async () => {
    const ended: string[] = [];
    for (let round = 0; round < 2; round += 1) {
      await using _lease = await source.acquire(SPEC, 'fresh', {
        signal,
        onPhase: ({ cluster, name, state }) => {
          if (state !== 'started') ended.push(`${cluster} ${name} ${state}`);
        },
      });
    }
    expect(ended).toEqual(['local-0824abc123-1 settle ok', 'local-0824abc123-1 template-save ok']);
  });

  it('starts without the template, and makes it again, when no cluster starts from it', async () => {
    await (await source.acquire(SPEC, 'fresh', { signal }))[Symbol.asyncDispose]();
    fake.failing.add('start local-0824abc123-2 seeded');
    for (let round = 0; round < 2; round += 1) {
      await (await source.acquire(SPEC, 'fresh', { signal }))[Symbol.asyncDispose]();
    }
    expect(fake.calls.filter((call) => call.startsWith('start'))).toEqual([
      'start local-0824abc123-1 cold',
      'start local-0824abc123-2 seeded',
      'start local-0824abc123-2 cold',
      'start local-0824abc123-3 seeded',
    ]);
  });

  it('waits until others leave room, and blames no template for it', async () => {
    await (await source.acquire(SPEC, 'fresh', { signal }))[Symbol.asyncDispose]();
    let shortages = 2;
    const start: SeedableClusterManager['start'] = async (spec, call) => {
      const cluster = await fake.manager.start(spec, call);
      shortages -= 1;
      if (shortages < 0) return cluster;
      await rm(clusterFolder(join(temporary.path, 'state'), spec.name).folder, { recursive: true });
      throw new MkCiError('HOST_RESOURCES', { message: 'others', details: { inotify: {} } });
    };
    await using busy = open({ manager: { ...fake.manager, start }, roomPauseMs: 1 });
    const lease = await busy.acquire(SPEC, 'fresh', {
      signal,
      onStartFailed: async () => {
        throw new Error('failed');
      },
    });
    await lease[Symbol.asyncDispose]();
    expect(fake.calls.slice(2)).toEqual([
      ...Array.from({ length: 3 }, () => 'start local-0824abc123-1 seeded'),
      'delete local-0824abc123-1',
    ]);
  });

  it('does without templates where the driver can not start from data', async () => {
    source = open({ bundleDigest: async () => undefined });
    for (let round = 0; round < 2; round += 1) await source.acquire(SPEC, 'fresh', { signal });
    expect(fake.calls.filter((call) => call.startsWith('start')).map((call) => call.split(' ')[2])).toEqual([
      'cold',
      'cold',
    ]);
  });

  it('takes a prepared cluster by unpausing it, and removes the unused ones', async () => {
    source = open({ pool: { min: 1, max: 1 } });
    await source.acquire(SPEC, 'fresh', { signal });
    await called('pause local-0824abc123-2');
    const { cluster } = await source.acquire(SPEC, 'fresh', { signal });
    expect(fake.calls).toContain('pause local-0824abc123-2');
    expect(cluster.name).toBe('local-0824abc123-2');
    await called('pause local-0824abc123-3');
    await source[Symbol.asyncDispose]();
    expect(fake.calls.filter((call) => call.startsWith('delete')).sort()).toEqual([
      'delete local-0824abc123-1',
      'delete local-0824abc123-2',
      'delete local-0824abc123-3',
    ]);
  });

  it('starts another when a prepared cluster does not continue', async () => {
    source = open({ pool: { min: 1, max: 1 } });
    await source.acquire(SPEC, 'fresh', { signal });
    await called('pause local-0824abc123-2');
    fake.failing.add('unpause');
    const { cluster } = await source.acquire(SPEC, 'fresh', { signal });
    expect(cluster.name).toBe('local-0824abc123-3');
    expect(fake.calls).toContain('delete local-0824abc123-2');
  });

  it('removes what a failed start left and reports the start, not the removal', async () => {
    fake.failing.add('start');
    await expect(source.acquire(SPEC, 'fresh', { signal })).rejects.toThrow(/start local/);
    expect(fake.calls.at(-1)).toBe('delete local-0824abc123-1');
    fake.failing.clear();
    expect((await source.acquire(SPEC, 'shared', { signal })).cluster.name).toBe('local-0824abc123-2');
  });

  it('keeps a cluster by starting it again without an owner, and does not remove it at the end', async () => {
    const lease = await source.acquire(SPEC, 'fresh', { signal });
    await lease.keep?.();
    await source[Symbol.asyncDispose]();
    expect(fake.calls.slice(1)).toEqual(['stop local-0824abc123-1', 'start local-0824abc123-1 kept']);
  });

  it('removes all it can and names the rest', async () => {
    await source.acquire(SPEC, 'fresh', { signal });
    await source.acquire({ ...SPEC, nodes: 2 }, 'shared', { signal });
    fake.failing.add('delete');
    await expect(source[Symbol.asyncDispose]()).rejects.toMatchObject({ errors: [{}, {}] });
  });
});

describe('clusterName', () => {
  it('is a valid name for any spec and run', () => {
    const spec = { ...SPEC, driver: 'A very long driver name indeed', containerRuntime: 'containerd!' };
    for (const runId of ['2026-08-24T10:00:00.123Z', '###', 'x'.repeat(100), '']) {
      expect(clusterName(spec, runId, 123)).toMatch(/^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$/);
    }
    expect(clusterName(SPEC, 'run-1', 2)).toBe('local-run1-2');
  });
});
