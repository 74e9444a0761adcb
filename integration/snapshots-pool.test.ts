/**
 * Snapshots, templates and the pool with real control planes. Needs Kubernetes programs (MK_CI_BINARIES: a folder with
 * etcd, kube-apiserver, kubectl, kwok …) and the built `dist/`.
 */
import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { adminClient } from '../src/cluster/bootstrap/processes.js';
import type { ClusterSource, RunningCluster } from '../src/cluster/cluster.js';
import { clusterFolder } from '../src/cluster/folder.js';
import { createClusterManager, createFolderBundle, type SeedableClusterManager } from '../src/cluster/index.js';
import { createClusterSource, waitUntilSettled } from '../src/cluster/pool/index.js';
import { createSnapshots, type Snapshots } from '../src/cluster/snapshots/index.js';
import { createTemplates } from '../src/cluster/templates/index.js';
import { createDriverRegistry } from '../src/drivers/index.js';
import { isMkCiError } from '../src/errors.js';
import { exec } from '../src/exec.js';
import { createTemporaryFolder, type TemporaryFolder } from '../src/files.js';
import { silentLogger } from '../src/log.js';
import { kubernetesPrograms } from './mk-ci.js';

const binaries = kubernetesPrograms();
const SPEC = { driver: 'local', kubernetesVersion: 'v1.36.3', nodes: 1 };

describe('with real control planes', () => {
  const { signal } = new AbortController();
  let temporary: TemporaryFolder;
  let stateFolder: string;
  let manager: SeedableClusterManager;
  let snapshots: Snapshots;

  beforeAll(async () => {
    temporary = await createTemporaryFolder('mk-ci-pool-test-');
    stateFolder = join(temporary.path, 'state');
    manager = createClusterManager({
      stateFolder,
      bundles: createFolderBundle(binaries),
      drivers: createDriverRegistry({ exec }),
      exec,
      log: silentLogger,
      env: process.env,
      supervisorEntry: join(import.meta.dirname, '..', 'dist', 'cluster', 'supervisor-main.js'),
    });
    snapshots = createSnapshots({ stateFolder, manager, now: () => new Date() });
  });
  afterAll(async () => {
    for (const { name } of await manager.list(signal)) await manager.delete(name, { signal });
    await temporary[Symbol.asyncDispose]();
  });

  const kubectl = async (cluster: RunningCluster, ...args: string[]): Promise<string> =>
    (await cluster.exec(['kubectl', ...args])).stdout;
  const configMaps = async (cluster: RunningCluster): Promise<string[]> =>
    (await kubectl(cluster, 'get', 'configmaps', '-o', 'name')).trim().split('\n');
  const openSource = (runId: string, pool: { readonly min: number; readonly max: number }): ClusterSource =>
    createClusterSource({
      manager,
      templates: createTemplates({ folder: join(temporary.path, 'templates'), now: () => new Date() }),
      owner: { runId },
      bundleDigest: async () => 'digest',
      settle: async ({ name, server }) => {
        using client = await adminClient(clusterFolder(stateFolder, name), server);
        await waitUntilSettled(client, 10_000, signal);
      },
      log: silentLogger,
      pool,
      room: () => ({ fits: true, isIdle: false }),
    });

  it('brings back what a running cluster had, and refuses a damaged snapshot without touching the cluster', async () => {
    const cluster = await manager.start({ ...SPEC, name: 'snap' }, { signal });
    await kubectl(cluster, 'create', 'configmap', 'before');
    // Written to while it is copied: the copy is of one moment, and etcd takes it up.
    const writing = Promise.all(
      Array.from({ length: 20 }, (_, index) => kubectl(cluster, 'create', 'configmap', `during-${index}`)),
    );
    await snapshots.save('snap', 'one', { signal });
    await writing;
    await kubectl(cluster, 'create', 'configmap', 'after');

    await snapshots.save('snap', 'two', { signal });
    const db = join(
      clusterFolder(stateFolder, 'snap').folder,
      'snapshots',
      'two',
      'data',
      'etcd',
      'member',
      'snap',
      'db',
    );
    await writeFile(db, 'x', { flag: 'r+' });
    await expect(snapshots.restore('snap', 'two', { signal })).rejects.toSatisfy((error) =>
      isMkCiError(error, 'K8S_SNAPSHOT_BROKEN'),
    );
    expect(await configMaps(cluster)).toContain('configmap/after');

    await snapshots.restore('snap', 'one', { signal });
    const names = await configMaps(cluster);
    expect(names).toContain('configmap/before');
    expect(names).not.toContain('configmap/after');
    await kubectl(cluster, 'create', 'configmap', 'later');
    expect((await snapshots.list('snap', signal)).map(({ name }) => name)).toEqual(['one', 'two']);
    await expect(snapshots.save('snap', 'one', { signal })).rejects.toThrow(/has a snapshot one/);
    await expect(snapshots.restore('snap', 'none', { signal })).rejects.toSatisfy((error) =>
      isMkCiError(error, 'K8S_SNAPSHOT_NOT_FOUND'),
    );
    await manager.delete('snap', { signal });
  });

  it('lends fresh clusters in which nothing of the last suite is left, from template and pool', async () => {
    await using source = openSource('run1', { min: 0, max: 0 });
    for (let round = 0; round < 2; round += 1) {
      await using lease = await source.acquire(SPEC, 'fresh', { signal });
      expect(await configMaps(lease.cluster)).toEqual(['configmap/kube-root-ca.crt']);
      await kubectl(lease.cluster, 'create', 'configmap', 'dirt');
      await kubectl(lease.cluster, 'create', 'namespace', 'dirt');
    }
    expect(await readdir(join(temporary.path, 'templates'))).toHaveLength(1);

    await using pooled = openSource('run2', { min: 1, max: 1 });
    const first = await pooled.acquire(SPEC, 'fresh', { signal });
    await kubectl(first.cluster, 'create', 'configmap', 'dirt');
    const findReady = async () => (await manager.list(signal)).find(({ state }) => state === 'paused')?.name;
    await expect.poll(findReady, { timeout: 120_000, interval: 100 }).toBeDefined();
    const ready = await findReady();
    const second = await pooled.acquire(SPEC, 'fresh', { signal });
    expect(second.cluster.name).toBe(ready);
    expect(await configMaps(second.cluster)).toEqual(['configmap/kube-root-ca.crt']);
    // Both live side by side, and the one from the pool runs pods.
    expect(second.cluster.server).not.toBe(first.cluster.server);
    await kubectl(second.cluster, 'create', 'deployment', 'web', '--image=none', '--replicas=2');
    await kubectl(second.cluster, 'rollout', 'status', 'deployment/web', '--timeout=60s');
    expect(await configMaps(first.cluster)).toContain('configmap/dirt');
  });

  it('left nothing behind', async () => {
    expect(await manager.list(signal)).toEqual([]);
    for (const folder of ['ports', 'journal']) expect(await readdir(join(stateFolder, folder))).toEqual([]);
  });
});
