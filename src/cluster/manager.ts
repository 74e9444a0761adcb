import { readdir, rm } from 'node:fs/promises';
import { delimiter, join, resolve } from 'node:path';

import type { Driver, DriverRegistry } from '../drivers/index.js';
import { MkCiError, hostErrorOf } from '../errors.js';
import type { Argv, Exec, ExecOptions, ExecResult } from '../exec.js';
import { writeFileAtomically } from '../files.js';
import type { Logger } from '../log.js';
import { identifySelf } from '../process.js';
import { attachOptions, attachToCluster, isReachable, kubeconfigClient } from './bootstrap/attach.js';
import { createProcessClusters } from './bootstrap/process-clusters.js';
import { adminClient, type ClusterSeed } from './bootstrap/processes.js';
import { SUPERVISOR_ENTRY } from './bootstrap/supervisor-control.js';
import type { BundleStore } from './bundle/bundle.js';
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
  writeClusterRecord,
  type ClusterFolder,
  type ClusterRecord,
} from './folder.js';
import { createJournal } from './journal.js';
import { acquireLock } from './lock.js';
import { saveClusterLogs } from './logs.js';
import { createDeadline, createPhases, type Deadline, type Phases } from './phases.js';
import { stateOf, statusOf } from './status.js';

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
  /** Compiled supervisor. @default the one beside this file */
  readonly supervisorEntry?: string;
}

export interface StartOptions extends ClusterCallOptions {
  readonly owner?: ClusterOwner;
  /** A new cluster begins with a copy of this data in place of an empty store. */
  readonly seed?: ClusterSeed;
}

/** What this manager can do beyond the contract: begin with the data of another cluster, save logs of a broken one. */
export interface SeedableClusterManager extends ClusterManager {
  start(spec: ClusterSpec, options: StartOptions): Promise<RunningCluster>;
  /** The logs of a cluster in any state, see `RunningCluster.saveLogs`. Nothing but a note for one that is not there. */
  saveLogs(name: string, folder: string, signal: AbortSignal): Promise<void>;
}

