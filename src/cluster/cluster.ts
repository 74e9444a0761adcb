import type { Argv, ExecOptions, ExecResult } from '../exec.js';
import type { DriverHealth } from '../drivers/driver.js';

/** What a cluster shall be. Two starts with equal specs and one name are one cluster. */
export interface ClusterSpec {
  /** `[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?`, unique on the host. */
  readonly name: string;
  readonly driver: string;
  /** Absent for drivers without a runtime inside. */
  readonly containerRuntime?: string;
  /** With `v`, such as `v1.36.3`. */
  readonly kubernetesVersion: string;
  /** Nodes that pods can run on. For `local` they are simulated by kwok; 0 gives a bare control plane. */
  readonly nodes: number;
  /** Settings of one driver or bootstrapper, as in the configuration file. */
  readonly options?: Readonly<Record<string, unknown>>;
}

export type ClusterState = 'starting' | 'running' | 'paused' | 'stopped' | 'broken';

/** A process or static pod of the control plane. */
export interface ComponentStatus {
  readonly name: string;
  /** `starting` is a pod that is made, or runs and does not serve yet. */
  readonly state: 'starting' | 'running' | 'paused' | 'stopped' | 'failed';
  readonly pid?: number;
  /** How often it was started again after it died. */
  readonly restarts: number;
  readonly message?: string;
}

export interface ClusterStatus {
  readonly name: string;
  readonly driver: string;
  /** `none` where there is no Kubernetes. */
  readonly kubernetesVersion: string;
  readonly state: ClusterState;
  /** Of the API server, such as `https://127.0.0.1:40123`. */
  readonly server?: string;
  readonly kubeconfig: string;
  readonly nodes: number;
  readonly createdAt: string;
  /** Run that owns the cluster; absent for one started by hand. */
  readonly runId?: string;
  readonly components: readonly ComponentStatus[];
}

/** Start and end of a named step, with its duration, for progress lines and the timeline. */
export interface PhaseEvent {
  readonly cluster: string;
  /** Such as `bundle`, `etcd`, `kube-apiserver`, `readyz`, `default-serviceaccount`, `nodes`. */
  readonly name: string;
  readonly state: 'started' | 'ok' | 'failed';
  /** Present on `ok` and `failed`. */
  readonly durationMs?: number;
  readonly message?: string;
}

export interface ClusterCallOptions {
  readonly signal: AbortSignal;
  /** One deadline for the whole call, divided over its phases. */
  readonly deadlineMs?: number;
  readonly onPhase?: (event: PhaseEvent) => void;
}

/** A cluster that runs, as suites and commands use it. */
export interface RunningCluster {
  readonly name: string;
  readonly spec: ClusterSpec;
  /** Empty where there is no Kubernetes. */
  readonly server: string;
  /** File private to this cluster. */
  readonly kubeconfig: string;
  /** Folder with kubectl of the cluster's version, put in front of PATH. */
  readonly binaries: string;
  /** Copies logs of nodes and components in the layout of `kind export logs`; bounded in time, works on broken clusters. */
  saveLogs(folder: string, signal: AbortSignal): Promise<void>;
  /** Runs a command where the control plane runs, with KUBECONFIG and PATH set. */
  exec(argv: Argv, options?: ExecOptions): Promise<ExecResult>;
}

/** Who a cluster belongs to: a run takes its clusters with it when it dies. */
export interface ClusterOwner {
  readonly runId: string;
}

/** Everything one can do with clusters by name. All of it is idempotent. */
export interface ClusterManager {
  /**
   * Whether a cluster can be what is asked for, as far as that can be told without asking the host.
   *
   * @throws {MkCiError} `BND_UNKNOWN_VERSION`, `CLI_USAGE`, `CFG_INVALID`, `DRV_UNSUPPORTED`
   */
  validate(spec: ClusterSpec): void;
  start(spec: ClusterSpec, options: ClusterCallOptions & { readonly owner?: ClusterOwner }): Promise<RunningCluster>;
  /** Keeps the data. */
  stop(name: string, options: ClusterCallOptions): Promise<void>;
  pause(name: string, options: ClusterCallOptions): Promise<void>;
  unpause(name: string, options: ClusterCallOptions): Promise<RunningCluster>;
  /** Succeeds when there is none. */
  delete(name: string, options: ClusterCallOptions): Promise<void>;
  /** @throws {MkCiError} `K8S_CLUSTER_NOT_FOUND`, `K8S_NOT_RUNNING` */
  get(name: string, signal: AbortSignal): Promise<RunningCluster>;
  /** @throws {MkCiError} `K8S_CLUSTER_NOT_FOUND` */
  status(name: string, signal: AbortSignal): Promise<ClusterStatus>;
  list(signal: AbortSignal): Promise<readonly ClusterStatus[]>;
  /** Health of the driver behind an environment, before anything is started. */
  check(driver: string, signal: AbortSignal, options?: ClusterSpec['options']): Promise<DriverHealth>;
}

/** A cluster lent to a cell. Disposing gives it back: a fresh one is removed, a shared one when nobody holds it any more. */
export interface ClusterLease extends AsyncDisposable {
  readonly cluster: RunningCluster;
  /** Instead of disposing: the cluster stays, as if it had been started by hand. Absent where there is nothing to keep. */
  keep?(): Promise<void>;
}

/** Where the runner gets clusters from. */
export interface ClusterSource extends AsyncDisposable {
  /**
   * `shared`: the one cluster of this environment, started by the first caller, removed after the last. `fresh`: a cluster in which nothing of
   * an earlier suite is left, from the pool or from a template.
   */
  acquire(
    spec: Omit<ClusterSpec, 'name'>,
    kind: 'shared' | 'fresh',
    options: ClusterCallOptions & {
      /** Called when the cluster did not start, before what is left of it is removed: the moment to save its logs. */
      readonly onStartFailed?: (cluster: Pick<RunningCluster, 'name' | 'saveLogs'>) => Promise<void>;
    },
  ): Promise<ClusterLease>;
}
