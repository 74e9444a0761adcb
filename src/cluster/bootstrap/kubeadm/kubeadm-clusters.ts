import { MkCiError } from '../../../errors.js';
import { identifySelf } from '../../../process.js';
import type { ClusterBackend } from '../../backend.js';
import type { ClusterOwner, ClusterSpec } from '../../cluster.js';
import { readClusterRecord, writeClusterRecord, type ClusterRecord, type MachineRecord } from '../../folder.js';
import type { ClusterCall } from '../../manager.js';
import { hasKubernetes, needKubernetes } from '../../without-kubernetes.js';
import { allOf } from './all-of.js';
import { runtimeComponents } from './nodes/bare-nodes.js';
import {
  createClusterMachines,
  findNode,
  judgeMachines,
  ownedBy,
  ownershipOf,
  planMachines,
  sizeOf,
} from './machines/cluster-machines.js';
import { runScript, type NodeWork } from './nodes/cluster-nodes.js';
import type { KubeadmClustersOptions, KubeadmContext } from './context.js';
import { planControlPlanes, splitMachines } from './machines/control-planes.js';
import { explain, saveAll } from './lifecycle/failed-start.js';
import { findImage, pinImage, withImages } from './machines/find-image.js';
import { createKubeadmState } from './state/kubeadm-state.js';
import { kubeadmStatus } from './lifecycle/kubeadm-status.js';
import { startNew } from './lifecycle/new-cluster.js';
import { addNodes, deleteNode, planWorkers, type NodeChange } from './nodes/node-changes.js';
import {
  checkSameImage,
  loadIntoNode,
  pullIntoNode,
  readArchiveManifest,
  readFromTar,
  readImageName,
} from './nodes/node-images.js';
import { STOP_NODE } from './render/node-scripts.js';
import { planUpgrade } from './upgrade/plan-upgrade.js';
import { refresh, startAgain, unpause } from './lifecycle/running-again.js';
import { removeCluster, removeFolder } from './machines/remove-cluster.js';
import { readSettings } from './settings.js';
import { settleRestore } from './state/settle-restore.js';
import { noteToUndo, undoUpgrade, upgradeCluster } from './upgrade/upgrade.js';

/**
 * Clusters whose nodes are machines with a kubelet, set up by kubeadm. Nothing here knows which driver makes the machines.
 *
 * Labels of machines name cluster, folder and run, not the owner: labels can not be changed, and a cluster that is kept
 * after its run has no owner any more. The owner is in the record of the folder; once that is gone, the machines are leftovers.
 */
