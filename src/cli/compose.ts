import { createHash } from 'node:crypto';
import { join } from 'node:path';

import {
  createBundleStore,
  type Bundle,
  type BundleStore,
  type ManagedBundleStore,
  type SourceKind,
} from '../cluster/bundle/index.js';
import type { Environment } from '../config/index.js';
import { adminClient } from '../cluster/bootstrap/processes.js';

import type { ClusterSource, ClusterSpec } from '../cluster/cluster.js';
import { clusterFolder } from '../cluster/folder.js';
import {
  createClusterManager,
  createFolderBundle,
  isAddonName,
  recipeDigest,
  type AddonImageProvider,
  type FullClusterManager,
  type NodeImageProvider,
} from '../cluster/index.js';
import { createClusterSource, waitUntilSettled, type SpecWithoutName } from '../cluster/pool/index.js';
import { createTemplates } from '../cluster/templates/index.js';
import { chooseDriver, createDriverRegistry, type Driver, type DriverRegistry } from '../drivers/index.js';
import { exec } from '../exec.js';
import { foldersOf } from '../files.js';
import type { CliContext } from './command.js';
import {
  createAddonImageProvider,
  createNodeImageProvider,
  createUpgradePartsProvider,
} from './node-image-provider.js';
import { sharePrograms } from './shared-programs.js';

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

export interface OpenClustersOptions {
  readonly programs?: BundleStore;
  readonly parts?: NodeParts;
  /** `--yes`: the driver none may change this host. @default false */
  readonly isConfirmed?: boolean;
}

export function openClusters(context: CliContext, options: OpenClustersOptions = {}): FullClusterManager {
  return createClusterManager({
    stateFolder: foldersOf(context.env).state,
    bundles: options.programs ?? openPrograms(context),
    drivers: createDriverRegistry({
      exec,
      folders: foldersOf(context.env),
      isConfirmed: options.isConfirmed ?? false,
    }),
    exec,
    log: context.log,
    env: context.env,
    ...(options.parts ?? openNodeParts(context)),
    upgradeParts: createUpgradePartsProvider(context, openBundles(context)),
  });
}

/** What nodes are made from and given, shared by all that ask for it in one command. */
export interface NodeParts {
  readonly nodeImage: NodeImageProvider;
  readonly addonImage: AddonImageProvider;
}

/** Never made of the programs in `MK_CI_BINARIES`: a folder says nothing of their versions and licences. */
export function openNodeParts(context: CliContext): NodeParts {
  return {
    nodeImage: createNodeImageProvider(context, openBundles(context)),
    addonImage: createAddonImageProvider(context),
  };
}

export interface PickDriverOptions {
  /** Drivers that were tried, and what came of it. @default none */
  readonly tried?: ReadonlyMap<string, string>;
  /** What nodes of these versions are made of is got before a driver is picked, so that one for which that fails is passed over. @default nothing */
  readonly nodes?: { readonly nodeImage: NodeImageProvider; readonly kubernetesVersions: readonly string[] };
}

/** Name of the best driver that works here, for `--driver auto`; says which and why. @throws {MkCiError} `DRV_UNUSABLE` */
export async function pickDriver(context: CliContext, { tried, nodes }: PickDriverOptions = {}): Promise<string> {
  const registry = createDriverRegistry({ exec, folders: foldersOf(context.env) });
  const prepare = async (driver: string): Promise<void> => {
    if (nodes === undefined || !needsNodeImage(registry.get(driver), context)) return;
    for (const kubernetesVersion of nodes.kubernetesVersions)
      await nodes.nodeImage({ kubernetesVersion, driver }, context.signal);
  };
  const { name, why } = await chooseDriver(registry, {
    signal: context.signal,
    prepare,
    ...(tried === undefined ? {} : { tried }),
  });
  context.log.info(why);
  return name;
}

function needsNodeImage({ info }: Pick<Driver, 'info'>, { env }: Pick<CliContext, 'env'>): boolean {
  return info.machines !== 'none' && !env['MK_CI_NODE_IMAGE'];
}

/**
 * Gets what new nodes of a driver are made from, where they are made from something, and images of their addons, before the
 * deadline of a start begins: the first time it takes minutes. Nothing is made for a driver that can not work here.
 */
