import { createBundleStore, type ManagedBundleStore, type SourceKind } from '../cluster/bundle/index.js';
import { createClusterManager, type SeedableClusterManager } from '../cluster/index.js';
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
    bundles: openBundles(context),
    drivers: createDriverRegistry({ exec }),
    exec,
    log: context.log,
    env: context.env,
  });
}
