import { access, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';

import { MkCiError, hostErrorOf, isMkCiError, systemErrorCode } from '../../errors.js';
import { identifySelf } from '../../process.js';
import type { ClusterCallOptions, ClusterManager } from '../cluster.js';
import { clusterFolder, type ClusterFolder } from '../folder.js';
import { acquireLock } from '../lock.js';
import type { ClusterStateManager } from '../manager.js';
import { readManifest, readSnapshot, writeSnapshot } from './manifest.js';

/**
 * Snapshots of clusters: copies of their state, kept in the cluster's folder, gone with the cluster. What the state is
 * depends on how the cluster is made, see `StateAccess`.
 */
export interface Snapshots {
  /** A running cluster waits for some tenths of a second at most. One whose nodes are containers has to run. */
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
  readonly manager: Pick<ClusterManager, 'status'> & ClusterStateManager;
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
    save: async (cluster, snapshot, options) => {
      const { signal } = options;
      const paths = clusterFolder(stateFolder, cluster);
      const folder = pathOf(paths, snapshot);
      const { kubernetesVersion } = await manager.status(cluster, signal);
      await using _lock = await lock(cluster, signal);
      const about = { createdAt: now().toISOString(), kubernetesVersion, of: cluster };
      const made =
        !(await isThere(folder)) &&
        (await manager.readState(cluster, options, (parts) => writeSnapshot({ folder, parts, about, signal })));
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
      await using _lock = await lock(cluster, signal);
      await manager.replaceState(cluster, options, async (parts) => {
        const manifest = await readSnapshot(folder, parts, signal);
        if (manifest.kubernetesVersion === status.kubernetesVersion) return;
        throw new MkCiError('DRV_UNSUPPORTED', {
          message: `the snapshot is of ${manifest.kubernetesVersion}, the cluster runs ${status.kubernetesVersion}`,
          advice: 'Start another cluster of the version of the snapshot.',
        });
      });
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

async function isThere(path: string): Promise<boolean> {
  return await access(path).then(
    () => true,
    () => false,
  );
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
