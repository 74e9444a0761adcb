import type { MachineOperations } from '../../../drivers/index.js';
import { MkCiError, messageOf } from '../../../errors.js';
import { identifySelf } from '../../../process.js';
import { writeClusterRecord, type ClusterRecord, type MachineRecord } from '../../folder.js';
import type { Journal } from '../../journal.js';
import type { ClusterCall } from '../../manager.js';
import { ownershipLabels, type Ownership } from '../../ownership.js';
import { waitForNodes, type ReadinessOptions } from '../../readiness.js';
import { hasKubernetes } from '../../without-kubernetes.js';
import { loadAddonImages } from './addons.js';
import { allOf } from './all-of.js';
import { updateBalancer } from './balancer.js';
import { BARE_NODE, WORKER_NODE } from './cluster-machines.js';
import {
  connectNode,
  fetchCredentials,
  joinWorker,
  kubeadmClient,
  newToken,
  peersOf,
  prepareNode,
  runScript,
  type ClusterNode,
  type NodeWork,
} from './cluster-nodes.js';
import type { KubeadmContext } from './context.js';
import { checkControlPlaneGoes } from './control-planes.js';
import { joinControlPlane, removeEtcdMember } from './join-control-plane.js';
import { waitForPodSubnets } from './kubeadm-readiness.js';
import { ADMIN_KUBECTL } from './node-scripts.js';
import { readSettings } from './settings.js';

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
  readonly operations: MachineOperations;
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

  const planned = await Promise.all(
    wanted.map(async (machine) => {
      const thing = { kind: 'resource', driver: record.spec.driver, type: 'machine', name: machine.name } as const;
      const entry = await journal.intend(thing, { ...ownership, owner: identifySelf() });
      const made = pinned === undefined ? machine : { ...machine, image: pinned };
      return { machine: { ...made, journalId: entry.id }, entry };
    }),
  );
  const added = planned.map(({ machine }) => machine);
  const keepAdded = async (grown: ClusterRecord): Promise<ClusterRecord> => {
    await writeClusterRecord(paths, grown);
    if (ownership.owner === undefined) {
      for (const { entry } of planned) await journal.update(entry, { ownership: { owner: undefined } });
    }
    return grown;
  };
  try {
    const labels = ownershipLabels({ ...ownership, role: 'node' });
    const made = await phases.run('machines', async () =>
      allOf(
        added.map(async (entry) => ({
          record: entry,
          machine: await operations.create(
            { name: entry.name, labels, network: record.spec.name, image, ...size },
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
      await connectAll({ nodes: everyone, balancer: undefined }, bare.machines ?? [], work);
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
      const caHash = await fetchCredentials(controlPlane.machine, paths, work);
      for (const node of prepared.filter((one) => one.record.isControlPlane)) {
        await joinControlPlane(node, controlPlane.machine, { token, caHash }, work);
      }
      const workers = prepared.filter((one) => !one.record.isControlPlane);
      await allOf(workers.map((node) => joinWorker(node, { token, caHash }, work)));
    });
    using client = await kubeadmClient(paths, record.server);
    const ready = (): ReadinessOptions => ({ signal, deadlineMs: deadline.leftMs(), check: async () => undefined });
    const names = added.map(({ node }) => node);
    let machines = withMachines(record, added).machines ?? [];
    await phases.run('network', async () => {
      const subnets = await waitForPodSubnets(client, names, ready());
      machines = machines.map((entry) => {
        const podSubnet = subnets.get(entry.node);
        return podSubnet === undefined ? entry : { ...entry, podSubnet };
      });
      const { balancer } = change;
      if (work.settings.cni === 'own' || balancer !== undefined) {
        await connectAll({ nodes: everyone, balancer }, machines, work);
      }
    });
    if (work.settings.cni !== 'none') {
      await phases.run('nodes', async () => {
        await waitForNodes(client, names, ready());
      });
    }
    return await keepAdded({ ...record, machines });
  } catch (error) {
    const undo: NodeWork = { ...work, signal: AbortSignal.timeout(REMOVE_MS) };
    try {
      await allOf(
        planned.map(async ({ machine, entry }) => {
          await operations.remove(machine.name, undo.signal);
          await journal.done(entry.id);
          if (machine.isControlPlane) await removeEtcdMember(controlPlane.machine, machine.node, undo);
          if (work.settings.hasKubernetes) await deleteNodeObject(controlPlane, machine.node, undo);
        }),
      );
    } catch (second) {
      throw new MkCiError('DRV_FAILED', {
        message: `${messageOf(error)}; and what was made of it could not be removed: ${messageOf(second)}`,
        advice: 'Run mk-ci cluster node delete for what is left, or mk-ci gc --yes.',
        cause: new AggregateError([error, second]),
      });
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
      await connectAll(left, machines, work);
      await removeEtcdMember(controlPlane.machine, node, work);
    });
  }
  await phases.run('remove', async () => {
    await operations.remove(gone.name, signal);
  });
  const smaller: ClusterRecord = { ...record, machines };
  await writeClusterRecord(paths, smaller);
  if (gone.journalId !== undefined) await journal.done(gone.journalId);
  const isConnected = gone.isControlPlane || (work.settings.cni !== 'own' && work.settings.hasKubernetes);
  if (!isConnected) await connectAll(left, machines, work);
  return smaller;
}

async function deleteNodeObject({ machine }: ClusterNode, node: string, work: NodeWork): Promise<void> {
  await runScript(machine, `${ADMIN_KUBECTL} delete node ${node} --ignore-not-found >/dev/null\n`, work);
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

async function connectAll(
  { nodes, balancer }: Pick<NodeChange, 'nodes' | 'balancer'>,
  machines: readonly MachineRecord[],
  work: NodeWork,
): Promise<void> {
  const known = nodes.map(({ machine, record }) => ({
    machine,
    record: machines.find(({ name }) => name === record.name) ?? record,
  }));
  const peers = peersOf(known);
  await allOf([
    ...known.map((node) => connectNode(node, peers, work)),
    ...(balancer === undefined ? [] : [updateBalancer(balancer, peers, work)]),
  ]);
}
