import { join } from 'node:path';

import type { ClusterLease, ClusterSource, PhaseEvent, RunningCluster } from '../cluster/cluster.js';
import type { Environment } from '../config/index.js';
import { messageOf } from '../errors.js';
import type { RunFolder } from '../results/run-folder.js';

export type KeepClusters = 'never' | 'on-failure' | 'always';

export interface RunClustersOptions {
  readonly source: ClusterSource;
  readonly folder: RunFolder;
  readonly signal: AbortSignal;
  readonly keep: KeepClusters;
  readonly onPhase: (environment: string, event: PhaseEvent) => void;
  /** Something about clusters that fails no cell, such as logs that could not be saved. */
  readonly onProblem: (environment: string, message: string) => void;
  /** Time for the logs of one cluster. @default 300000 */
  readonly logsTimeoutMs?: number;
}

/** A cluster as a cell holds it. */
export interface CellCluster {
  readonly cluster: RunningCluster;
  /** Gives it back; logs of a fresh cluster are saved when the attempt failed. */
  release(failed: boolean): Promise<void>;
}

/**
 * The clusters of one run: the shared one of an environment is started once, by the first cell that asks; when it fails,
 * it fails for all its cells with the same error and is not tried again.
 */
export interface RunClusters {
  /** @param label of a fresh cluster, for the folder of its logs */
  acquire(environment: Environment, kind: 'shared' | 'fresh', label: string): Promise<CellCluster>;
  /** No further cell will ask for the shared cluster of this environment. Saves its logs and gives it back. */
  finish(environment: string): Promise<void>;
  /** Finishes what is left. */
  finishAll(): Promise<void>;
  /** Clusters that were kept, for the user to know. */
  readonly kept: readonly RunningCluster[];
}

/** Nodes have limits of their own, which are shorter and leave a note of what is missing. */
const LOGS_MS = 300_000;

export function createRunClusters(options: RunClustersOptions): RunClusters {
  const { source, folder, signal, keep } = options;
  const shared = new Map<string, { lease: Promise<ClusterLease>; failed: boolean }>();
  const kept: RunningCluster[] = [];

  const request = (environment: Environment, kind: 'shared' | 'fresh', logs: string): Promise<ClusterLease> => {
    const { name, pool: _, ...spec } = environment;
    return source.acquire(spec, kind, {
      signal,
      onPhase: (event) => {
        options.onPhase(name, event);
      },
      onStartFailed: async (cluster) => {
        await saveLogs(name, cluster, logs);
      },
    });
  };

  const saveLogs = async (
    environment: string,
    cluster: Pick<RunningCluster, 'name' | 'saveLogs'>,
    to: string,
  ): Promise<void> => {
    // Not the run's signal: the logs of an interrupted run are wanted most.
    const limit = AbortSignal.timeout(options.logsTimeoutMs ?? LOGS_MS);
    try {
      await cluster.saveLogs(to, limit);
    } catch (error) {
      options.onProblem(environment, `logs of cluster ${cluster.name} could not be saved: ${messageOf(error)}`);
    }
  };

  const giveBack = async (environment: string, lease: ClusterLease, failed: boolean): Promise<void> => {
    try {
      if ((keep === 'always' || (keep === 'on-failure' && failed)) && lease.keep !== undefined) {
        await lease.keep();
        kept.push(lease.cluster);
      } else {
        await lease[Symbol.asyncDispose]();
      }
    } catch (error) {
      options.onProblem(environment, `cluster ${lease.cluster.name} could not be given back: ${messageOf(error)}`);
    }
  };

  const finish = async (environment: string): Promise<void> => {
    const entry = shared.get(environment);
    if (entry === undefined) return;
    shared.delete(environment);
    const lease = await entry.lease.catch(() => undefined);
    if (lease === undefined) return; // its failure was reported to every cell
    await saveLogs(environment, lease.cluster, folder.cluster(environment));
    await giveBack(environment, lease, entry.failed);
  };

  return {
    kept,
    acquire: async (environment, kind, label) => {
      if (kind === 'fresh') {
        const logs = join(folder.cluster(environment.name), label);
        const lease = await request(environment, 'fresh', logs);
        return {
          cluster: lease.cluster,
          release: async (failed) => {
            if (failed) {
              await saveLogs(environment.name, lease.cluster, logs);
            }
            await giveBack(environment.name, lease, failed);
          },
        };
      }
      let entry = shared.get(environment.name);
      if (entry === undefined) {
        entry = { lease: request(environment, 'shared', folder.cluster(environment.name)), failed: false };
        shared.set(environment.name, entry);
      }
      const { cluster } = await entry.lease;
      const held = entry;
      return {
        cluster,
        release: async (failed) => {
          held.failed ||= failed;
        },
      };
    },
    finish,
    finishAll: async () => {
      await Promise.all([...shared.keys()].map(finish));
    },
  };
}
