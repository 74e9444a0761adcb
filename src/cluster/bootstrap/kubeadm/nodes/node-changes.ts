import type { MachineOperations } from '../../../../drivers/index.js';
import { MkCiError } from '../../../../errors.js';
import { writeClusterRecord, type ClusterRecord, type MachineRecord } from '../../../folder.js';
import type { Journal } from '../../../journal.js';
import type { ClusterCall } from '../../../manager.js';
import { ownershipLabels, type Ownership } from '../../../ownership.js';
import { createDeadline } from '../../../phases.js';
import { waitForNodes, type ReadinessOptions } from '../../../readiness.js';
import { hasKubernetes } from '../../../without-kubernetes.js';
import { allOf } from '../all-of.js';
import { BARE_NODE, WORKER_NODE, inotifyInstancesOf, withPodSubnets } from '../machines/cluster-machines.js';
import { loadAddonImages } from './addons.js';
import {
  connectNode,
  fetchCredentials,
  joinNode,
  kubeadmClient,
  newToken,
  peersOf,
  prepareNode,
  runScript,
  type ClusterNode,
  type NodeWork,
} from './cluster-nodes.js';
import { checkControlPlaneGoes } from '../machines/control-planes.js';
import { connectMachines } from './every-machine.js';
import { withImages } from '../machines/find-image.js';
import type { KubeadmContext } from '../context.js';
import { joinControlPlane, removeEtcdMember } from './join-control-plane.js';
import { waitForPodSubnets } from '../lifecycle/kubeadm-readiness.js';
import { handOver, noteMachines } from '../machines/machine-notes.js';
import { leftBehind } from '../machines/remove-cluster.js';
import { ADMIN_KUBECTL } from '../render/node-scripts.js';
import { readSettings } from '../settings.js';

/** Nodes that come to a running cluster and leave it. */

export interface NodesToAdd extends Pick<KubeadmContext, 'addonImage'> {
  readonly image: string;
  /** The same as what is saved of nodes is found by, where the driver has such a reference. */
  readonly pinned: string | undefined;
  readonly planned: readonly MachineRecord[];
  readonly size: object;
}

export interface NodeChange {
  readonly record: ClusterRecord;
  readonly call: ClusterCall;
  /** Those that run. */
  readonly nodes: readonly ClusterNode[];
  readonly balancer: ClusterNode | undefined;
  readonly operations: Pick<MachineOperations, 'create' | 'remove'>;
  readonly journal: Journal;
  readonly ownership: Ownership;
}

const REMOVE_MS = 60_000;
/** Time for the pods of a node to leave it. */
const DRAIN_SECONDS = 60;

/** Names of the next workers: numbers are not used again, so that nothing of a removed node is taken for the new one's. */
export function planWorkers(
  { spec, machines = [] }: Pick<ClusterRecord, 'spec' | 'machines'>,
  count: number,
): MachineRecord[] {
  const kind = hasKubernetes(spec) ? WORKER_NODE : BARE_NODE;
  const last = lastNumberOf(kind, machines);
  return Array.from({ length: count }, (_, index) => {
    const node = `${kind}-${last + index + 1}`;
    return { name: `${spec.name}-${node}`, node, isControlPlane: false };
  });
}

function lastNumberOf(kind: string, machines: readonly MachineRecord[]): number {
  const numbers = machines.map(({ node }) => Number(new RegExp(`^${kind}-(\\d+)$`).exec(node)?.[1] ?? 0));
  return Math.max(0, ...numbers);
}

