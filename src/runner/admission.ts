import { INOTIFY_INSTANCES, type DriverInfo } from '../drivers/index.js';

/** What something keeps busy while it runs. */
export interface Load {
  readonly cpus: number;
  readonly memoryMiB: number;
  /** Instances of inotify. @default 0 */
  readonly inotify?: number;
}

/** What may be kept busy at one time. */
export interface Limits extends Load {
  /** @default no limit */
  readonly inotify?: number;
  /** Most cells at a time. */
  readonly jobs: number;
}

/** A cell that wants to start. */
export interface Candidate {
  readonly id: string;
  readonly load: Load;
  /** Never beside a running cell with one of these words. */
  readonly exclusive: readonly string[];
  /** Cells with the same key use the same cluster; its load counts once, from its start until its last cell ended. */
  readonly cluster: { readonly key: string; readonly load: Load };
}

export interface AdmissionState {
  readonly limits: Limits;
  readonly running: readonly Candidate[];
  /** Clusters that are up or starting, by key; those of running cells are in it. */
  readonly clusters: ReadonlyMap<string, Load>;
}

/**
 * Which of the candidates start now, in their order. A candidate that does not fit is passed over, smaller ones after it
 * may start.
 *
 * Never deadlocks: with nothing running, the first candidate starts even when it alone is larger than the limits.
 */
export function admit(state: AdmissionState, candidates: readonly Candidate[]): Candidate[] {
  const running = [...state.running];
  const clusters = new Map(state.clusters);
  const admitted: Candidate[] = [];
  for (const candidate of candidates) {
    if (running.length >= state.limits.jobs && running.length > 0) break;
    if (clashes(candidate, running)) continue;
    if (running.length > 0 && !fits(candidate, running, clusters, state.limits)) continue;
    running.push(candidate);
    clusters.set(candidate.cluster.key, candidate.cluster.load);
    admitted.push(candidate);
  }
  return admitted;
}

function clashes(candidate: Candidate, running: readonly Candidate[]): boolean {
  return running.some((other) => other.exclusive.some((word) => candidate.exclusive.includes(word)));
}

function fits(
  candidate: Candidate,
  running: readonly Candidate[],
  clusters: ReadonlyMap<string, Load>,
  limits: Limits,
): boolean {
  const isNew = !clusters.has(candidate.cluster.key);
  const loads = [
    ...running.map((cell) => cell.load),
    ...clusters.values(),
    candidate.load,
    ...(isNew ? [candidate.cluster.load] : []),
  ];
  return (
    loads.reduce((sum, load) => sum + load.cpus, 0) <= limits.cpus &&
    loads.reduce((sum, load) => sum + load.memoryMiB, 0) <= limits.memoryMiB &&
    loads.reduce((sum, load) => sum + (load.inotify ?? 0), 0) <= (limits.inotify ?? Infinity)
  );
}

/** What the host offers. */
export interface HostCapacity {
  readonly cpus: number;
  readonly memoryMiB: number;
  /** Instances of inotify that are not taken. @default not known */
  readonly inotify?: number | undefined;
}

/**
 * Limits of a host. Tests against a cluster mostly wait for it, so processors are counted twice; a fifth of the memory
 * stays free. An explicit `jobs` replaces the limit by processors and not the other ones.
 */
export function limitsOf(host: HostCapacity, jobs: number | undefined): Limits {
  return {
    cpus: jobs === undefined ? host.cpus * 2 : Number.POSITIVE_INFINITY,
    memoryMiB: Math.floor(host.memoryMiB * 0.8),
    ...(host.inotify === undefined ? {} : { inotify: host.inotify }),
    jobs: jobs ?? Math.max(2, host.cpus * 2),
  };
}

/**
 * What a cluster keeps busy: a control plane as processes takes about half a processor while a suite uses it and 700 MiB
 * (sum of `Pss` in `/proc/<pid>/smaps_rollup` over its processes once it is up: 680 MiB with Kubernetes v1.36.3 and one
 * simulated node, 400 of them the API server's) and some twelve instances of inotify, a kubeadm node two processors' share and 2 GiB, an attached cluster
 * nothing of this host.
 */
export function clusterLoad(
  { bootstrap, sharesKernel = false }: Pick<DriverInfo, 'bootstrap' | 'sharesKernel'>,
  nodes: number,
): Load {
  switch (bootstrap) {
    case 'processes':
      return { cpus: 0.5, memoryMiB: 700 + nodes, inotify: 12 };
    case 'kubeadm': {
      const workers = Math.max(0, nodes - 1);
      const inotify = INOTIFY_INSTANCES.controlPlane + workers * INOTIFY_INSTANCES.worker;
      return { cpus: 1 + workers, memoryMiB: 2048 * (1 + workers), ...(sharesKernel ? { inotify } : {}) };
    }
    case 'attach':
      return { cpus: 0, memoryMiB: 0 };
  }
}
