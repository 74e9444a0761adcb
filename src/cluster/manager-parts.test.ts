import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';

import { isMkCiError } from '../errors.js';
import { createTemporaryFolder } from '../files.js';
import { identifySelf } from '../process.js';
import type { ClusterSpec } from './cluster.js';
import {
  checkClusterName,
  checkKubernetesVersion,
  clusterFolder,
  differencesOf,
  listClusterNames,
  readClusterRecord,
  readFolderOwnership,
  writeClusterRecord,
  type ClusterRecord,
} from './folder.js';
import { renderKubeconfig } from './kubeconfig.js';
import { acquireLock } from './lock.js';
import { createDeadline } from './phases.js';
import { notReadyNodes } from './readiness.js';
import { stateOf, statusOf } from './status.js';
import { initialState, nextState, type SupervisorState } from './supervisor/state.js';

const SPEC: ClusterSpec = { name: 'demo', driver: 'local', kubernetesVersion: 'v1.36.3', nodes: 1 };
const RECORD: ClusterRecord = {
  version: 1,
  spec: SPEC,
  createdAt: '2026-01-01T00:00:00.000Z',
  wanted: 'running',
  server: 'https://127.0.0.1:1',
  binaries: '/b',
};
const { signal } = new AbortController();

describe('names and versions', () => {
  it.each(['a', 'a-b', '0', 'a'.repeat(40)])('takes the cluster name %j', (name) => {
    expect(() => {
      checkClusterName(name);
    }).not.toThrow();
  });
  it.each(['', '-a', 'a-', 'A', 'a_b', 'a.b', '../x', 'a/b', 'a'.repeat(41), 'a\n'])(
    'refuses the cluster name %j',
    (name) => {
      expect(() => {
        checkClusterName(name);
      }).toThrow(/cluster name/);
    },
  );
  it.each(['1.36.3', 'v1.36', 'latest', 'v1.36.3; rm', ''])('refuses the version %j', (version) => {
    expect(() => {
      checkKubernetesVersion(version);
    }).toThrow(/version/);
  });
  it('takes release candidates', () => {
    expect(() => {
      checkKubernetesVersion('v1.37.0-rc.1');
    }).not.toThrow();
  });
});

describe('differencesOf', () => {
  it('does not mind the order of options, nor empty ones', () => {
    expect(
      differencesOf(
        { ...SPEC, options: { a: 1, b: { c: [1], d: 2 } } },
        { ...SPEC, options: { b: { d: 2, c: [1] }, a: 1 } },
      ),
    ).toEqual([]);
    expect(differencesOf(SPEC, { ...SPEC, options: {} })).toEqual([]);
  });
  it('names each field that differs', () => {
    expect(differencesOf(SPEC, { ...SPEC, nodes: 2, kubernetesVersion: 'v1.35.4' })).toEqual([
      'kubernetesVersion: has "v1.36.3", asked for "v1.35.4"',
      'nodes: has 1, asked for 2',
    ]);
  });
  it('names each option that differs, and does not repeat a manifest, which may hold secrets', () => {
    const options = { proxyMode: 'ipvs', addons: [{ manifest: `kind: Secret\ndata: { key: ${'a'.repeat(100)} }` }] };
    const other = { proxyMode: 'nftables', addons: [{ manifest: `kind: Secret\ndata: { key: ${'b'.repeat(100)} }` }] };
    expect(differencesOf({ ...SPEC, options }, { ...SPEC, options: other })).toEqual([
      'options.addons: has another value',
      'options.proxyMode: has "ipvs", asked for "nftables"',
    ]);
    expect(differencesOf({ ...SPEC, options: { cpus: 2 } }, SPEC)).toEqual(['options.cpus: has 2, asked for none']);
  });
  it('finds no difference between a spec and its copy through JSON', () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.jsonValue()), (options) => {
        const spec = { ...SPEC, options };
        expect(differencesOf(spec, JSON.parse(JSON.stringify(spec)) as ClusterSpec)).toEqual([]);
      }),
    );
  });
});

describe('records', () => {
  it('are read back as written, and tell gc whose they are', async () => {
    await using temporary = await createTemporaryFolder();
    const paths = clusterFolder(temporary.path, 'demo');
    expect(await readClusterRecord(paths)).toBeUndefined();
    expect(await listClusterNames(temporary.path)).toEqual([]);
    const record = { ...RECORD, runId: 'r', owner: identifySelf() };
    await writeClusterRecord(paths, record);
    expect(await readClusterRecord(paths)).toEqual(record);
    expect(await readFolderOwnership(paths.folder)).toEqual({
      cluster: 'demo',
      folder: paths.folder,
      runId: 'r',
      owner: identifySelf(),
    });
    expect(await listClusterNames(temporary.path)).toEqual(['demo']);
  });

  it('that are torn count as absent, so that delete can clean up', async () => {
    await using temporary = await createTemporaryFolder();
    const paths = clusterFolder(temporary.path, 'demo');
    await mkdir(paths.folder, { recursive: true });
    for (const text of ['', '{', 'null', '{"version":9}']) {
      await writeFile(paths.record, text);
      expect(await readClusterRecord(paths)).toBeUndefined();
    }
  });
});

