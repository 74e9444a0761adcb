import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import type { Driver, DriverRegistry, MachineOperations, MachineSpec, MachineSummary } from '../../../drivers/index.js';
import { MkCiError, hostErrorOf, isMkCiError, messageOf } from '../../../errors.js';
import { lastLines } from '../../../exec.js';
import type { Logger } from '../../../log.js';
import { identifySelf } from '../../../process.js';
import type { ClusterBackend } from '../../backend.js';
import type { BundleStore } from '../../bundle/bundle.js';
import type { ClusterOwner, ClusterSpec, ClusterState } from '../../cluster.js';
import { keepFailedStart, withLogs } from '../../failed-starts.js';
import {
  readClusterRecord,
  writeClusterRecord,
  type ClusterFolder,
  type ClusterRecord,
  type MachineRecord,
} from '../../folder.js';
import type { Journal } from '../../journal.js';
import { saveClusterLogs } from '../../logs.js';
import type { ClusterCall } from '../../manager.js';
import { ownershipLabels, type Ownership } from '../../ownership.js';
import { waitForDefaults, waitForNodes, waitForReadyz, type ReadinessOptions } from '../../readiness.js';
import { recogniseFailure } from '../known-failures.js';
import {
  connectNode,
  fetchCredentials,
  initControlPlane,
  joinWorker,
  kubeadmClient,
  newToken,
  peersOf,
  prepareNode,
  restartNode,
  runScript,
  writeKubeconfig,
  type ClusterNode,
  type NodeWork,
} from './cluster-nodes.js';
import { kubeadmStatus } from './kubeadm-status.js';
import { waitForDns, waitForHeartbeats, waitForPodSubnets } from './kubeadm-readiness.js';
import { addWorkers, deleteWorker, type NodeChange } from './node-changes.js';
import { loadIntoNode, readArchiveManifest, readFromTar } from './node-images.js';
import { saveNodeLogs } from './node-logs.js';
import { STOP_NODE, readNodeFailure, renderFailureScript } from './node-scripts.js';
import { planRuntime } from './render-runtimes.js';
import { API_PORT, CONTROL_PLANE_NODE, readSettings } from './settings.js';
import { parseNodeFacts } from './node-facts.js';
import { createDefaultStorageClass } from './storage.js';

export interface KubeadmClustersOptions {
  readonly stateFolder: string;
  readonly drivers: DriverRegistry;
  readonly bundles: BundleStore;
  readonly journal: Journal;
  readonly log: Logger;
  readonly now: () => Date;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly nodeImage?: NodeImageProvider;
}

/** Gives a driver the node image of a version, made when it is not there. @returns the name by which the driver knows it */
export type NodeImageProvider = (
  request: { readonly kubernetesVersion: string; readonly driver: string },
  signal: AbortSignal,
) => Promise<string>;

/** Removing what a failed or interrupted start made has its own limit. */
const REMOVE_MS = 90_000;
const DIAGNOSE_MS = 20_000;

/**
 * Clusters whose nodes are machines with a kubelet, set up by kubeadm. Nothing here knows which driver makes the machines.
 *
 * Labels of machines name cluster, folder and run, not the owner: labels can not be changed, and a cluster that is kept
 * after its run has no owner any more. The owner is in the record of the folder; once that is gone, the machines are leftovers.
 */
