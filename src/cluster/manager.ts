import { readdir } from 'node:fs/promises';
import { delimiter, join, resolve } from 'node:path';

import { throwProblems, type Driver, type DriverRegistry, type Machine } from '../drivers/index.js';
import { MkCiError, hostErrorOf } from '../errors.js';
import type { Argv, Exec, ExecOptions, ExecResult } from '../exec.js';
import type { Logger } from '../log.js';
import { identifySelf } from '../process.js';
import type { ClusterBackend, NodeKind, UpgradeRequest, Upgrades } from './backend.js';
import { createAttachBackend } from './bootstrap/attach-backend.js';
import {
  createKubeadmClusters,
  type AddonImageProvider,
  type NodeImageProvider,
  type UpgradePartsProvider,
} from './bootstrap/kubeadm/index.js';
import { createProcessBackend } from './bootstrap/process-backend.js';
import { SUPERVISOR_ENTRY } from './bootstrap/supervisor-control.js';
import type { BundleStore } from './bundle/bundle.js';
import { checkSpec } from './check-spec.js';
import type {
  ClusterCallOptions,
  ClusterManager,
  ClusterOwner,
  ClusterSpec,
  ClusterStatus,
  RunningCluster,
} from './cluster.js';
import {
  checkClusterName,
  checkKubernetesVersion,
  clusterFolder,
  differencesOf,
  listClusterNames,
  readClusterRecord,
  type ClusterFolder,
  type ClusterRecord,
} from './folder.js';
import { createJournal } from './journal.js';
import { acquireLock } from './lock.js';
import { createDeadline, createPhases, type Deadline, type Phases } from './phases.js';
import type { ClusterSeed, StateAccess, StateParts } from './state-access.js';

export interface ClusterManagerOptions {
  /** Made when absent. */
  readonly stateFolder: string;
  readonly bundles: BundleStore;
  readonly drivers: DriverRegistry;
  readonly exec: Exec;
  readonly log: Logger;
  /** Environment for commands run by `exec`, and for finding the default kubeconfig. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** @default () => new Date() */
  readonly now?: () => Date;
  /** @default the images that the driver has by the names of this Kubernetes version */
  readonly nodeImage?: NodeImageProvider;
  /** Programs and images for upgrades. @default none, and no upgrades */
  readonly upgradeParts?: UpgradePartsProvider;
  /** Without it clusters can have no addons of mk-ci. */
  readonly addonImage?: AddonImageProvider;
  /** Compiled supervisor. @default the one beside this file */
  readonly supervisorEntry?: string;
}

export interface StartOptions extends ClusterCallOptions {
  readonly owner?: ClusterOwner;
  /** A new cluster begins with a copy of this data in place of an empty store. */
  readonly seed?: ClusterSeed;
}

/** What this manager can do beyond the contract: begin with the data of another cluster, save logs of a broken one. */
export interface SeedableClusterManager extends ClusterManager, ClusterStateManager {
  start(spec: ClusterSpec, options: StartOptions): Promise<RunningCluster>;
  /**
   * Lets a frozen cluster go on for an instant, so that its nodes are not taken for lost when it goes on for good. Does
   * nothing for clusters that need no such thing, or that are not frozen.
   */
  refresh(name: string, options: ClusterCallOptions): Promise<void>;
  /** The logs of a cluster in any state, see `RunningCluster.saveLogs`. Nothing but a note for one that is not there. */
  saveLogs(name: string, folder: string, signal: AbortSignal): Promise<void>;
}

/** What snapshots and templates are made of, see {@link StateAccess}. The cluster is locked meanwhile. */
export interface ClusterStateManager {
  /** @throws {MkCiError} `K8S_CLUSTER_NOT_FOUND`, `DRV_UNSUPPORTED`, `K8S_NOT_RUNNING` */
  readState<T>(name: string, options: ClusterCallOptions, act: (parts: StateParts) => Promise<T>): Promise<T>;
  /** @throws {MkCiError} `K8S_CLUSTER_NOT_FOUND`, `DRV_UNSUPPORTED` */
  replaceState(name: string, options: ClusterCallOptions, fill: (parts: StateParts) => Promise<void>): Promise<void>;
}