export async function prepareNodes(
  { nodeImage, addonImage }: NodeParts,
  { driver, kubernetesVersion, options }: Pick<ClusterSpec, 'driver' | 'kubernetesVersion' | 'options'>,
  context: Pick<CliContext, 'env' | 'signal'>,
): Promise<void> {
  const candidate = createDriverRegistry({ exec, folders: foldersOf(context.env) }).get(driver);
  const needsImage = needsNodeImage(candidate, context);
  const given = candidate.info.bootstrap === 'kubeadm' ? options?.['addons'] : undefined;
  const addons = Array.isArray(given) ? given.filter(isAddonName) : [];
  if (!needsImage && addons.length === 0) return;
  if (!(await candidate.check(context.signal, options)).usable) return;
  if (needsImage) await nodeImage({ kubernetesVersion, driver }, context.signal);
  for (const name of addons) await addonImage(name, context.signal);
}

/**
 * Clusters for the cells of one run: shared ones, and fresh ones from templates and a pool.
 *
 * Programs and node images that these environments need and that are not in the cache are got before this returns, with
 * progress; when they can not be had, each cell that needs them says why.
 */
export async function openRunClusters(
  context: CliContext,
  {
    runId,
    environments,
    isConfirmed,
  }: { readonly runId: string; readonly environments: readonly Environment[]; readonly isConfirmed: boolean },
): Promise<ClusterSource> {
  const { cache, state } = foldersOf(context.env);
  const drivers = createDriverRegistry({ exec, folders: foldersOf(context.env) });
  const programs = openPrograms(context);
  const programsFor = async (
    { driver, kubernetesVersion, nodes }: Pick<Environment, 'driver' | 'kubernetesVersion' | 'nodes'>,
    signal: AbortSignal,
  ): Promise<Bundle | undefined> => {
    if (drivers.get(driver).info.bootstrap !== 'processes') return undefined;
    const parts = nodes > 0 ? (['control-plane', 'fake-nodes'] as const) : (['control-plane'] as const);
    return await programs.ensure(kubernetesVersion, { parts, signal });
  };
  const parts = openNodeParts(context);
  // What fails here fails again for the cells that need it, with an answer kept for programs; others can go on.
  for (const environment of environments) {
    await programsFor(environment, context.signal).catch(() => undefined);
    await prepareNodes(parts, environment, context).catch(() => undefined);
  }
  return createClusterSource({
    manager: openClusters(context, { programs, parts, isConfirmed }),
    templates: createTemplates({ folder: join(cache, 'templates'), now: () => new Date() }),
    owner: { runId },
    bundleDigest: async (spec, signal) =>
      (await programsFor(spec, signal))?.digest ?? (await nodesDigest(drivers, parts.nodeImage, spec, context, signal)),
    settle: async ({ name, server }, signal) => {
      if (server === '') return;
      using client = await adminClient(clusterFolder(state, name), server);
      await waitUntilSettled(client, SETTLE_LIMIT_MS, signal);
    },
    // In a machine that is translated the start takes minutes, and its state is kept in seconds.
    keepsShared: ({ driver }) => drivers.get(driver).states !== undefined,
    log: context.log,
    removeTimeoutMs: REMOVE_LIMIT_MS,
  });
}

/**
 * Identity of what the nodes of a cluster are made of: their image, what is written into them, and the host, on which that
 * depends. `undefined` where nodes are not made from images, or their driver has only snapshots of its own.
 */
async function nodesDigest(
  drivers: DriverRegistry,
  nodeImage: NodeImageProvider,
  spec: SpecWithoutName,
  { env }: Pick<CliContext, 'env'>,
  signal: AbortSignal,
): Promise<string | undefined> {
  const driver = drivers.get(spec.driver);
  if (driver.images === undefined || (driver.snapshots !== undefined && driver.states === undefined)) return undefined;
  if (driver.states?.canRepeat(spec.options ?? {}) === false) return undefined;
  const wished = spec.options?.['nodeImage'] ?? env['MK_CI_NODE_IMAGE'];
  const { kubernetesVersion } = spec;
  const reference =
    typeof wished === 'string' && wished !== ''
      ? wished
      : await nodeImage({ kubernetesVersion, driver: driver.info.name }, signal);
  const image = await driver.images.identify(reference, signal);
  if (image === undefined) return undefined;
  const { facts } = await driver.check(signal);
  return createHash('sha256')
    .update(JSON.stringify([image, recipeDigest(spec), facts]))
    .digest('hex');
}

/** A busy engine takes its time for the containers of several nodes. */
const REMOVE_LIMIT_MS = 90_000;
const SETTLE_LIMIT_MS = 10_000;

/**
 * Programs for clusters: those of the folder that `MK_CI_BINARIES` names, as they are, otherwise those of bundles. Getting
 * a bundle shows its progress, see {@link sharePrograms}.
 */
function openPrograms(context: CliContext): BundleStore {
  const binaries = context.env['MK_CI_BINARIES'];
  return sharePrograms(binaries ? createFolderBundle(binaries) : openBundles(context), context);
}
