import type { ClusterRecord } from './folder.js';
import type { ClusterCall } from './manager.js';

/** Folders of this host that together hold the state of a cluster, by a name such as `etcd`, `nodes` or `pki`. */
export type StateParts = Readonly<Record<string, string>>;

/** The state of a cluster as folders of this host, of which snapshots and templates are made. */
export interface StateAccess {
  /**
   * Calls `act` with the folders of a cluster; their files are of one moment, and nobody writes to them until `act` has ended.
   *
   * @throws {MkCiError} `K8S_NOT_RUNNING` where only a running cluster can be asked
   */
  read<T>(record: ClusterRecord, call: ClusterCall, act: (parts: StateParts) => Promise<T>): Promise<T>;
  /**
   * Calls `fill` with folders that do not exist, and puts what it made in place of the state that the cluster has. Nothing
   * has happened to the cluster when `fill` throws. What ran runs again; a cluster that does not start with the new state
   * gets the old one back, and is left stopped.
   */
  replace(record: ClusterRecord, call: ClusterCall, fill: (parts: StateParts) => Promise<void>): Promise<void>;
}

/** State of another cluster for a new one to begin with. */
export interface ClusterSeed {
  /**
   * Fills folders that do not exist yet with the state of a cluster that does not run.
   *
   * @returns false when there is nothing to begin with: then nothing was copied
   */
  copyTo(parts: StateParts): Promise<boolean>;
  /**
   * Compares what {@link copyTo} left for later, while a cluster already begins with it. Before that went well the cluster is given
   * to nobody.
   *
   * @throws {MkCiError} `K8S_SNAPSHOT_BROKEN`: the cluster is to be removed
   */
  check(signal: AbortSignal): Promise<void>;
}