export function createKubeadmClusters(options: KubeadmClustersOptions): ClusterBackend {
  const { drivers, bundles, journal, log, now, stateFolder, env } = options;

  const machinesOf = (driver: Driver): MachineOperations => {
    if (driver.machines === undefined)
      throw new MkCiError('DRV_UNSUPPORTED', { message: `machines with driver ${driver.info.name}` });
    return driver.machines;
  };
  const labelsOf = (name: string, paths: ClusterFolder): Record<string, string> => ({
    cluster: name,
    folder: paths.folder,
  });
  const listMachines = async (
    spec: ClusterSpec,
    paths: ClusterFolder,
    signal: AbortSignal,
  ): Promise<readonly MachineSummary[]> =>
    await machinesOf(drivers.get(spec.driver)).list(labelsOf(spec.name, paths), signal);

  const stateOf = async (record: ClusterRecord, paths: ClusterFolder, signal: AbortSignal): Promise<ClusterState> =>
    judgeMachines(record, await listMachines(record.spec, paths, signal));

  /** Removes machines by record and by label: what a killed start made is in only one of them. */
  const removeMachines = async (
    record: Pick<ClusterRecord, 'spec' | 'machines'>,
    paths: ClusterFolder,
    signal: AbortSignal,
  ): Promise<void> => {
    const operations = machinesOf(drivers.get(record.spec.driver));
    const found = await listMachines(record.spec, paths, signal);
    await all(found.map(({ name }) => operations.remove(name, signal)));
    await all(
      (record.machines ?? []).map(async ({ journalId }) => {
        if (journalId !== undefined) await journal.done(journalId);
      }),
    );
  };

  const attachAll = async (record: ClusterRecord, signal: AbortSignal): Promise<readonly ClusterNode[]> => {
    const operations = machinesOf(drivers.get(record.spec.driver));
    return await all(
      (record.machines ?? []).map(async (entry) => ({
        machine: await operations.attach(entry.name, signal),
        record: entry,
      })),
    );
  };

  /** The image of the nodes. @throws {MkCiError} `BND_NO_SOURCE` with the names that were tried */
  const findImage = async (spec: ClusterSpec, driver: Driver, signal: AbortSignal): Promise<string> => {
    const wished = spec.options?.['nodeImage'] ?? env['MK_CI_NODE_IMAGE'];
    const isWished = typeof wished === 'string' && wished !== '';
    if (!isWished && options.nodeImage !== undefined) {
      return await options.nodeImage({ kubernetesVersion: spec.kubernetesVersion, driver: driver.info.name }, signal);
    }
    const names = isWished
      ? [wished]
      : [`mk-ci-node:${spec.kubernetesVersion}`, `mk-ci-node:dev-${spec.kubernetesVersion}`];
    for (const name of names) {
      if ((await driver.images?.identify(name, signal)) !== undefined) return name;
    }
    throw new MkCiError('BND_NO_SOURCE', {
      message: `${driver.info.name} has no node image ${names.join(' or ')}`,
      advice: `Run mk-ci node-image build --kubernetes-version ${spec.kubernetesVersion} --driver ${driver.info.name}.`,
    });
  };

  /** From nothing to pods that run. The record is there; the caller removes everything when this fails. */
  const setUp = async (record: ClusterRecord, image: string, call: ClusterCall): Promise<ClusterRecord> => {
    const { paths, phases, signal, deadline } = call;
    const { spec } = record;
    const settings = readSettings(spec);
    const work: NodeWork = { settings, signal, deadline };
    const operations = machinesOf(drivers.get(spec.driver));
    const labels = ownershipLabels({ ...ownershipOf(record, paths), role: 'node' });
    const size = sizeOf(spec);
    const made = await phases.run(
      'machines',
      async () =>
        await all(
          (record.machines ?? []).map(async (entry): Promise<ClusterNode> => ({
            record: entry,
            machine: await operations.create(
              {
                name: entry.name,
                labels,
                network: spec.name,
                image,
                ...size,
                ...driverOptionsOf(spec, drivers.get(spec.driver)),
                ...(entry.isControlPlane ? { publishedPorts: [API_PORT] } : {}),
                ...(drivers.get(spec.driver).info.machines === 'given'
                  ? { subnets: [settings.podSubnet, settings.serviceSubnet] }
                  : {}),
              },
              signal,
            ),
          })),
        ),
    );
    const peers = peersOf(made);
    const [first, ...others] = made;
    if (first === undefined) throw new MkCiError('CLI_USAGE', { message: 'a cluster of no nodes' });
    // Workers get ready for joining while the control plane starts.
    const token = newToken();
    const waiting = all(others.map((node) => prepareNode(node, peers, work)));
    waiting.catch(() => undefined); // looked at below; it must not end the process before that
    const controlPlane = await phases.run('runtime', async () => await prepareNode(first, peers, work));
    await phases.run('kubeadm-init', async () => {
      await initControlPlane(controlPlane, { clusterName: spec.name, token }, work);
    });
    const caHash = await fetchCredentials(first.machine, paths, work);
    const server = await writeKubeconfig(spec.name, first.machine, paths);
    using client = await kubeadmClient(paths, server);
    const ready = (): ReadinessOptions => ({ signal, deadlineMs: deadline.leftMs(), check: async () => undefined });
    const workers = await waiting;
    const nodes = (record.machines ?? []).map(({ node }) => node);
    let entries: readonly MachineRecord[] = record.machines ?? [];
    if (workers.length > 0) {
      await phases.run('kubeadm-join', async () => {
        await all(workers.map((node) => joinWorker(node, { token, caHash }, work)));
      });
    }
    await phases.run('network', async () => {
      const subnets = await waitForPodSubnets(client, nodes, ready());
      entries = entries.map((entry) => ({ ...entry, ...podSubnetOf(subnets, entry) }));
      if (settings.cni === 'own') {
        const known = made.map(({ machine }, index) => ({ machine, record: entries[index] ?? first.record }));
        await all(known.map((node) => connectNode(node, peersOf(known), work)));
      } else if (settings.cni !== 'none') {
        const apply = 'kubectl --kubeconfig /etc/kubernetes/admin.conf apply -f /etc/mk-ci/cni.yaml';
        const text = Buffer.from(settings.cni.manifest).toString('base64');
        await runScript(first.machine, `echo ${text} | base64 -d >/etc/mk-ci/cni.yaml && ${apply}\n`, work);
      }
    });
    await all([
      phases.run('default-serviceaccount', async () => {
        if (settings.hasDefaultStorage) await createDefaultStorageClass(client, signal);
        await waitForDefaults(client, ready());
      }),
      ...(settings.cni === 'none'
        ? []
        : [
            phases.run('nodes', async () => {
              await waitForNodes(client, nodes, ready());
            }),
            phases.run('dns', async () => {
              await waitForDns(client, ready());
            }),
          ]),
    ]);
    const settled = record.runId === undefined ? ownedBy(record, undefined) : record;
    const running: ClusterRecord = { ...settled, machines: entries, server, wanted: 'running' };
    await writeClusterRecord(paths, running);
    return running;
  };

  const startNew = async (record: ClusterRecord, image: string, call: ClusterCall): Promise<ClusterRecord> => {
    const { paths } = call;
    const ownership = ownershipOf(record, paths);
    const self = identifySelf();
    // Until it is up, all of it belongs to the process that starts it, whoever has it later.
    const folder = await journal.intend({ kind: 'cluster-folder', path: paths.folder }, { ...ownership, owner: self });
    const entries = await all(
      (record.machines ?? []).map(async (machine) => {
        const thing = { kind: 'resource', driver: record.spec.driver, type: 'machine', name: machine.name } as const;
        return await journal.intend(thing, { ...ownership, owner: self });
      }),
    );
    const noted: ClusterRecord = {
      ...record,
      journalId: folder.id,
      machines: (record.machines ?? []).map((machine, index) => ({ ...machine, ...journalIdOf(entries[index]) })),
    };
    try {
      for (const path of [paths.folder, paths.pki, paths.logs]) await mkdir(path, { recursive: true, mode: 0o700 });
      await writeClusterRecord(paths, noted);
      const running = await setUp(noted, image, call);
      if (ownership.owner === undefined) {
        for (const entry of [folder, ...entries]) await journal.update(entry, { ownership: { owner: undefined } });
      }
      return running;
    } catch (error) {
      const explained = await explain(error, noted, call);
      try {
        await removeMachines(noted, paths, AbortSignal.timeout(REMOVE_MS));
        await removeFolder(paths.folder);
        await journal.done(folder.id);
      } catch (second) {
        throw new MkCiError('DRV_FAILED', {
          message: `${messageOf(explained)}; and what was made of it could not be removed: ${messageOf(second)}`,
          advice: 'Run mk-ci gc --yes.',
          cause: new AggregateError([explained, second]),
        });
      }
      throw explained;
    }
  };

  /** The error of a start in the words of the component that is to blame, with its logs kept. */
  const explain = async (error: unknown, record: ClusterRecord, call: ClusterCall): Promise<unknown> => {
    if (call.signal.aborted) return error;
    const isOfNodes = isMkCiError(error) && ['K8S_', 'HOST_COMMAND_'].some((prefix) => error.code.startsWith(prefix));
    if (!isOfNodes) return error;
    const limit = AbortSignal.timeout(DIAGNOSE_MS);
    let result: unknown = error;
    try {
      const nodes = await attachAll(record, limit);
      const { units } = planRuntime(readSettings(record.spec), parseNodeFacts(''));
      for (const { machine, record: entry } of nodes) {
        const asked = await machine.exec(['sh'], { input: renderFailureScript(units), signal: limit });
        const { component, lines } = readNodeFailure(asked.stdout);
        const said = typeof error.details['output'] === 'string' ? lastLines(error.details['output'], 4) : [];
        const known = recogniseFailure(lines);
        const isTimeout = error.code === 'K8S_START_TIMEOUT' || error.code === 'HOST_COMMAND_TIMEOUT';
        result = new MkCiError(isTimeout ? 'K8S_START_TIMEOUT' : 'K8S_COMPONENT_FAILED', {
          message: `${component} on ${entry.node}: ${whatFailed(isTimeout ? error.message : (said.at(-1) ?? error.message), lines)}`,
          ...(known === undefined ? {} : { advice: known.advice }),
          cause: error,
          details: { component, node: entry.node, known: known?.kind, output: lines.join('\n') },
        });
        break; // workers only wait for the control plane, except when they are the ones that fail
      }
    } catch (second) {
      log.warn('the nodes of a cluster that did not start could not be asked why', { error: messageOf(second) });
    }
    const kept = await keepFailedStart({ stateFolder, name: record.spec.name, now: now() }, async (target) => {
      await saveAll(record, call.paths, target, AbortSignal.timeout(60_000));
    });
    return withLogs(result, kept);
  };

  const startAgain = async (record: ClusterRecord, call: ClusterCall): Promise<ClusterRecord> => {
    const { phases, signal, deadline } = call;
    const { spec } = record;
    const work: NodeWork = { settings: readSettings(spec), signal, deadline };
    const operations = machinesOf(drivers.get(spec.driver));
    const nodes = await phases.run(
      'machines',
      async () =>
        await all(
          (record.machines ?? []).map(async (entry) => ({
            record: entry,
            machine: await operations.start(entry.name, signal),
          })),
        ),
    );
    const since = now();
    const peers = peersOf(nodes);
    await phases.run('kubelet', async () => {
      await all(nodes.map((node) => restartNode(node, peers, work)));
    });
    return await goOn({ ...record, wanted: 'running' }, nodes, since, call);
  };

  /** Waits for a cluster whose machines run again: its address may be another. */
  const goOn = async (
    record: ClusterRecord,
    nodes: readonly ClusterNode[],
    since: Date | undefined,
    call: ClusterCall,
  ): Promise<ClusterRecord> => {
    const { paths, phases, signal, deadline } = call;
    const first = nodes[0];
    if (first === undefined) throw new MkCiError('K8S_CLUSTER_NOT_FOUND', { message: record.spec.name });
    const server = await writeKubeconfig(record.spec.name, first.machine, paths);
    using client = await kubeadmClient(paths, server);
    const names = nodes.map(({ record: { node } }) => node);
    const ready = (): ReadinessOptions => ({ signal, deadlineMs: deadline.leftMs(), check: async () => undefined });
    await phases.run('readyz', async () => {
      await waitForReadyz(client, ready());
    });
    if (since !== undefined) {
      await phases.run('nodes', async () => {
        await waitForHeartbeats(client, names, since, ready());
        await waitForNodes(client, names, ready());
      });
      await phases.run('dns', async () => {
        await waitForDns(client, { ...ready(), since });
      });
    }
    const running: ClusterRecord = { ...record, server, wanted: 'running' };
    await writeClusterRecord(paths, running);
    return running;
  };

  const unpause = async (record: ClusterRecord, call: ClusterCall): Promise<ClusterRecord> => {
    const { paths, phases, signal } = call;
    const state = await stateOf(record, paths, signal);
    if (state === 'running') return record;
    if (state !== 'paused') throw new MkCiError('K8S_NOT_RUNNING', { message: `${call.name} is ${state}` });
    const operations = machinesOf(drivers.get(record.spec.driver));
    await phases.run('unpause', async () => {
      // The control plane first: kubelets that find it report at once.
      for (const { name } of record.machines ?? []) await operations.unpause(name, signal);
    });
    return await goOn(record, await attachAll(record, signal), undefined, call);
  };

  /** @throws {MkCiError} `K8S_NOT_RUNNING` */
  const changeOf = async (record: ClusterRecord, call: ClusterCall): Promise<NodeChange> => {
    const state = await stateOf(record, call.paths, call.signal);
    if (state !== 'running') throw new MkCiError('K8S_NOT_RUNNING', { message: `${call.name} is ${state}` });
    const nodes = await attachAll(record, call.signal);
    const operations = machinesOf(drivers.get(record.spec.driver));
    return { record, call, nodes, operations, journal, ownership: ownershipOf(record, call.paths) };
  };

  const saveAll = async (
    record: ClusterRecord,
    paths: ClusterFolder,
    target: string,
    signal: AbortSignal,
  ): Promise<void> => {
    const operations = machinesOf(drivers.get(record.spec.driver));
    const state = await stateOf(record, paths, signal).catch(() => 'broken' as const);
    using client = state !== 'running' || record.server === '' ? undefined : await kubeadmClient(paths, record.server);
    await all([
      saveClusterLogs({
        name: record.spec.name,
        paths,
        record,
        target,
        signal,
        ...(client === undefined ? {} : { client }),
      }),
      ...(record.machines ?? []).map(async ({ name }) => {
        const folder = join(target, name);
        try {
          await saveNodeLogs(await operations.attach(name, signal), folder, signal);
        } catch (error) {
          signal.throwIfAborted();
          await mkdir(folder, { recursive: true });
          await writeFile(join(folder, 'missing.txt'), `${messageOf(error)}\n`);
        }
      }),
    ]);
  };

  return {
    startMs: 300_000,

    start: async (spec, call, have, { owner }) => {
      const { paths, phases, signal } = call;
      const driver = drivers.get(spec.driver);
      readSettings(spec, driver.info.options ?? []);
      if (have !== undefined && have.wanted !== 'starting') {
        const state = await stateOf(have, paths, signal);
        if (state === 'running') return have;
        if (state === 'paused') return await unpause(have, call);
        try {
          return await startAgain(ownedBy(have, owner), call);
        } catch (error) {
          throw await explain(error, have, call);
        }
      }
      const image = await phases.run('image', async () => await findImage(spec, driver, signal));
      const bundle = await phases.run(
        'bundle',
        async () =>
          await bundles.ensure(spec.kubernetesVersion, {
            parts: ['control-plane'],
            signal: AbortSignal.any([signal, AbortSignal.timeout(Math.ceil(call.deadline.leftMs()))]),
          }),
      );
      const record: ClusterRecord = {
        version: 1,
        spec,
        createdAt: now().toISOString(),
        wanted: 'starting',
        server: '',
        binaries: bundle.binaries,
        machines: planMachines(spec),
        // Also of one that is started by hand, until it is up: what is left of a start that was killed is a leftover.
        owner: identifySelf(),
        ...(owner === undefined ? {} : { runId: owner.runId }),
      };
      // What an interrupted start left under this name is ours: its labels name our folder.
      await removeMachines({ spec, machines: have?.machines ?? [] }, paths, signal);
      if (have?.journalId !== undefined) await journal.done(have.journalId);
      await removeFolder(paths.folder);
      return await startNew(record, image, call);
    },

    stop: async (record, { paths, phases, signal, deadline }) => {
      if ((await stateOf(record, paths, signal)) === 'stopped') return;
      const operations = machinesOf(drivers.get(record.spec.driver));
      await phases.run('stop', async () => {
        await writeClusterRecord(paths, { ...record, wanted: 'stopped' });
        await all(
          (record.machines ?? []).map(async ({ name }) => {
            const work = { signal, deadline: { ...deadline, leftMs: () => Math.min(20_000, deadline.leftMs()) } };
            await operations.unpause(name, signal);
            const machine = await operations.attach(name, signal).catch(() => undefined); // stopped already
            // Only spares what runs a hard end: a node that does not answer is stopped all the same.
            if (machine !== undefined) await runScript(machine, STOP_NODE, work).catch(() => undefined);
            await operations.stop(name, signal);
          }),
        );
      });
    },

    pause: async (record, { name, paths, phases, signal }) => {
      const state = await stateOf(record, paths, signal);
      if (state === 'paused') return;
      if (state !== 'running') throw new MkCiError('K8S_NOT_RUNNING', { message: `${name} is ${state}` });
      const operations = machinesOf(drivers.get(record.spec.driver));
      await phases.run('pause', async () => {
        await writeClusterRecord(paths, { ...record, wanted: 'paused' });
        // Workers first, so that the control plane does not see them go.
        for (const machine of [...(record.machines ?? [])].reverse()) await operations.pause(machine.name, signal);
      });
    },

    unpause,

    remove: async (record, { paths, signal }) => {
      if (record !== undefined) await removeMachines(record, paths, signal);
      await removeFolder(paths.folder);
      if (record?.journalId !== undefined) await journal.done(record.journalId);
    },

    nodes: {
      add: async (record, call, count) => {
        const change = await changeOf(record, call);
        const image = await call.phases.run(
          'image',
          async () => await findImage(record.spec, drivers.get(record.spec.driver), call.signal),
        );
        return await addWorkers(change, { image, count, size: sizeOf(record.spec) });
      },
      delete: async (record, call, node) => await deleteWorker(await changeOf(record, call), node),
    },

    loadImages: async (record, call, archive) => {
      const { nodes } = await changeOf(record, call);
      const images = readArchiveManifest(await readFromTar(archive, 'manifest.json', call.signal));
      const work: NodeWork = { settings: readSettings(record.spec), signal: call.signal, deadline: call.deadline };
      await call.phases.run('images', async () => {
        await all(
          nodes.map(({ machine, record: { node } }) => loadIntoNode({ machine, node }, { archive, images }, work)),
        );
      });
      return images.flatMap(({ names }) => names);
    },

    status: async (name, paths, record, signal) => {
      const machines = record === undefined ? [] : await listMachines(record.spec, paths, signal);
      const state = record === undefined ? 'broken' : judgeMachines(record, machines);
      return await kubeadmStatus({ name, paths, record, machines, state, signal });
    },

    saveLogs: async ({ paths, record, target, signal }) => {
      const known = record ?? (await readClusterRecord(paths));
      if (known !== undefined) await saveAll(known, paths, target, signal);
    },
  };
}

