import { access, readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

import { MkCiError, hostErrorOf, isMkCiError, systemErrorCode } from '../../errors.js';
import { identifyProcess, identifySelf, signalProcess, type ProcessIdentity } from '../../process.js';
import type { ClusterCallOptions, ClusterManager, ClusterStatus } from '../cluster.js';
import { clusterFolder, readClusterRecord, type ClusterFolder } from '../folder.js';
import { acquireLock } from '../lock.js';
import { readManifest, readSnapshot, writeSnapshot } from './manifest.js';

/**
 * Snapshots of clusters whose control plane runs as processes of this host: copies of etcd's data, kept in the cluster's
 * folder, gone with the cluster. Everything the API knows is in it; what pods wrote to their own disks is not, for
 * simulated nodes have none.
 */
export interface Snapshots {
  /** Of a running, paused or stopped cluster. A running one waits for some tenths of a second at most. */
  save(cluster: string, snapshot: string, options: ClusterCallOptions): Promise<SnapshotInfo>;
  /**
   * Puts the data back. A running cluster is stopped and started again; a stopped one stays stopped. When it does not
   * start with the old data, what it had before is put back, and the cluster is left stopped.
   */
  restore(cluster: string, snapshot: string, options: ClusterCallOptions): Promise<void>;
  /** Oldest first. Damaged ones are listed with what is wrong. */
  list(cluster: string, signal: AbortSignal): Promise<readonly SnapshotInfo[]>;
  /** Succeeds when there is none. */
  delete(cluster: string, snapshot: string): Promise<void>;
}

export interface SnapshotInfo {
  readonly name: string;
  /** Absent for one that can not be read. */
  readonly createdAt?: string;
  readonly kubernetesVersion?: string;
  /** Length of its files; on disk it takes less. */
  readonly bytes?: number;
  readonly problem?: string;
}

export interface SnapshotsOptions {
  readonly stateFolder: string;
  readonly manager: Pick<ClusterManager, 'status' | 'start' | 'stop'>;
  readonly now: () => Date;
}

const LOCK_TIMEOUT_MS = 60_000;

export function createSnapshots({ stateFolder, manager, now }: SnapshotsOptions): Snapshots {
  const lock = (cluster: string, signal: AbortSignal): Promise<AsyncDisposable> =>
    acquireLock({
      folder: join(stateFolder, 'locks', `snapshots-${cluster}`),
      owner: identifySelf(),
      signal,
      timeoutMs: LOCK_TIMEOUT_MS,
    });
  const pathOf = (paths: ClusterFolder, snapshot: string): string => {
    checkSnapshotName(snapshot);
    return join(snapshotsFolder(paths), snapshot);
  };
  return {
    save: async (cluster, snapshot, { signal }) => {
      const paths = clusterFolder(stateFolder, cluster);
      const folder = pathOf(paths, snapshot);
      const status = await manager.status(cluster, signal);
      await checkHasData(paths, status);
      await using _lock = await lock(cluster, signal);
      const about = { createdAt: now().toISOString(), kubernetesVersion: status.kubernetesVersion, of: cluster };
      const made = await whileFrozen(etcdProcesses(status), signal, () =>
        writeSnapshot({ folder, parts: { etcd: paths.etcd }, about, signal }),
      );
      if (!made) {
        throw new MkCiError('K8S_CLUSTER_EXISTS', {
          message: `cluster ${cluster} has a snapshot ${snapshot}`,
          advice: `Delete it with mk-ci cluster snapshot delete ${cluster} ${snapshot}, or choose another name.`,
        });
      }
      return await describe(snapshot, folder);
    },
    restore: async (cluster, snapshot, options) => {
      const { signal } = options;
      const paths = clusterFolder(stateFolder, cluster);
      const folder = pathOf(paths, snapshot);
      const status = await manager.status(cluster, signal);
      await checkHasData(paths, status);
      const record = await readClusterRecord(paths);
      if (record === undefined) throw new MkCiError('K8S_CLUSTER_NOT_FOUND', { message: cluster });
      await using _lock = await lock(cluster, signal);
      const staged = `${paths.etcd}.restoring`;
      const before = `${paths.etcd}.before`;
      await Promise.all([staged, before].map((path) => rm(path, { recursive: true, force: true })));
      const manifest = await readSnapshot(folder, { etcd: staged }, signal);
      if (manifest.kubernetesVersion !== status.kubernetesVersion) {
        await rm(staged, { recursive: true, force: true });
        throw new MkCiError('DRV_UNSUPPORTED', {
          message: `the snapshot is of ${manifest.kubernetesVersion}, the cluster runs ${status.kubernetesVersion}`,
          advice: 'Start another cluster of the version of the snapshot.',
        });
      }
      const wasRunning = status.state !== 'stopped';
      if (wasRunning) await manager.stop(cluster, options);
      await rename(paths.etcd, before);
      await rename(staged, paths.etcd);
      try {
        if (wasRunning) await manager.start(record.spec, options);
      } catch (error) {
        await manager.stop(cluster, { signal: AbortSignal.timeout(30_000) });
        await rm(paths.etcd, { recursive: true, force: true });
        await rename(before, paths.etcd);
        throw error;
      }
      await rm(before, { recursive: true, force: true });
    },
    list: async (cluster, signal) => {
      const paths = clusterFolder(stateFolder, cluster);
      await manager.status(cluster, signal); // says so when there is no such cluster
      const names = await readdir(snapshotsFolder(paths)).catch((error: unknown) => {
        if (systemErrorCode(error) === 'ENOENT') return [];
        throw hostErrorOf(error, paths.folder) ?? error;
      });
      const infos = await Promise.all(
        names
          .filter((name) => !name.endsWith('.tmp'))
          .map((name) => describe(name, join(snapshotsFolder(paths), name))),
      );
      return infos.sort((a, b) => (a.createdAt ?? '').localeCompare(b.createdAt ?? '') || a.name.localeCompare(b.name));
    },
    delete: async (cluster, snapshot) => {
      await rm(pathOf(clusterFolder(stateFolder, cluster), snapshot), { recursive: true, force: true });
    },
  };
}

/**
 * Stops processes by SIGSTOP for as long as `act` takes. What they wrote so far is in the files, as after a crash, and etcd
 * recovers from a crash at any moment: its log is written before its database, and the database replaces no page in use.
 */
export async function whileFrozen<T>(
  processes: readonly ProcessIdentity[],
  signal: AbortSignal,
  act: () => Promise<T>,
): Promise<T> {
  const stopped = processes.filter((process) => signalProcess(process, 'SIGSTOP'));
  try {
    // The signal is delivered when it returns from what it does in the kernel, a write for example.
    if (stopped.length > 0) await delay(5, undefined, { signal });
    return await act();
  } finally {
    for (const process of stopped) signalProcess(process, 'SIGCONT');
  }
}

/** etcd of a running cluster; none when it is stopped, or frozen as a whole and to stay so. */
export function etcdProcesses(status: Pick<ClusterStatus, 'state' | 'components'>): ProcessIdentity[] {
  if (status.state === 'paused') return [];
  return status.components.flatMap(({ name, pid }) =>
    name === 'etcd' && pid !== undefined ? (identifyProcess(pid) ?? []) : [],
  );
}

function snapshotsFolder(paths: ClusterFolder): string {
  return join(paths.folder, 'snapshots');
}

/** @throws {MkCiError} `CLI_USAGE` for what is no plain file name */
export function checkSnapshotName(name: string): void {
  if (/^[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?$/.test(name) && !name.endsWith('.tmp')) return;
  throw new MkCiError('CLI_USAGE', {
    message: `snapshot name ${JSON.stringify(name.slice(0, 80))}`,
    advice: 'Use 1 to 63 lower-case letters, digits, dots and dashes, with a letter or digit at both ends.',
  });
}

async function checkHasData(paths: ClusterFolder, status: ClusterStatus): Promise<void> {
  try {
    await access(paths.etcd);
  } catch (cause) {
    throw new MkCiError('DRV_UNSUPPORTED', {
      message: `driver ${status.driver} has no snapshots of ${status.name}`,
      cause,
    });
  }
}

async function describe(name: string, folder: string): Promise<SnapshotInfo> {
  try {
    const { createdAt, kubernetesVersion, files } = await readManifest(folder);
    return { name, createdAt, kubernetesVersion, bytes: files.reduce((sum, file) => sum + file.bytes, 0) };
  } catch (error) {
    if (isMkCiError(error)) return { name, problem: error.message };
    throw error;
  }
}
