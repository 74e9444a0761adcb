import { rm } from 'node:fs/promises';
import { join } from 'node:path';

import { MkCiError, hostErrorOf, isMkCiError, messageOf } from '../../errors.js';
import type { Logger } from '../../log.js';
import { identifySelf, isAlive } from '../../process.js';
import type { Bundle, BundleStore } from '../bundle/bundle.js';
import type { ClusterOwner, ClusterSpec } from '../cluster.js';
import { keepFailedStart, withLogs } from '../failed-starts.js';
import {
  PORT_NAMES,
  readClusterRecord,
  writeClusterRecord,
  type ClusterFolder,
  type ClusterPorts,
  type ClusterRecord,
} from '../folder.js';
import type { Journal } from '../journal.js';
import type { ClusterCall } from '../manager.js';
import type { Ownership } from '../ownership.js';
import { leasePorts, listPortLeases, type PortLease } from '../ports.js';
import { waitForReadyz } from '../readiness.js';
import type { ClusterSeed } from '../state-access.js';
import { stateOf, type ClusterFacts } from '../status.js';
import {
  adminClient,
  followStart,
  keepLogs,
  prepareClusterFolder,
  serverOf,
  startComponents,
  type ControlPlaneOptions,
} from './processes.js';
import { endSupervised, pauseComponents, readSupervisorState, unpauseComponents } from './supervisor-control.js';

export interface ProcessClustersOptions {
  readonly stateFolder: string;
  readonly bundles: BundleStore;
  readonly journal: Journal;
  readonly log: Logger;
  readonly now: () => Date;
  readonly supervisorEntry: string;
}

/** Clusters whose control plane is processes of this host. The caller holds the lock of the cluster. */
export interface ProcessClusters {
  facts(paths: ClusterFolder): Promise<ClusterFacts>;
  /** @param have the record of an earlier start */
  start(
    spec: ClusterSpec,
    call: ClusterCall,
    have: ClusterRecord | undefined,
    options: { readonly owner?: ClusterOwner; readonly seed?: ClusterSeed },
  ): Promise<ClusterRecord>;
  stop(record: ClusterRecord, call: ClusterCall): Promise<void>;
  pause(record: ClusterRecord, call: ClusterCall): Promise<void>;
  unpause(record: ClusterRecord, call: ClusterCall): Promise<ClusterRecord>;
  remove(record: ClusterRecord | undefined, call: ClusterCall): Promise<void>;
}

/** How often other ports are tried when somebody takes one between lease and use. */
const PORT_ATTEMPTS = 3;
/** Ending all components in order takes at most the sum of their limits; see `planControlPlane`. */
const END_MS = 25_000;

