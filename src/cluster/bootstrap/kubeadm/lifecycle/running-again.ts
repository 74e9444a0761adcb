import { MkCiError } from '../../../../errors.js';
import { writeClusterRecord, type ClusterRecord } from '../../../folder.js';
import type { ClusterCall } from '../../../manager.js';
import { waitForNodes, waitForReadyz, type ReadinessOptions } from '../../../readiness.js';
import { hasKubernetes } from '../../../without-kubernetes.js';
import { allOf } from '../all-of.js';
import { remainingAddons, waitForAddons } from '../nodes/addons.js';
import {
  askFacts,
  attachKubelets,
  kubeadmClient,
  writeKubeconfig,
  type ClusterNode,
  type NodeWork,
} from '../nodes/cluster-nodes.js';
import type { KubeadmContext } from '../context.js';
import { nodeNamesOf } from '../machines/cluster-machines.js';
import { splitMachines } from '../machines/control-planes.js';
import { restartMachines } from '../nodes/every-machine.js';
import { waitForDns, waitForHeartbeats } from './kubeadm-readiness.js';
import { readSettings } from '../settings.js';

/** Starts the machines of a stopped cluster, and what runs in them. */
export async function startAgain(
  context: KubeadmContext,
  record: ClusterRecord,
  call: ClusterCall,
): Promise<ClusterRecord> {
  const { machines, now } = context;
  const { phases, signal, deadline } = call;
  const { spec } = record;
  const work: NodeWork = { settings: readSettings(spec), signal, deadline };
  const operations = machines.operationsOf(spec);
  const nodes = await phases.run(
    'machines',
    async () =>
      await allOf(
        (record.machines ?? []).map(async (entry) => ({
          record: entry,
          machine: await operations.start(entry.name, signal),
        })),
      ),
  );
  const since = now();
  await phases.run(work.settings.hasKubernetes ? 'kubelet' : 'runtime', async () => {
    const asked = nodes.map(async (node) => ({ ...node, facts: await askFacts(node.machine, work) }));
    await restartMachines(await allOf(asked), work);
  });
  return await goOn({ ...record, wanted: 'running' }, nodes, since, call);
}

/** Waits for a cluster whose machines run again: its address may be another. */
export async function goOn(
  record: ClusterRecord,
  machines: readonly ClusterNode[],
  since: Date | undefined,
  call: ClusterCall,
): Promise<ClusterRecord> {
  const { paths, phases, signal, deadline } = call;
  if (!hasKubernetes(record.spec)) {
    const bare: ClusterRecord = { ...record, wanted: 'running' };
    await writeClusterRecord(paths, bare);
    return bare;
  }
  const { nodes, balancer } = splitMachines(machines);
  const first = balancer ?? nodes[0];
  if (first === undefined) throw new MkCiError('K8S_CLUSTER_NOT_FOUND', { message: record.spec.name });
  const server = await writeKubeconfig(record.spec.name, first.machine, paths);
  using client = await kubeadmClient(paths, server);
  const names = nodes.map(({ record: { node } }) => node);
  const ready = (): ReadinessOptions => ({ signal, deadlineMs: deadline.leftMs(), check: async () => undefined });
  const settings = readSettings(record.spec);
  await phases.run('readyz', async () => {
    const isReady = waitForReadyz(client, ready());
    await (since === undefined ? isReady : attachKubelets(nodes, isReady, { settings, signal, deadline }));
  });
  // Without a network nodes do not get ready; somebody else brings it.
  if (since !== undefined && settings.cni !== 'none') {
    await phases.run('nodes', async () => {
      await waitForHeartbeats(client, names, since, ready());
      await waitForNodes(client, names, ready());
    });
    await phases.run('dns', async () => {
      await waitForDns(client, { ...ready(), since });
    });
    const addons = await remainingAddons(client, settings, signal);
    if (addons.length > 0) {
      await phases.run(addons.join(', '), async () => {
        await waitForAddons(client, { addons }, names, ready());
      });
    }
  }
  const running: ClusterRecord = { ...record, server, wanted: 'running' };
  await writeClusterRecord(paths, running);
  return running;
}

export async function unpause(
  context: KubeadmContext,
  record: ClusterRecord,
  call: ClusterCall,
): Promise<ClusterRecord> {
  const { machines } = context;
  const { paths, phases, signal } = call;
  const state = await machines.stateOf(record, paths, signal);
  if (state === 'running') return record;
  if (state !== 'paused') throw new MkCiError('K8S_NOT_RUNNING', { message: `${call.name} is ${state}` });
  const operations = machines.operationsOf(record.spec);
  await phases.run('unpause', async () => {
    // The control plane first: kubelets that find it report at once.
    for (const { name } of record.machines ?? []) await operations.unpause(name, signal);
  });
  const made = await machines.attachAll(record, signal);
  const { nodes } = splitMachines(made);
  const running = await goOn(record, made, undefined, call);
  if (hasKubernetes(record.spec) && readSettings(record.spec).cni !== 'none') {
    await phases.run('nodes', async () => {
      await waitForLivingNodes(context, running, nodes, call);
    });
  }
  return running;
}

/** Waits until the last signs of life of all kubelets are younger than what makes a node count as lost, and none does. */
async function waitForLivingNodes(
  { now }: Pick<KubeadmContext, 'now'>,
  { server }: ClusterRecord,
  nodes: readonly ClusterNode[],
  { paths, signal, deadline }: ClusterCall,
): Promise<void> {
  using client = await kubeadmClient(paths, server);
  const names = nodes.map(({ record: { node } }) => node);
  const ready = (): ReadinessOptions => ({ signal, deadlineMs: deadline.leftMs(), check: async () => undefined });
  await waitForHeartbeats(client, names, new Date(now().getTime() - OLD_HEARTBEAT_MS), ready());
  await waitForNodes(client, names, ready());
}

const OLD_HEARTBEAT_MS = 30_000;

/** Longer than a kubelet waits between two signs of life, so that one that was frozen for longer gives one at once. */
const REFRESH_MS = 12_000;

/**
 * Lets a frozen cluster go on until each kubelet has given a sign of life, and freezes it again. The controller manager
 * takes a node for lost when it saw none for 40 s (50 s from Kubernetes 1.32 on) by its clock, which goes on while it is
 * frozen. When a sign does not come in time, the cluster is frozen all the same.
 */
export async function refresh(context: KubeadmContext, record: ClusterRecord, call: ClusterCall): Promise<void> {
  const { machines, now } = context;
  const { paths, signal, deadline } = call;
  if (!hasKubernetes(record.spec)) return;
  if ((await machines.stateOf(record, paths, signal)) !== 'paused') return;
  const operations = machines.operationsOf(record.spec);
  const entries = record.machines ?? [];
  using client = await kubeadmClient(paths, record.server);
  const since = now();
  try {
    for (const { name } of entries) await operations.unpause(name, signal);
    const deadlineMs = Math.min(REFRESH_MS, deadline.leftMs());
    await waitForHeartbeats(client, nodeNamesOf(record), since, { signal, deadlineMs, check: async () => undefined });
  } finally {
    const limit = AbortSignal.timeout(REFRESH_MS);
    for (const { name } of [...entries].reverse()) await operations.pause(name, limit);
  }
}