export function createKubeadmClusters(options: KubeadmClustersOptions): ClusterBackend {
  const { drivers, bundles, journal, now } = options;
  const machines = createClusterMachines({ drivers, journal });
  const context: KubeadmContext = { ...options, machines };
  const state = createKubeadmState(context);

  /** @param leaving name of a node that need not run. @throws {MkCiError} `K8S_NOT_RUNNING` */
  const changeOf = async (record: ClusterRecord, call: ClusterCall, leaving?: string): Promise<NodeChange> => {
    const found = await machines.list(record.spec, call.paths, call.signal);
    const isRunning = ({ name }: MachineRecord): boolean =>
      found.some((machine) => machine.name === name && machine.state === 'running');
    const needed = (record.machines ?? []).filter((entry) => entry.node !== leaving || isRunning(entry));
    const state = judgeMachines({ ...record, machines: needed }, found);
    if (state !== 'running') throw new MkCiError('K8S_NOT_RUNNING', { message: `${call.name} is ${state}` });
    const split = splitMachines(await machines.attachAll({ ...record, machines: needed }, call.signal));
    const operations = machines.operationsOf(record.spec);
    return { record, call, ...split, operations, journal, ownership: ownershipOf(record, call.paths) };
  };

  /** One that is there, in whatever state. */
  const startStopped = async (
    have: ClusterRecord,
    call: ClusterCall,
    owner: ClusterOwner | undefined,
  ): Promise<ClusterRecord> => {
    await settleRestore(context, have, call);
    const state = await machines.stateOf(have, call.paths, call.signal);
    if (state === 'running') return have;
    if (state === 'paused') return await unpause(context, have, call);
    try {
      return await startAgain(context, ownedBy(have, owner), call);
    } catch (error) {
      throw await explain(context, error, have, call);
    }
  };

  /** What a new cluster is made from, and its record. Changes nothing of what is there. */
  const planNew = async (
    spec: ClusterSpec,
    { phases, signal, deadline }: ClusterCall,
    owner: ClusterOwner | undefined,
  ): Promise<{ readonly record: ClusterRecord; readonly image: string }> => {
    const image = await phases.run('image', async () => await findImage(context, spec, signal));
    const bundle = !hasKubernetes(spec)
      ? undefined
      : await phases.run(
          'bundle',
          async () =>
            await bundles.ensure(spec.kubernetesVersion, {
              parts: ['control-plane'],
              signal: AbortSignal.any([signal, AbortSignal.timeout(Math.ceil(deadline.leftMs()))]),
            }),
        );
    const record: ClusterRecord = {
      version: 1,
      spec,
      createdAt: now().toISOString(),
      wanted: 'starting',
      server: '',
      binaries: bundle?.binaries ?? '',
      machines: planMachines(spec),
      // Also of one that is started by hand, until it is up: what is left of a start that was killed is a leftover.
      owner: identifySelf(),
      ...(owner === undefined ? {} : { runId: owner.runId }),
    };
    return { record: withImages(record, await pinImage(drivers.get(spec.driver), image, signal)), image };
  };

  return {
    startMs: 300_000,

    validate: (spec) => {
      const { info } = drivers.get(spec.driver);
      readSettings(spec, info.options ?? []);
      const count = planMachines(spec).length;
      if (count > info.maxMachines) {
        throw new MkCiError('DRV_UNSUPPORTED', {
          message: `${count} machines with driver ${info.name}, which has ${info.maxMachines}`,
        });
      }
    },

    start: async (spec, call, have, { owner, seed }) => {
      if (have !== undefined && have.wanted !== 'starting') return await startStopped(have, call, owner);
      const { record, image } = await planNew(spec, call, owner);
      // What an interrupted start left under this name is ours: its labels name our folder.
      await removeCluster(context, { ...have, spec }, call.paths, call.signal);
      return await startNew(context, record, image, call, seed);
    },

    stop: async (record, { paths, phases, signal, deadline }) => {
      if ((await machines.stateOf(record, paths, signal)) === 'stopped') return;
      const operations = machines.operationsOf(record.spec);
      await phases.run('stop', async () => {
        await writeClusterRecord(paths, { ...record, wanted: 'stopped' });
        await allOf(
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
      const state = await machines.stateOf(record, paths, signal);
      if (state === 'paused') return;
      if (state !== 'running') throw new MkCiError('K8S_NOT_RUNNING', { message: `${name} is ${state}` });
      const operations = machines.operationsOf(record.spec);
      await phases.run('pause', async () => {
        await writeClusterRecord(paths, { ...record, wanted: 'paused' });
        // Workers first, so that the control plane does not see them go.
        for (const machine of [...(record.machines ?? [])].reverse()) await operations.pause(machine.name, signal);
      });
    },

    unpause: async (record, call) => {
      await settleRestore(context, record, call);
      return await unpause(context, record, call);
    },

    refresh: async (record, call) => {
      await refresh(context, record, call);
    },

    remove: async (record, { paths, signal }) => {
      if (record === undefined) await removeFolder(paths.folder);
      else await removeCluster(context, record, paths, signal);
    },

    machine: async (record, node, signal) => {
      const operations = machines.operationsOf(record.spec);
      const entry = findNode(record, node);
      const labels = { cluster: record.spec.name };
      const found = (await operations.list(labels, signal)).find(({ name }) => name === entry.name);
      if (found?.state === 'running') return await operations.attach(entry.name, signal);
      throw new MkCiError('K8S_NOT_RUNNING', {
        message: `${entry.node} of ${record.spec.name} is ${found?.state ?? 'gone'}`,
        advice: `Run mk-ci cluster ${found?.state === 'paused' ? 'unpause' : 'start'} ${record.spec.name}.`,
      });
    },

    state,

    upgrades: {
      plan: ({ spec }, version) => {
        needKubernetes(spec, 'upgrade');
        return planUpgrade(spec.name, spec.kubernetesVersion, version);
      },
      planUndo: async ({ spec }, paths) => (await noteToUndo(spec.name, paths)).from,
      upgrade: async (record, call, request) => {
        needKubernetes(record.spec, 'upgrade');
        return await upgradeCluster(context, state, record, call, request);
      },
      undo: async (record, call) => await undoUpgrade(context, state, record, call),
    },

    nodes: {
      add: async (record, call, count, kind) => {
        const planned = kind === 'worker' ? planWorkers(record, count) : planControlPlanes(record, count);
        const change = await changeOf(record, call);
        const image = await call.phases.run('image', async () => await findImage(context, record.spec, call.signal));
        const pinned = await pinImage(drivers.get(record.spec.driver), image, call.signal);
        const { addonImage } = context;
        return await addNodes(change, {
          ...(addonImage === undefined ? {} : { addonImage }),
          image: pinned ?? image,
          pinned,
          planned,
          size: sizeOf(record.spec),
        });
      },
      delete: async (record, call, node) => await deleteNode(await changeOf(record, call, node), node),
    },

    loadImages: async (record, call, archive) => {
      const { nodes } = await changeOf(record, call);
      const images = readArchiveManifest(await readFromTar(archive, 'manifest.json', call.signal));
      const work: NodeWork = { settings: readSettings(record.spec), signal: call.signal, deadline: call.deadline };
      await call.phases.run('images', async () => {
        await allOf(
          nodes.map(({ machine, record: { node } }) => loadIntoNode({ machine, node }, { archive, images }, work)),
        );
      });
      return images.flatMap(({ names }) => names);
    },

    pullImage: async (record, call, image) => {
      const name = readImageName(image);
      const { nodes } = await changeOf(record, call);
      const work: NodeWork = { settings: readSettings(record.spec), signal: call.signal, deadline: call.deadline };
      await call.phases.run('images', async () => {
        const found = await allOf(
          nodes.map(async ({ machine, record: { node } }) => ({
            node,
            id: await pullIntoNode({ machine, node }, name, work),
          })),
        );
        checkSameImage(name, found);
      });
      return name;
    },

    status: async (name, paths, record, signal) => {
      const found = record === undefined ? [] : await machines.list(record.spec, paths, signal);
      const state = record === undefined ? 'broken' : judgeMachines(record, found);
      const isBare = record !== undefined && !hasKubernetes(record.spec);
      const runtimes =
        isBare && state === 'running'
          ? await allOf(
              (await machines.attach(record, signal)).map(
                async (node) => await runtimeComponents(node, record, signal),
              ),
            )
          : [];
      return await kubeadmStatus({ name, paths, record, machines: found, runtimes: runtimes.flat(), state, signal });
    },

    saveLogs: async ({ paths, record, target, signal }) => {
      const known = record ?? (await readClusterRecord(paths));
      if (known !== undefined) await saveAll(context, known, paths, target, signal);
    },
  };
}
