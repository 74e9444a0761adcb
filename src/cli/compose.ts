import { join } from 'node:path';

import { createBundleStore, type ManagedBundleStore, type SourceKind } from '../cluster/bundle/index.js';
import { adminClient } from '../cluster/bootstrap/processes.js';
import type { BundleStore } from '../cluster/bundle/index.js';
import type { ClusterSource } from '../cluster/cluster.js';
import { clusterFolder } from '../cluster/folder.js';
import { createClusterManager, createFolderBundle, type SeedableClusterManager } from '../cluster/index.js';
import { createClusterSource, waitUntilSettled, type ClusterSourceOptions } from '../cluster/pool/index.js';
import { createTemplates } from '../cluster/templates/index.js';
import { createDriverRegistry } from '../drivers/index.js';
import { exec } from '../exec.js';
import { foldersOf } from '../files.js';
import type { CliContext } from './command.js';

/** How several commands are given the real parts: bundles and clusters of this user on this host. */

export interface OpenBundlesOptions {
  readonly sources?: readonly SourceKind[] | undefined;
  /** Folder or URL of a mirror. @default the environment variable `MK_CI_BUNDLE_FROM` */
  readonly from?: string | undefined;
}

export function openBundles(context: CliContext, { sources, from }: OpenBundlesOptions = {}): ManagedBundleStore {
  return createBundleStore({
    cacheFolder: foldersOf(context.env).cache,
    exec,
    log: context.log,
    env: context.env,
    cwd: context.cwd,
    from: from ?? (context.env['MK_CI_BUNDLE_FROM'] || undefined),
    ...(sources === undefined ? {} : { sources }),
  });
}

export function openClusters(context: CliContext): SeedableClusterManager {
  return createClusterManager({
    stateFolder: foldersOf(context.env).state,
    bundles: openPrograms(context),
    drivers: createDriverRegistry({ exec }),
    exec,
    log: context.log,
    env: context.env,
  });
}

/** Clusters for the cells of one run: shared ones, and fresh ones from templates and a pool. */
export function openRunClusters(
  context: CliContext,
  runId: string,
  pool?: ClusterSourceOptions['pool'],
): ClusterSource {
  const { cache, state } = foldersOf(context.env);
  const drivers = createDriverRegistry({ exec });
  const programs = openPrograms(context);
  return createClusterSource({
    manager: openClusters(context),
    stateFolder: state,
    templates: createTemplates({ folder: join(cache, 'templates'), now: () => new Date() }),
    owner: { runId },
    bundleDigest: async ({ driver, kubernetesVersion, nodes }, signal) => {
      // Only a cluster whose data lies in a folder of this host can begin with a copy of another one's.
      if (drivers.get(driver).info.bootstrap !== 'processes') return undefined;
      const parts = nodes > 0 ? (['control-plane', 'fake-nodes'] as const) : (['control-plane'] as const);
      return (await programs.ensure(kubernetesVersion, { parts, signal })).digest;
    },
    settle: async ({ name, server }, signal) => {
      using client = await adminClient(clusterFolder(state, name), server);
      await waitUntilSettled(client, SETTLE_LIMIT_MS, signal);
    },
    log: context.log,
    ...(pool === undefined ? {} : { pool }),
  });
}

const SETTLE_LIMIT_MS = 10_000;

/** `MK_CI_BINARIES` names a folder of programs that are used as they are; otherwise they come from bundles. */
function openPrograms(context: CliContext): BundleStore {
  const binaries = context.env['MK_CI_BINARIES'];
  return binaries ? createFolderBundle(binaries) : openBundles(context);
}