/** What can be done with the nodes of clusters that have real ones. */
export interface ClusterNodesManager {
  /**
   * Adds nodes to a running cluster.
   *
   * @returns their names in Kubernetes
   * @throws {MkCiError} `DRV_UNSUPPORTED`, `K8S_ONE_CONTROL_PLANE`, `K8S_ABSENT`
   */
  addNodes(
    name: string,
    count: number,
    options: ClusterCallOptions & {
      /** @default 'worker' */
      readonly kind?: NodeKind;
    },
  ): Promise<readonly string[]>;
  /** Removes a node, after its pods have moved. Succeeds when there is none. @throws {MkCiError} `DRV_UNSUPPORTED` */
  deleteNode(name: string, node: string, options: ClusterCallOptions): Promise<void>;
  /** Puts the images of an archive into all nodes. @returns their names. @throws {MkCiError} `DRV_UNSUPPORTED` */
  loadImages(name: string, archive: string, options: ClusterCallOptions): Promise<readonly string[]>;
  /**
   * Lets the runtimes of all nodes get an image from its registry, and sees that they all got the same one.
   *
   * @returns its full name
   * @throws {MkCiError} `DRV_UNSUPPORTED`, `IMG_LOAD_FAILED`
   */
  pullImage(name: string, image: string, options: ClusterCallOptions): Promise<string>;
}

/** A way into the nodes of clusters that have real ones, also of those that are broken. */
export interface ClusterMachineManager {
  /**
   * @param node as Kubernetes names it. @default the control plane
   * @throws {MkCiError} `K8S_CLUSTER_NOT_FOUND`, `K8S_NODE_NOT_FOUND`, `K8S_NOT_RUNNING`, `DRV_UNSUPPORTED`
   */
  machineOf(name: string, node: string | undefined, signal: AbortSignal): Promise<Machine>;
}

export interface UpgradePlan {
  readonly from: string;
  readonly to: string;
  readonly does: 'upgrade' | 'nothing';
}

/** Other versions of Kubernetes for clusters that are there. */
export interface ClusterUpgradeManager {
  /** @throws {MkCiError} `K8S_CLUSTER_NOT_FOUND`, `BND_UNKNOWN_VERSION`, `K8S_DOWNGRADE`, `K8S_SKIPPED_MINOR`, `DRV_UNSUPPORTED` */
  planUpgrade(name: string, version: string): Promise<UpgradePlan>;
  /**
   * One that fails or is interrupted leaves the cluster as it was before.
   *
   * @throws {MkCiError} as {@link planUpgrade}; `K8S_NOT_RUNNING`, `K8S_UPGRADE_FAILED`
   */
  upgrade(
    name: string,
    version: string,
    options: ClusterCallOptions & Pick<UpgradeRequest, 'drainSeconds'>,
  ): Promise<RunningCluster>;
  /** @returns the version that {@link undoUpgrade} leads to. @throws {MkCiError} `K8S_SNAPSHOT_NOT_FOUND` */
  planUndo(name: string): Promise<string>;
  /** Takes the last upgrade back, with all that happened in the cluster since. @throws {MkCiError} `K8S_SNAPSHOT_NOT_FOUND` */
  undoUpgrade(name: string, options: ClusterCallOptions): Promise<RunningCluster>;
}

/** Everything that the manager of this host can do. */
export interface FullClusterManager
  extends SeedableClusterManager, ClusterNodesManager, ClusterMachineManager, ClusterUpgradeManager {
  /** What a cluster was asked to be, and was changed to since; `undefined` when there is none. */
  specOf(name: string): Promise<ClusterSpec | undefined>;
}

const OTHER_MS = 60_000;
/** Deadline for changes of nodes. */
const NODES_MS = 180_000;
/** For an image to come from its registry. */
const PULL_MS = 10 * 60_000;
/** Deadline for a cluster that starts with another state. */
const STATE_MS = 240_000;

/** Deadline of an upgrade; each node takes a minute or two. */
const UPGRADE_MS = 900_000;

/** What the two ways of having a cluster are handed for one call. */
export interface ClusterCall {
  readonly name: string;
  readonly paths: ClusterFolder;
  readonly signal: AbortSignal;
  readonly deadline: Deadline;
  readonly phases: Phases;
}