/** State from what was asked for and what the machines do. */
export function judgeMachines(
  record: Pick<ClusterRecord, 'wanted' | 'machines'>,
  found: readonly MachineSummary[],
): ClusterState {
  const wanted = record.machines ?? [];
  const states = wanted.map(({ name }) => found.find((machine) => machine.name === name)?.state ?? 'broken');
  if (record.wanted === 'starting') return 'broken'; // a living starter holds the lock; without one it was interrupted
  if (states.length === 0 || states.includes('broken')) return 'broken';
  if (states.every((state) => state === 'running')) return 'running';
  if (states.every((state) => state === 'stopped')) return 'stopped';
  if (states.every((state) => state === 'paused')) return 'paused';
  return record.wanted === 'paused' && !states.includes('stopped') ? 'paused' : 'broken';
}

/** The control plane and its workers. Machines carry the name of the cluster, nodes do not: they are the same in all clusters. */
export function planMachines({ name, nodes }: Pick<ClusterSpec, 'name' | 'nodes'>): MachineRecord[] {
  const names = [
    CONTROL_PLANE_NODE,
    ...Array.from({ length: Math.max(0, nodes - 1) }, (_, index) => `worker-${index + 1}`),
  ];
  return names.map((node, index) => ({ name: `${name}-${node}`, node, isControlPlane: index === 0 }));
}