/** Makes nodes from an image and waits until they are Ready. When one fails, none of them is left. */
export async function addNodes(
  change: NodeChange,
  { image, pinned, planned: wanted, size, ...providers }: NodesToAdd,
): Promise<ClusterRecord> {
  const { record, call, operations, journal, ownership } = change;
  const { paths, phases, signal, deadline } = call;
  const work: NodeWork = { settings: readSettings(record.spec), signal, deadline };
  const [controlPlane] = change.nodes;
  if (controlPlane === undefined) throw new MkCiError('K8S_CLUSTER_NOT_FOUND', { message: record.spec.name });

  const planned = await noteMachines(journal, withImages({ ...record, machines: wanted }, pinned), ownership);
  const added = planned.map(({ machine }) => machine);
  const kept = { isWritten: false };
  const keepAdded = async (grown: ClusterRecord): Promise<ClusterRecord> => {
    kept.isWritten = true;
    await writeClusterRecord(paths, grown);
    await handOver(
      journal,
      planned.map(({ entry }) => entry),
    );
    return grown;
  };
  try {
    const labels = ownershipLabels({ ...ownership, role: 'node' });
    const made = await phases.run('machines', async () =>
      allOf(
        added.map(async (entry) => ({
          record: entry,
          machine: await operations.create(
            {
              ...{ name: entry.name, labels, network: record.spec.name, image, ...size },
              inotifyInstances: inotifyInstancesOf(record.spec, entry),
            },
            signal,
          ),
        })),
      ),
    );
    const everyone = [...change.nodes, ...made];
    const joining = added.filter(({ isControlPlane }) => isControlPlane).map(({ node }) => node);
    const peers = peersOf(everyone, joining);
    const prepared = await phases.run('runtime', async () => allOf(made.map((node) => prepareNode(node, peers, work))));
    if (!work.settings.hasKubernetes) {
      const bare = withMachines(record, added);
      await connectMachines({ nodes: everyone, balancer: undefined }, bare.machines ?? [], work);
      return await keepAdded(bare);
    }
    if (joining.length > 0) {
      await loadAddonImages(providers, made, work);
      // Members of etcd reach each other before they know each other.
      await allOf(change.nodes.map((node) => connectNode(node, peers, work)));
    }
    await phases.run('kubeadm-join', async () => {
      const token = newToken();
      await runScript(controlPlane.machine, `kubeadm token create ${token} --ttl 15m >/dev/null\n`, work);
      const keys = { token, caHash: await fetchCredentials(controlPlane.machine, paths, work) };
      for (const node of prepared.filter((one) => one.record.isControlPlane)) {
        await joinControlPlane(node, controlPlane.machine, keys, work);
      }
      const workers = prepared.filter((one) => !one.record.isControlPlane);
      await allOf(workers.map((node) => joinNode(node, keys, work)));
    });
    using client = await kubeadmClient(paths, record.server);
    const ready = (): ReadinessOptions => ({ signal, deadlineMs: deadline.leftMs(), check: async () => undefined });
    const names = added.map(({ node }) => node);
    let machines = withMachines(record, added).machines ?? [];
    await phases.run('network', async () => {
      const subnets = await waitForPodSubnets(client, names, ready());
      machines = withPodSubnets(machines, subnets);
      const { balancer } = change;
      if (work.settings.cni === 'own' || balancer !== undefined) {
        await connectMachines({ nodes: everyone, balancer }, machines, work);
      }
    });
    if (work.settings.cni !== 'none') {
      await phases.run('nodes', async () => {
        await waitForNodes(client, names, ready());
      });
    }
    return await keepAdded({ ...record, machines });
  } catch (error) {
    const undo: NodeWork = {
      ...work,
      signal: AbortSignal.timeout(REMOVE_MS),
      deadline: createDeadline(REMOVE_MS),
    };
    try {
      // Machines go all the same when that fails.
      const [leaving] = await Promise.allSettled([leaveEtcd(added, controlPlane, undo)]);
      await allOf(
        planned.map(async ({ machine, entry }) => {
          await operations.remove(machine.name, undo.signal);
          await journal.done(entry.id);
          if (!work.settings.hasKubernetes) return;
          await deleteNodeObject(controlPlane, machine.node, undo);
          await deletePodObjects(controlPlane, machine.node, undo);
        }),
      );
      if (kept.isWritten) await writeClusterRecord(paths, record);
      if (leaving.status === 'rejected') throw leaving.reason;
    } catch (second) {
      throw leftBehind(error, second, 'Run mk-ci cluster node delete for what is left, or mk-ci gc --yes.');
    }
    throw error;
  }
}

/**
 * Moves the pods of a node to others, and removes it. One that is gone is no error.
 *
 * @throws {MkCiError} `CLI_USAGE` for the last control plane, the last node and what is no node
 */