export function createProcessClusters(options: ProcessClustersOptions): ProcessClusters {
  const { stateFolder, bundles, journal, log, now } = options;
  const portsFolder = join(stateFolder, 'ports');

  const facts = async (paths: ClusterFolder, record: ClusterRecord | undefined): Promise<ClusterFacts> => {
    const supervisor = await readSupervisorState(paths);
    return { record, supervisor, isSupervisorAlive: supervisor !== undefined && isAlive(supervisor.supervisor) };
  };

  /** Ends all processes and gives their ports back. */
  const end = async (paths: ClusterFolder): Promise<void> => {
    const state = await readSupervisorState(paths);
    await endSupervised(paths, END_MS);
    if (state === undefined) return;
    const leases = await listPortLeases(portsFolder);
    await Promise.all(
      leases
        .filter(({ owner }) => owner.pid === state.supervisor.pid && !isAlive(owner))
        .map(async ({ path }) => {
          await rm(path, { force: true });
        }),
    );
    await rm(paths.supervisorState, { force: true });
  };

  /** One try with one set of ports. @throws whatever stands in the way; everything is ended then */
  const tryStart = async (input: StartInput, avoid: readonly number[]): Promise<ClusterRecord> => {
    const { spec, call, have, bundle, ownership } = input;
    const { paths, signal } = call;
    const self = identifySelf();
    const leases = await leasePorts(PORT_NAMES.length, {
      folder: portsFolder,
      owner: self,
      avoid,
      prefer: have?.ports === undefined ? [] : PORT_NAMES.flatMap((name) => have.ports?.[name] ?? []),
    });
    try {
      const ports = assignPorts(leases, have?.ports);
      const record: ClusterRecord = {
        version: 1,
        spec,
        createdAt: have?.createdAt ?? now().toISOString(),
        wanted: 'starting',
        server: serverOf(ports),
        binaries: bundle.binaries,
        ports,
        ...(ownership.runId === undefined ? {} : { runId: ownership.runId }),
        ...(ownership.owner === undefined ? {} : { owner: ownership.owner }),
        ...(input.journalId === undefined ? {} : { journalId: input.journalId }),
      };
      await writeClusterRecord(paths, record);
      const control: ControlPlaneOptions = {
        name: spec.name,
        nodes: spec.nodes,
        paths,
        ports,
        bundle,
        ownership,
        isTied: ownership.owner !== undefined,
        supervisorEntry: options.supervisorEntry,
        extraFlags: extraFlagsOf(spec),
        signal,
        deadline: call.deadline,
        phases: call.phases,
      };
      const supervisor = await startComponents(control);
      // From here the ports are held by the process that uses them, and free when it has ended.
      await Promise.all(
        leases.map(async (lease) => {
          await lease.transfer(supervisor);
        }),
      );
      await followStart(control, supervisor);
      const running: ClusterRecord = { ...record, wanted: 'running' };
      await writeClusterRecord(paths, running);
      return running;
    } catch (error) {
      await endAfter(error, paths);
      await Promise.all(
        leases.map(async (lease) => {
          await lease.release();
        }),
      );
      signal.throwIfAborted(); // its reason says more than that something was aborted
      throw error;
    }
  };

  const endAfter = async (error: unknown, paths: ClusterFolder): Promise<void> => {
    try {
      await end(paths);
    } catch (second) {
      throw new MkCiError('DRV_FAILED', {
        message: `${messageOf(error)}; and its processes can not be ended`,
        cause: new AggregateError([error, second]),
      });
    }
  };

  const startWithPorts = async (input: StartInput): Promise<ClusterRecord> => {
    const avoid: number[] = [];
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await tryStart(input, avoid);
      } catch (error) {
        if (attempt === PORT_ATTEMPTS || !isPortTaken(error)) throw error;
        const ports = (await readClusterRecord(input.call.paths))?.ports;
        log.warn('a port was taken between lease and use: trying others', { cluster: input.spec.name, attempt });
        avoid.push(...PORT_NAMES.flatMap((name) => ports?.[name] ?? []));
      }
    }
  };

  const startNew = async (
    input: Omit<StartInput, 'journalId'>,
    seed: ClusterSeed | undefined,
  ): Promise<ClusterRecord> => {
    const { call, ownership, spec } = input;
    const { paths } = call;
    // Until it is up, the cluster belongs to the process that starts it, whoever has it later.
    const entry = await journal.intend(
      { kind: 'cluster-folder', path: paths.folder },
      { ...ownership, owner: identifySelf() },
    );
    try {
      await call.phases.run('prepare', async () => {
        await prepareClusterFolder(paths, { now: now(), signal: call.signal, ...(seed === undefined ? {} : { seed }) });
      });
      const record = await startWithPorts({ ...input, journalId: entry.id });
      if (ownership.owner === undefined) await journal.update(entry, { ownership: { owner: undefined } });
      return record;
    } catch (error) {
      const kept = call.signal.aborted
        ? undefined
        : await keepFailedStart({ stateFolder, name: spec.name, now: now() }, async (target) => {
            await keepLogs(paths, target);
          });
      await removeFolder(paths.folder);
      await journal.done(entry.id);
      throw withLogs(error, kept);
    }
  };

  return {
    facts: async (paths) => await facts(paths, await readClusterRecord(paths)),

    start: async (spec, call, have, { owner, seed }) => {
      const { paths, phases, signal, deadline } = call;
      const seen = await facts(paths, have);
      const state = have === undefined ? 'stopped' : stateOf(seen);
      if (have !== undefined && state === 'running') return have;
      if (have !== undefined && state === 'paused') return await unpause(have, call);

      const ownership: Ownership = {
        cluster: spec.name,
        folder: paths.folder,
        ...(owner === undefined ? {} : { runId: owner.runId, owner: identifySelf() }),
      };
      const bundle = await phases.run(
        'bundle',
        async () =>
          await bundles.ensure(spec.kubernetesVersion, {
            parts: spec.nodes > 0 ? ['control-plane', 'fake-nodes'] : ['control-plane'],
            signal: AbortSignal.any([signal, AbortSignal.timeout(Math.ceil(deadline.leftMs()))]),
          }),
      );
      const input = { spec, call, bundle, ownership };
      if (have === undefined) {
        // What an interrupted start left under this name, without a record, is ours: the folder is in our state folder.
        await end(paths);
        await removeFolder(paths.folder);
        return await startNew({ ...input, have: undefined }, seed);
      }
      // Broken, half started or stopped: end what is left, then start with the same data.
      await end(paths);
      try {
        await prepareClusterFolder(paths, { now: now(), signal });
        return await startWithPorts({ ...input, have, journalId: have.journalId });
      } catch (error) {
        await writeClusterRecord(paths, { ...have, wanted: 'stopped' });
        throw withLogs(error, paths.logs);
      }
    },

    stop: async (record, { paths, phases }) => {
      if (stateOf(await facts(paths, record)) === 'stopped') return;
      await phases.run('stop', async () => {
        await end(paths);
        await writeClusterRecord(paths, { ...record, wanted: 'stopped' });
      });
    },

    pause: async (record, { name, paths, phases }) => {
      const seen = await facts(paths, record);
      const state = stateOf(seen);
      if (state === 'paused') return;
      if (state !== 'running') throw new MkCiError('K8S_NOT_RUNNING', { message: `${name} is ${state}` });
      await phases.run('pause', async () => {
        // Noted first: a pause that is interrupted is then finished by the next, or undone by unpause.
        await writeClusterRecord(paths, { ...record, wanted: 'paused' });
        pauseComponents(seen.supervisor?.components ?? []);
      });
    },

    unpause,

    remove: async (record, { paths }) => {
      await end(paths);
      await removeFolder(paths.folder);
      if (record?.journalId !== undefined) await journal.done(record.journalId);
    },
  };

  async function unpause(record: ClusterRecord, call: ClusterCall): Promise<ClusterRecord> {
    const { name, paths, phases, signal, deadline } = call;
    const seen = await facts(paths, record);
    const state = stateOf(seen);
    if (state !== 'running' && state !== 'paused') {
      throw new MkCiError('K8S_NOT_RUNNING', { message: `${name} is ${state}` });
    }
    if (state === 'running') return record;
    await phases.run('unpause', async () => {
      unpauseComponents(seen.supervisor?.components ?? []);
      using client = await adminClient(paths, record.server);
      await waitForReadyz(client, { signal, deadlineMs: deadline.leftMs(), check: async () => undefined });
    });
    const running: ClusterRecord = { ...record, wanted: 'running' };
    await writeClusterRecord(paths, running);
    return running;
  }
}