function ownershipOf(record: ClusterRecord, paths: ClusterFolder): Ownership {
  return {
    cluster: record.spec.name,
    folder: paths.folder,
    ...(record.runId === undefined ? {} : { runId: record.runId }),
  };
}

function sizeOf({ options }: ClusterSpec): { readonly cpus?: number; readonly memoryMiB?: number } {
  const number = (key: 'cpus' | 'memoryMiB'): object =>
    typeof options?.[key] === 'number' ? { [key]: options[key] } : {};
  return { ...number('cpus'), ...number('memoryMiB') };
}

/** What of the options of a spec is the driver's. */
function driverOptionsOf({ options = {} }: ClusterSpec, { info }: Driver): Pick<MachineSpec, 'options'> {
  const own = Object.entries(options).filter(([key]) => info.options?.includes(key) === true);
  return own.length === 0 ? {} : { options: Object.fromEntries(own) };
}

/** The same cluster with another owner, or none: one that a run keeps belongs to nobody. */
function ownedBy(record: ClusterRecord, owner: ClusterOwner | undefined): ClusterRecord {
  const { owner: _owner, runId: _runId, ...rest } = record;
  return { ...rest, ...(owner === undefined ? {} : { runId: owner.runId, owner: identifySelf() }) };
}

/** What stopped the start, and the last words of the component that is to blame. */
function whatFailed(stopped: string, lines: readonly string[]): string {
  return [stopped, ...lines.slice(-1)].map((text) => text.trim().slice(0, 300)).join('; its last words: ');
}

function podSubnetOf(subnets: ReadonlyMap<string, string>, { node }: MachineRecord): Pick<MachineRecord, 'podSubnet'> {
  const podSubnet = subnets.get(node);
  return podSubnet === undefined ? {} : { podSubnet };
}

function journalIdOf(entry: { readonly id: string } | undefined): Pick<MachineRecord, 'journalId'> {
  return entry === undefined ? {} : { journalId: entry.id };
}

/** Waits for all of them to end, also when one fails: what is still being made can not be removed. */
async function all<T>(tasks: readonly Promise<T>[]): Promise<T[]> {
  const results = await Promise.allSettled(tasks);
  return results.map((result) => {
    if (result.status === 'rejected') throw result.reason;
    return result.value;
  });
}

async function removeFolder(folder: string): Promise<void> {
  try {
    await rm(folder, { recursive: true, force: true, maxRetries: 3 });
  } catch (error) {
    throw hostErrorOf(error, folder) ?? error;
  }
}