export async function deleteNode(change: NodeChange, node: string): Promise<ClusterRecord> {
  const { record, call, operations, journal } = change;
  const { phases, paths, signal, deadline } = call;
  const gone = record.machines?.find((machine) => machine.node === node);
  if (gone === undefined) return record;
  if (gone.isControlPlane) checkControlPlaneGoes(record, node);
  if (gone.isBalancer === true) {
    throw new MkCiError('CLI_USAGE', {
      message: `${node} is no node`,
      advice: 'It goes with the cluster: this host reaches the API servers through it.',
    });
  }
  const work: NodeWork = { settings: readSettings(record.spec), signal, deadline };
  const rest = change.nodes.filter((other) => other.record.node !== node);
  const [controlPlane] = rest;
  if (controlPlane === undefined) {
    throw new MkCiError('CLI_USAGE', {
      message: `${node} is the only node`,
      advice: 'Delete the cluster in place of its last node.',
    });
  }
  if (work.settings.hasKubernetes) {
    await phases.run('drain', async () => {
      const flags = `--ignore-daemonsets --delete-emptydir-data --force --timeout=${DRAIN_SECONDS}s`;
      // What does not leave in time goes with the node: that it shall go is decided. Nothing leaves one that does not run.
      if (rest.length < change.nodes.length) {
        await runScript(
          controlPlane.machine,
          `${ADMIN_KUBECTL} drain ${node} ${flags} >/dev/null 2>&1 || true\n`,
          work,
        );
      }
      await deleteNodeObject(controlPlane, node, work);
    });
  }
  const machines = (record.machines ?? []).filter((machine) => machine.node !== node);
  const left = { nodes: rest, balancer: change.balancer };
  if (gone.isControlPlane) {
    await phases.run('etcd', async () => {
      // Whoever uses its API server goes to another one first.
      await connectMachines(left, machines, work);
      await removeEtcdMember(controlPlane.machine, node, work);
    });
  }
  await phases.run('remove', async () => {
    await operations.remove(gone.name, signal);
    if (work.settings.hasKubernetes) await deletePodObjects(controlPlane, node, work);
  });
  const smaller: ClusterRecord = { ...record, machines };
  await writeClusterRecord(paths, smaller);
  if (gone.journalId !== undefined) await journal.done(gone.journalId);
  const isConnected = gone.isControlPlane || (work.settings.cni !== 'own' && work.settings.hasKubernetes);
  if (!isConnected) await connectMachines(left, machines, work);
  return smaller;
}

/** Takes new control planes out of etcd while their machines live: with one of two members gone, it would answer no more. */
async function leaveEtcd(added: readonly MachineRecord[], { machine }: ClusterNode, work: NodeWork): Promise<void> {
  // One at a time: etcd changes its members one after the other.
  for (const { node, isControlPlane } of added) {
    if (isControlPlane) await removeEtcdMember(machine, node, work);
  }
}

async function deleteNodeObject({ machine }: ClusterNode, node: string, work: NodeWork): Promise<void> {
  await runScript(machine, `${ADMIN_KUBECTL} delete node ${node} --ignore-not-found >/dev/null\n`, work);
}

/** What the API has of pods on a node whose machine is gone. Kubernetes itself takes a minute to find that they have no node. */
async function deletePodObjects({ machine }: ClusterNode, node: string, work: NodeWork): Promise<void> {
  const flags = `--all-namespaces --field-selector spec.nodeName=${node} --grace-period=0 --force`;
  await runScript(machine, `${ADMIN_KUBECTL} delete pods ${flags} >/dev/null\n`, work);
}

/** The balancer stays at the end. */
function withMachines(record: ClusterRecord, added: readonly MachineRecord[]): ClusterRecord {
  const have = record.machines ?? [];
  const controlPlanes = [...have, ...added].filter(({ isControlPlane }) => isControlPlane);
  const workers = [...have, ...added].filter(
    ({ isControlPlane, isBalancer }) => !isControlPlane && isBalancer !== true,
  );
  const others = have.filter(({ isBalancer }) => isBalancer === true);
  return { ...record, machines: [...controlPlanes, ...workers, ...others] };
}