/**
 * Clusters by name, below one state folder. Everything that changes a cluster holds its lock, so two processes that start
 * or delete one name come one after the other; looking needs no lock.
 */
export function createClusterManager(options: ClusterManagerOptions): FullClusterManager {
  const { bundles, drivers, exec, log, env, now = () => new Date() } = options;
  const stateFolder = resolve(options.stateFolder);
  const journal = createJournal({ folder: join(stateFolder, 'journal'), now });
  const shared = { stateFolder, bundles, journal, log, now };
  const backends: Readonly<Record<Driver['info']['bootstrap'], ClusterBackend>> = {
    processes: createProcessBackend({ ...shared, supervisorEntry: options.supervisorEntry ?? SUPERVISOR_ENTRY }),
    kubeadm: createKubeadmClusters({
      ...shared,
      drivers,
      env,
      ...(options.nodeImage === undefined ? {} : { nodeImage: options.nodeImage }),
      ...(options.upgradeParts === undefined ? {} : { upgradeParts: options.upgradeParts }),
      ...(options.addonImage === undefined ? {} : { addonImage: options.addonImage }),
    }),
    attach: createAttachBackend({ env, now }),
  };
  /** A folder without a record holds at most processes: all others write the record before they make anything. */
  const backendOf = (record: ClusterRecord | undefined): ClusterBackend =>
    backends[record === undefined ? 'processes' : drivers.get(record.spec.driver).info.bootstrap];

  const begin = (name: string, call: ClusterCallOptions, defaultMs: number): ClusterCall => {
    checkClusterName(name);
    return {
      name,
      paths: clusterFolder(stateFolder, name),
      signal: call.signal,
      deadline: createDeadline(call.deadlineMs ?? defaultMs),
      phases: createPhases(name, call.onPhase),
    };
  };
  const lock = async ({ name, signal, deadline }: ClusterCall): Promise<AsyncDisposable> =>
    await acquireLock({
      folder: join(stateFolder, 'locks', name),
      owner: identifySelf(),
      signal,
      timeoutMs: deadline.leftMs(),
      onWait: (holder) => {
        log.info('another process works on this cluster: waiting', { cluster: name, pid: holder.pid });
      },
    });
  const handle = (paths: ClusterFolder, record: ClusterRecord): RunningCluster => {
    const { spec, server, binaries } = record;
    return {
      name: spec.name,
      spec,
      server,
      kubeconfig: paths.kubeconfig,
      binaries,
      saveLogs: async (folder, signal) => {
        await saveLogs(spec.name, folder, signal);
      },
      exec: async (argv: Argv, execOptions: ExecOptions = {}): Promise<ExecResult> =>
        await exec(argv, {
          ...execOptions,
          env: clusterEnvironment({ name: spec.name, kubeconfig: paths.kubeconfig, binaries }, execOptions.env ?? env),
        }),
    };
  };

  const saveLogs = async (name: string, target: string, signal: AbortSignal): Promise<void> => {
    checkClusterName(name);
    const paths = clusterFolder(stateFolder, name);
    const record = await readClusterRecord(paths);
    await backendOf(record).saveLogs({ name, paths, record, target, signal });
  };

  const need = async (paths: ClusterFolder, name: string): Promise<ClusterRecord> => {
    const record = await readClusterRecord(paths);
    if (record === undefined) throw new MkCiError('K8S_CLUSTER_NOT_FOUND', { message: name });
    return record;
  };
  const statusAt = async (name: string, paths: ClusterFolder, signal: AbortSignal): Promise<ClusterStatus> => {
    const record = await readClusterRecord(paths);
    return await backendOf(record).status(name, paths, record, signal);
  };

  const stateOf = (record: ClusterRecord): StateAccess => {
    const { state } = backendOf(record);
    if (state === undefined) throw unsupported('snapshots', record);
    return state;
  };

  const upgradesOf = (record: ClusterRecord): Upgrades => {
    const { upgrades } = backendOf(record);
    if (upgrades !== undefined) return upgrades;
    throw new MkCiError('DRV_UNSUPPORTED', {
      message: `upgrades with driver ${record.spec.driver}`,
      advice: 'Start another cluster of the version that is wanted.',
    });
  };

  const validate = (spec: ClusterSpec): void => {
    const { info } = drivers.get(spec.driver);
    checkSpec(spec, info);
    backends[info.bootstrap].validate(spec);
  };

  return {
    validate,
    start: async (spec, startOptions) => {
      const { info } = drivers.get(spec.driver);
      const backend = backends[info.bootstrap];
      const call = begin(spec.name, startOptions, info.startMs ?? backend.startMs);
      validate(spec);
      await using _lock = await lock(call);
      const have = await readClusterRecord(call.paths);
      const differences = have === undefined ? [] : differencesOf(have.spec, spec);
      if (differences.length > 0) {
        throw new MkCiError('K8S_CLUSTER_EXISTS', {
          message: `${spec.name} (${differences.join('; ')})`,
          details: { problems: differences },
        });
      }
      throwProblems(await drivers.get(spec.driver).check(call.signal, spec.options), spec.driver);
      return handle(call.paths, await backend.start(spec, call, have, startOptions));
    },
    stop: async (name, callOptions) => {
      const call = begin(name, callOptions, OTHER_MS);
      await using _lock = await lock(call);
      const record = await need(call.paths, name);
      await backendOf(record).stop(record, call);
    },
    pause: async (name, callOptions) => {
      const call = begin(name, callOptions, OTHER_MS);
      await using _lock = await lock(call);
      const record = await need(call.paths, name);
      await backendOf(record).pause(record, call);
    },
    unpause: async (name, callOptions) => {
      const call = begin(name, callOptions, OTHER_MS);
      await using _lock = await lock(call);
      const record = await need(call.paths, name);
      return handle(call.paths, await backendOf(record).unpause(record, call));
    },
    refresh: async (name, callOptions) => {
      const call = begin(name, callOptions, OTHER_MS);
      await using _lock = await lock(call);
      const record = await need(call.paths, name);
      await backendOf(record).refresh?.(record, call);
    },
    delete: async (name, callOptions) => {
      const call = begin(name, callOptions, OTHER_MS);
      await using _lock = await lock(call);
      if (!(await exists(call.paths.folder))) return;
      await call.phases.run('delete', async () => {
        const record = await readClusterRecord(call.paths);
        await backendOf(record).remove(record, call);
      });
    },
    get: async (name, signal) => {
      const { paths } = begin(name, { signal }, OTHER_MS);
      const record = await need(paths, name);
      const { state } = await statusAt(name, paths, signal);
      if (state !== 'running') throw new MkCiError('K8S_NOT_RUNNING', { message: `${name} is ${state}` });
      return handle(paths, record);
    },
    status: async (name, signal) => {
      const { paths } = begin(name, { signal }, OTHER_MS);
      if (!(await exists(paths.folder))) throw new MkCiError('K8S_CLUSTER_NOT_FOUND', { message: name });
      return await statusAt(name, paths, signal);
    },
    specOf: async (name) => {
      checkClusterName(name);
      return (await readClusterRecord(clusterFolder(stateFolder, name)))?.spec;
    },
    list: async (signal) => {
      const names = await listClusterNames(stateFolder);
      return await Promise.all(
        names.map(async (name) => await statusAt(name, clusterFolder(stateFolder, name), signal)),
      );
    },
    check: async (driver, signal, driverOptions) => await drivers.get(driver).check(signal, driverOptions),
    saveLogs,
    readState: async (name, callOptions, act) => {
      const call = begin(name, callOptions, NODES_MS);
      await using _lock = await lock(call);
      const record = await need(call.paths, name);
      return await stateOf(record).read(record, call, act);
    },
    replaceState: async (name, callOptions, fill) => {
      const call = begin(name, callOptions, STATE_MS);
      await using _lock = await lock(call);
      const record = await need(call.paths, name);
      await stateOf(record).replace(record, call, fill);
    },
    addNodes: async (name, count, callOptions) => {
      const call = begin(name, callOptions, NODES_MS);
      await using _lock = await lock(call);
      const record = await need(call.paths, name);
      const { nodes } = backendOf(record);
      if (nodes === undefined) throw unsupported('nodes that are added', record);
      const before = new Set(record.machines?.map(({ node }) => node));
      const { machines = [] } = await nodes.add(record, call, count, callOptions.kind ?? 'worker');
      return machines.map(({ node }) => node).filter((node) => !before.has(node));
    },
    deleteNode: async (name, node, callOptions) => {
      const call = begin(name, callOptions, NODES_MS);
      await using _lock = await lock(call);
      const record = await need(call.paths, name);
      const { nodes } = backendOf(record);
      if (nodes === undefined) throw unsupported('nodes that are removed', record);
      await nodes.delete(record, call, node);
    },
    machineOf: async (name, node, signal) => {
      checkClusterName(name);
      const record = await need(clusterFolder(stateFolder, name), name);
      const { machine } = backendOf(record);
      if (machine === undefined) {
        throw new MkCiError('DRV_UNSUPPORTED', {
          message: `nodes of ${name} with driver ${record.spec.driver} are no machines`,
          advice: `Use mk-ci cluster exec ${name}, which runs a command on this host with the kubeconfig of the cluster.`,
        });
      }
      return await machine(record, node, signal);
    },
    planUpgrade: async (name, version) => {
      checkClusterName(name);
      checkKubernetesVersion(version);
      const record = await need(clusterFolder(stateFolder, name), name);
      const does = upgradesOf(record).plan(record, version) ? 'upgrade' : 'nothing';
      return { from: record.spec.kubernetesVersion, to: version, does };
    },
    upgrade: async (name, version, callOptions) => {
      const call = begin(name, callOptions, UPGRADE_MS);
      checkKubernetesVersion(version);
      await using _lock = await lock(call);
      const record = await need(call.paths, name);
      const { drainSeconds } = callOptions;
      const request: UpgradeRequest = { version, ...(drainSeconds === undefined ? {} : { drainSeconds }) };
      return handle(call.paths, await upgradesOf(record).upgrade(record, call, request));
    },
    planUndo: async (name) => {
      checkClusterName(name);
      const paths = clusterFolder(stateFolder, name);
      const record = await need(paths, name);
      return await upgradesOf(record).planUndo(record, paths);
    },
    undoUpgrade: async (name, callOptions) => {
      const call = begin(name, callOptions, UPGRADE_MS);
      await using _lock = await lock(call);
      const record = await need(call.paths, name);
      return handle(call.paths, await upgradesOf(record).undo(record, call));
    },
    loadImages: async (name, archive, callOptions) => {
      const call = begin(name, callOptions, NODES_MS);
      await using _lock = await lock(call);
      const record = await need(call.paths, name);
      const { loadImages } = backendOf(record);
      if (loadImages === undefined) throw unsupported('images', record);
      return await loadImages(record, call, archive);
    },
    pullImage: async (name, image, callOptions) => {
      const call = begin(name, callOptions, PULL_MS);
      await using _lock = await lock(call);
      const record = await need(call.paths, name);
      const { pullImage } = backendOf(record);
      if (pullImage === undefined) throw unsupported('images', record);
      return await pullImage(record, call, image);
    },
  };
}

/** Environment of a command that works with a cluster: its kubectl is found first, its kubeconfig is the one in use. */
export function clusterEnvironment(
  cluster: Pick<RunningCluster, 'name' | 'kubeconfig' | 'binaries'>,
  env: Readonly<Record<string, string | undefined>>,
): Record<string, string | undefined> {
  const path = [cluster.binaries, env['PATH'] ?? ''].filter((part) => part !== '').join(delimiter);
  return { ...env, PATH: path, KUBECONFIG: cluster.kubeconfig, MK_CI_CLUSTER: cluster.name };
}

function unsupported(what: string, { spec }: ClusterRecord): MkCiError {
  return new MkCiError('DRV_UNSUPPORTED', { message: `${what} with driver ${spec.driver}` });
}

async function exists(folder: string): Promise<boolean> {
  try {
    await readdir(folder);
    return true;
  } catch (error) {
    const host = hostErrorOf(error, folder);
    if (host !== undefined) throw host;
    return false;
  }
}