describe('acquireLock', () => {
  it('is held by one at a time', async () => {
    await using temporary = await createTemporaryFolder();
    const options = { folder: join(temporary.path, 'l'), owner: identifySelf(), signal, timeoutMs: 15_000 };
    let holders = 0;
    await Promise.all(
      Array.from({ length: 6 }, async () => {
        await using _lock = await acquireLock(options);
        holders += 1;
        expect(holders).toBe(1);
        for (let turn = 0; turn < 20; turn += 1) await new Promise((resolve) => setImmediate(resolve));
        holders -= 1;
      }),
    );
    expect(await readdir(options.folder)).toEqual([]);
  });

  it('names the holder when it takes too long, and takes over from the dead', async () => {
    await using temporary = await createTemporaryFolder();
    const options = { folder: join(temporary.path, 'l'), owner: identifySelf(), signal, timeoutMs: 1 };
    await mkdir(options.folder);
    await writeFile(join(options.folder, '4194304~1@dead~00'), '');
    const waits: number[] = [];
    {
      await using _lock = await acquireLock(options);
      const error = await acquireLock({ ...options, onWait: ({ pid }) => waits.push(pid) }).catch(
        (thrown: unknown) => thrown,
      );
      expect(isMkCiError(error, 'HOST_LOCKED')).toBe(true);
      expect(waits).toEqual([process.pid]);
    }
    await using _again = await acquireLock(options);
  });
});

describe('stateOf', () => {
  const running = ['etcd'].reduce<SupervisorState>(
    (state, name) =>
      nextState(nextState(state, { type: 'started', name, process: { pid: 9, startedAt: '' } }), {
        type: 'ready',
        name,
        afterMs: 1,
      }),
    initialState({ pid: 1, startedAt: '' }, ['etcd']),
  );
  const ended = nextState(nextState(running, { type: 'ending' }), { type: 'ended' });

  it.each([
    ['running', RECORD, running, true],
    ['paused', { ...RECORD, wanted: 'paused' }, running, true],
    ['broken', RECORD, running, false],
    ['broken', { ...RECORD, wanted: 'paused' }, running, false],
    ['broken', undefined, undefined, false],
    ['broken', { ...RECORD, wanted: 'starting' }, undefined, false],
    ['broken', RECORD, nextState(running, { type: 'exited', name: 'etcd', how: 'x' }), true],
    ['starting', { ...RECORD, wanted: 'starting' }, initialState({ pid: 1, startedAt: '' }, ['etcd']), true],
    ['stopped', { ...RECORD, wanted: 'stopped' }, undefined, false],
    ['stopped', RECORD, ended, false],
  ] as const)('is %s', (expected, record, supervisor, isSupervisorAlive) => {
    expect(stateOf({ record, supervisor, isSupervisorAlive })).toBe(expected);
  });

  it('says of each component what became of it', () => {
    const paths = clusterFolder('/s', 'demo');
    const facts = { record: RECORD, supervisor: running, isSupervisorAlive: false };
    expect(statusOf('demo', paths, facts).components).toEqual([{ name: 'etcd', state: 'failed', restarts: 0 }]);
    expect(statusOf('demo', paths, { ...facts, isSupervisorAlive: true }).components).toEqual([
      { name: 'etcd', state: 'running', pid: 9, restarts: 0 },
    ]);
  });
});

describe('renderKubeconfig', () => {
  it('is read by a YAML parser as what went in, whatever the name', () => {
    fc.assert(
      fc.property(fc.string(), (name) => {
        const config = parse(
          renderKubeconfig({ name, server: 'https://127.0.0.1:1', ca: 'CA', certificate: 'C', key: 'K' }),
        ) as {
          'current-context': string;
          clusters: { name: string; cluster: Record<string, string> }[];
          users: { user: Record<string, string> }[];
        };
        expect(config['current-context']).toBe(name);
        expect(config.clusters[0]).toEqual({
          name,
          cluster: { server: 'https://127.0.0.1:1', 'certificate-authority-data': btoa('CA') },
        });
        expect(config.users[0]?.user).toEqual({ 'client-certificate-data': btoa('C'), 'client-key-data': btoa('K') });
      }),
    );
  });
});

describe('notReadyNodes', () => {
  const node = (name: string, status: string, taints: { key: string }[] = []): unknown => ({
    metadata: { name },
    spec: { taints },
    status: { conditions: [{ type: 'Ready', status }] },
  });
  it('says for each node what is missing', () => {
    const items = [node('a', 'True'), node('b', 'False'), node('c', 'True', [{ key: 'node.kubernetes.io/not-ready' }])];
    expect(notReadyNodes({ items }, ['a', 'b', 'c', 'd'])).toEqual([
      'b: Ready is False',
      'c: taint node.kubernetes.io/not-ready',
      'd: does not exist',
    ]);
    expect(notReadyNodes({ items: [node('a', 'True', [{ key: 'own' }])] }, ['a'])).toEqual([]);
  });
});

describe('createDeadline', () => {
  it('gives what is left or a share, and never less than 1 ms', () => {
    let now = 0;
    const deadline = createDeadline(1000, () => now);
    expect([deadline.leftMs(), deadline.leftMs(0.5)]).toEqual([1000, 500]);
    now = 800;
    expect([deadline.leftMs(), deadline.leftMs(0.5)]).toEqual([200, 200]);
    now = 5000;
    expect(deadline.leftMs()).toBe(1);
  });
});