const START_MS = 120_000;
const OTHER_MS = 60_000;

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
export function createClusterManager(options: ClusterManagerOptions): SeedableClusterManager {
  const { bundles, drivers, exec, log, env, now = () => new Date() } = options;
  const stateFolder = resolve(options.stateFolder);
  const journal = createJournal({ folder: join(stateFolder, 'journal'), now });
  const processes = createProcessClusters({
    stateFolder,
    bundles,
    journal,
    log,
    now,
    supervisorEntry: options.supervisorEntry ?? SUPERVISOR_ENTRY,
  });

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
  const driverOf = (record: ClusterRecord): Driver['info'] => drivers.get(record.spec.driver).info;
  const isAttached = (record: ClusterRecord | undefined): boolean =>
    record !== undefined && driverOf(record).bootstrap === 'attach';

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
    // A paused API server takes connections and never answers: it is not asked.
    const isUp = record !== undefined && (isAttached(record) || stateOf(await processes.facts(paths)) === 'running');
    using client = !isUp
      ? undefined
      : await (isAttached(record) ? kubeconfigClient(paths.kubeconfig) : adminClient(paths, record.server));
    await saveClusterLogs({ name, paths, record, target, signal, ...(client === undefined ? {} : { client }) });
  };

  const attach = async (
    spec: ClusterSpec,
    call: ClusterCall,
    have: ClusterRecord | undefined,
  ): Promise<RunningCluster> => {
    const { paths, phases, signal } = call;
    const found = await phases.run(
      'attach',
      async () => await attachToCluster({ ...attachOptions(spec, env), signal }),
    );
    const record: ClusterRecord = {
      version: 1,
      spec,
      createdAt: have?.createdAt ?? now().toISOString(),
      wanted: 'running',
      server: found.server,
      binaries: have?.binaries ?? '',
    };
    await writeFileAtomically(paths.kubeconfig, found.kubeconfig, { mode: 0o600 });
    await writeClusterRecord(paths, record);
    return handle(paths, record);
  };

  const need = async (paths: ClusterFolder, name: string): Promise<ClusterRecord> => {
    const record = await readClusterRecord(paths);
    if (record === undefined) throw new MkCiError('K8S_CLUSTER_NOT_FOUND', { message: name });
    return record;
  };
  /** The record of a cluster that is ours to stop and pause. */
  const needOwn = async (paths: ClusterFolder, name: string, verb: string): Promise<ClusterRecord> => {
    const record = await need(paths, name);
    if (isAttached(record)) {
      throw new MkCiError('DRV_UNSUPPORTED', {
        message: `${name} is attached to, not made by mk-ci: it can not be ${verb}`,
        advice: 'Use the tool that made the cluster.',
      });
    }
    return record;
  };
  const statusAt = async (name: string, paths: ClusterFolder, signal: AbortSignal): Promise<ClusterStatus> => {
    const record = await readClusterRecord(paths);
    if (!isAttached(record)) return statusOf(name, paths, await processes.facts(paths));
    const isUp = await isReachable(paths.kubeconfig, AbortSignal.any([signal, AbortSignal.timeout(5000)]));
    const facts = { record, supervisor: undefined, isSupervisorAlive: false };
    return { ...statusOf(name, paths, facts), state: isUp ? 'running' : 'broken' };
  };

  return {
    start: async (spec, startOptions) => {
      const call = begin(spec.name, startOptions, START_MS);
      const { info } = drivers.get(spec.driver);
      checkSpec(spec, info);
      await using _lock = await lock(call);
      const have = await readClusterRecord(call.paths);
      const differences = have === undefined ? [] : differencesOf(have.spec, spec);
      if (differences.length > 0) {
        throw new MkCiError('K8S_CLUSTER_EXISTS', {
          message: `${spec.name} (${differences.join('; ')})`,
          details: { problems: differences },
        });
      }
      if (info.bootstrap === 'attach') return await attach(spec, call, have);
      if (info.bootstrap !== 'processes') {
        throw new MkCiError('DRV_UNSUPPORTED', { message: `bootstrap ${info.bootstrap} of driver ${info.name}` });
      }
      const { usable, problems } = await drivers.get(spec.driver).check(call.signal);
      if (!usable) {
        throw new MkCiError('DRV_UNUSABLE', {
          message: spec.driver,
          details: { problems: problems.map(({ message, fix }) => `${message}. ${fix}`) },
        });
      }
      return handle(call.paths, await processes.start(spec, call, have, startOptions));
    },
    stop: async (name, callOptions) => {
      const call = begin(name, callOptions, OTHER_MS);
      await using _lock = await lock(call);
      await processes.stop(await needOwn(call.paths, name, 'stopped'), call);
    },
    pause: async (name, callOptions) => {
      const call = begin(name, callOptions, OTHER_MS);
      await using _lock = await lock(call);
      await processes.pause(await needOwn(call.paths, name, 'paused'), call);
    },
    unpause: async (name, callOptions) => {
      const call = begin(name, callOptions, OTHER_MS);
      await using _lock = await lock(call);
      return handle(call.paths, await processes.unpause(await needOwn(call.paths, name, 'unpaused'), call));
    },
    delete: async (name, callOptions) => {
      const call = begin(name, callOptions, OTHER_MS);
      await using _lock = await lock(call);
      if (!(await exists(call.paths.folder))) return;
      await call.phases.run('delete', async () => {
        const record = await readClusterRecord(call.paths);
        // Of an attached cluster only our own notes go; the cluster is not touched.
        if (isAttached(record)) await removeFolder(call.paths.folder);
        else await processes.remove(record, call);
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
    list: async (signal) => {
      const names = await listClusterNames(stateFolder);
      return await Promise.all(
        names.map(async (name) => await statusAt(name, clusterFolder(stateFolder, name), signal)),
      );
    },
    check: async (driver, signal) => await drivers.get(driver).check(signal),
    saveLogs,
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

/** @throws {MkCiError} `BND_UNKNOWN_VERSION`, `CLI_USAGE`, `DRV_UNSUPPORTED` */
function checkSpec(spec: ClusterSpec, info: Driver['info']): void {
  if (info.bootstrap !== 'attach') checkKubernetesVersion(spec.kubernetesVersion);
  if (!Number.isInteger(spec.nodes) || spec.nodes < 0 || spec.nodes > 1000) {
    throw new MkCiError('CLI_USAGE', {
      message: `nodes: ${spec.nodes}`,
      advice: 'Give a whole number from 0 to 1000.',
    });
  }
  if (spec.containerRuntime !== undefined && !info.containerRuntimes.includes(spec.containerRuntime)) {
    throw new MkCiError('DRV_UNSUPPORTED', {
      message: `container runtime ${spec.containerRuntime} with driver ${info.name}`,
    });
  }
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

async function removeFolder(folder: string): Promise<void> {
  try {
    await rm(folder, { recursive: true, force: true, maxRetries: 3 });
  } catch (error) {
    throw hostErrorOf(error, folder) ?? error;
  }
}
