import type { Machine } from '../drivers/driver.js';
import type { ClusterCall } from './manager.js';
import type { ClusterOwner, ClusterSpec, ClusterStatus } from './cluster.js';
import type { ClusterFolder, ClusterRecord } from './folder.js';
import type { ClusterSeed, StateAccess } from './state-access.js';

/**
 * One way of having a cluster: as processes, as nodes with a kubelet, or only attached to. The manager picks it by the
 * `bootstrap` of the driver, holds the lock of the cluster and keeps its record; everything else is here.
 */
export interface ClusterBackend {
  /** Deadline of a start, where the caller gives none. */
  readonly startMs: number;
  /**
   * Whether a cluster can have the options of a spec, before anything is asked or made.
   *
   * @throws {MkCiError} `CFG_INVALID` with all that is not right, `DRV_UNSUPPORTED`
   */
  validate(spec: ClusterSpec): void;
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
  /** Absent where nothing in a frozen cluster grows old. */
  readonly refresh?: (record: ClusterRecord, call: ClusterCall) => Promise<void>;
  /** @param record absent when the folder holds none that can be read */
  remove(record: ClusterRecord | undefined, call: ClusterCall): Promise<void>;
  status(
    name: string,
    paths: ClusterFolder,
    record: ClusterRecord | undefined,
    signal: AbortSignal,
  ): Promise<ClusterStatus>;
  saveLogs(request: SaveLogsRequest): Promise<void>;
  /** Absent where the state of a cluster can not be had. */
  readonly state?: StateAccess;
  /**
   * The machine of a node, in whatever state the cluster is. Absent where nodes are no machines.
   *
   * @param node as Kubernetes names it; the control plane when absent
   * @throws {MkCiError} `K8S_NODE_NOT_FOUND`; `K8S_NOT_RUNNING` when the machine does not run
   */
  readonly machine?: (record: ClusterRecord, node: string | undefined, signal: AbortSignal) => Promise<Machine>;
  /** Absent where a cluster keeps the version that it was made with. */
  readonly upgrades?: Upgrades;
  /** Absent where the nodes of a cluster can not change. */
  readonly nodes?: NodeChanges;
  /**
   * Puts the images of an archive of this host into all nodes. Absent where no containers run.
   *
   * @returns their names
   */
  readonly loadImages?: (record: ClusterRecord, call: ClusterCall, archive: string) => Promise<readonly string[]>;
  /**
   * Lets all nodes get an image from its registry. Absent where no containers run.
   *
   * @returns its full name
   */
  readonly pullImage?: (record: ClusterRecord, call: ClusterCall, image: string) => Promise<string>;
}

export interface UpgradeRequest {
  readonly version: string;
  /** For the pods of a node to leave it. @default four minutes */
  readonly drainSeconds?: number;
}

/** Other versions for a cluster that is there. */
export interface Upgrades {
  /**
   * @returns whether something would be done
   * @throws {MkCiError} `K8S_DOWNGRADE`, `K8S_SKIPPED_MINOR`
   */
  plan(record: ClusterRecord, version: string): boolean;
  /** Leaves a cluster that runs with the new version; else with the old one and its state of before. */
  upgrade(record: ClusterRecord, call: ClusterCall, request: UpgradeRequest): Promise<ClusterRecord>;
  /** @returns the version that {@link undo} leads to. @throws {MkCiError} `K8S_SNAPSHOT_NOT_FOUND` */
  planUndo(record: ClusterRecord, paths: ClusterFolder): Promise<string>;
  /** Takes the last upgrade back, with all that happened since. @throws {MkCiError} `K8S_SNAPSHOT_NOT_FOUND` */
  undo(record: ClusterRecord, call: ClusterCall): Promise<ClusterRecord>;
}

export type NodeKind = 'worker' | 'control-plane';

/** Both take a cluster that runs, and give its record as it is then. */
export interface NodeChanges {
  /** Waits until the new nodes are Ready; none of them is left when one fails. */
  add(record: ClusterRecord, call: ClusterCall, count: number, kind: NodeKind): Promise<ClusterRecord>;
  /** Its pods are moved to other nodes first. Succeeds when it is gone. */
  delete(record: ClusterRecord, call: ClusterCall, node: string): Promise<ClusterRecord>;
}

export interface SaveLogsRequest {
  readonly name: string;
  readonly paths: ClusterFolder;
  readonly record: ClusterRecord | undefined;
  readonly target: string;
  readonly signal: AbortSignal;
}
