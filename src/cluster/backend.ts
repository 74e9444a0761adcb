import type { ClusterCall } from './manager.js';
import type { ClusterOwner, ClusterSpec, ClusterStatus } from './cluster.js';
import type { ClusterSeed } from './bootstrap/processes.js';
import type { ClusterFolder, ClusterRecord } from './folder.js';

/**
 * One way of having a cluster: as processes, as nodes with a kubelet, or only attached to. The manager picks it by the
 * `bootstrap` of the driver, holds the lock of the cluster and keeps its record; everything else is here.
 */
export interface ClusterBackend {
  /** Deadline of a start, where the caller gives none. */
  readonly startMs: number;
  /**
   * Makes or starts it, and leaves it running with a record written. Nothing is left of a new one that failed.
   *
   * @param have the record of an earlier start
   */
  start(
    spec: ClusterSpec,
    call: ClusterCall,
    have: ClusterRecord | undefined,
    options: { readonly owner?: ClusterOwner; readonly seed?: ClusterSeed },
  ): Promise<ClusterRecord>;
  stop(record: ClusterRecord, call: ClusterCall): Promise<void>;
  pause(record: ClusterRecord, call: ClusterCall): Promise<void>;
  unpause(record: ClusterRecord, call: ClusterCall): Promise<ClusterRecord>;
  /** @param record absent when the folder holds none that can be read */
  remove(record: ClusterRecord | undefined, call: ClusterCall): Promise<void>;
  status(
    name: string,
    paths: ClusterFolder,
    record: ClusterRecord | undefined,
    signal: AbortSignal,
  ): Promise<ClusterStatus>;
  saveLogs(request: SaveLogsRequest): Promise<void>;
}

export interface SaveLogsRequest {
  readonly name: string;
  readonly paths: ClusterFolder;
  readonly record: ClusterRecord | undefined;
  readonly target: string;
  readonly signal: AbortSignal;
}