interface StartInput {
  readonly spec: ClusterSpec;
  readonly call: ClusterCall;
  readonly have: ClusterRecord | undefined;
  readonly bundle: Bundle;
  readonly ownership: Ownership;
  readonly journalId: string | undefined;
}

/** Ports of a stopped cluster keep their meaning where they could be had again; the others are dealt out. */
export function assignPorts(leases: readonly Pick<PortLease, 'port'>[], old: ClusterPorts | undefined): ClusterPorts {
  const free = leases.map(({ port }) => port);
  const take = (wish: number | undefined): number | undefined => {
    const at = wish === undefined ? -1 : free.indexOf(wish);
    return at === -1 ? undefined : free.splice(at, 1)[0];
  };
  const kept = PORT_NAMES.map((name) => [name, take(old?.[name])] as const);
  const ports = Object.fromEntries(kept.map(([name, port]) => [name, port ?? free.shift() ?? 0]));
  const { etcdClient = 0, etcdPeer = 0, apiServer = 0, controllerManager = 0, scheduler = 0, kwok = 0 } = ports;
  return { etcdClient, etcdPeer, apiServer, controllerManager, scheduler, kwok };
}

/**
 * Option `extraFlags` of the spec: a list of flags by component.
 *
 * @throws {MkCiError} `CFG_INVALID` for another shape
 */
export function extraFlagsOf(spec: ClusterSpec): Readonly<Record<string, readonly string[]>> {
  const value = spec.options?.['extraFlags'];
  if (value === undefined) return {};
  if (typeof value === 'object' && value !== null) {
    const flags: Record<string, readonly string[]> = {};
    const bad = Object.entries(value).filter(([name, list]: [string, unknown]) => {
      if (!Array.isArray(list) || !list.every((flag) => typeof flag === 'string')) return true;
      flags[name] = list;
      return false;
    });
    if (bad.length === 0) return flags;
  }
  const problem = 'options.extraFlags: a list of flags for each component, such as { kube-apiserver: ["--v=4"] }';
  throw new MkCiError('CFG_INVALID', {
    message: `cluster ${spec.name}: ${problem}`,
    advice: 'Correct the options of the environment.',
    details: { problems: [problem] },
  });
}

function isPortTaken(error: unknown): boolean {
  return isMkCiError(error) && error.details['known'] === 'port-taken';
}

async function removeFolder(folder: string): Promise<void> {
  try {
    await rm(folder, { recursive: true, force: true, maxRetries: 3 });
  } catch (error) {
    throw hostErrorOf(error, folder) ?? error;
  }
}
