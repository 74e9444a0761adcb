import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

import { adminClient } from '../src/cluster/bootstrap/processes.js';
import type { BundleStore } from '../src/cluster/bundle/bundle.js';
import type { ClusterSource } from '../src/cluster/cluster.js';
import { clusterFolder } from '../src/cluster/folder.js';
import { createClusterManager, type FullClusterManager } from '../src/cluster/index.js';
import { createClusterSource, waitUntilSettled, type ClusterSourceOptions } from '../src/cluster/pool/index.js';
import { createTemplates } from '../src/cluster/templates/index.js';
import { createDriverRegistry, type DriverRegistry } from '../src/drivers/index.js';
import { exec } from '../src/exec.js';
import { createLogger } from '../src/log.js';

/** Of all clusters that are measured. */
export const VERSION = 'v1.36.3';

export interface BenchClusters {
  readonly stateFolder: string;
  readonly drivers: DriverRegistry;
  readonly manager: FullClusterManager;
  /** Fresh clusters, from templates that all sources share. */
  readonly openSource: (pool: { readonly min: number; readonly max: number }) => ClusterSource;
  /** Until a prepared cluster is frozen. */
  readonly waitForFrozen: () => Promise<void>;
}

export interface BenchClustersOptions extends Pick<ClusterSourceOptions, 'room'> {
  /** Where clusters and templates lie. */
  readonly folder: string;
  /** @default one in the folder */
  readonly templatesFolder?: string;
  readonly bundles: BundleStore;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Names what clusters are made from. */
  readonly digest: (drivers: DriverRegistry) => Promise<string>;
  readonly signal: AbortSignal;
}

/** Clusters that nothing outside of a folder knows of. */
export function openBenchClusters(options: BenchClustersOptions): BenchClusters {
  const { folder, bundles, env, digest, signal, room, templatesFolder = join(folder, 'templates') } = options;
  const stateFolder = join(folder, 'state');
  const drivers = createDriverRegistry({ exec });
  const log = createLogger({ write: say });
  const manager = createClusterManager({
    ...{ stateFolder, bundles, drivers, exec, log, env },
    supervisorEntry: join(import.meta.dirname, '..', 'dist', 'cluster', 'supervisor-main.js'),
  });
  return {
    stateFolder,
    drivers,
    manager,
    openSource: (pool) =>
      createClusterSource({
        manager,
        templates: createTemplates({ folder: templatesFolder, now: () => new Date() }),
        owner: { runId: `bench${pool.max}` },
        bundleDigest: async () => await digest(drivers),
        settle: async ({ name, server }) => {
          using client = await adminClient(clusterFolder(stateFolder, name), server);
          await waitUntilSettled(client, 10_000, signal);
        },
        log,
        pool,
        removeTimeoutMs: 90_000,
        ...(room === undefined ? {} : { room }),
      }),
    waitForFrozen: async () => {
      while (!(await manager.list(signal)).some(({ state }) => state === 'paused'))
        await delay(200, undefined, { signal });
    },
  };
}

/** To standard error: standard output is the result. */
export function say(text: string): void {
  process.stderr.write(`${text}\n`);
}
