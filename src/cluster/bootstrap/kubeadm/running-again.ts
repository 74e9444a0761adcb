import { MkCiError } from '../../../errors.js';
import { writeClusterRecord, type ClusterRecord } from '../../folder.js';
import type { ClusterCall } from '../../manager.js';
import { waitForNodes, waitForReadyz, type ReadinessOptions } from '../../readiness.js';
import { allOf } from './all-of.js';
import {
  kubeadmClient,
  peersOf,
  restartNode,
  writeKubeconfig,
  type ClusterNode,
  type NodeWork,
} from './cluster-nodes.js';
import type { KubeadmContext } from './context.js';
import { waitForDns, waitForHeartbeats } from './kubeadm-readiness.js';
import { readSettings } from './settings.js';

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
  const peers = peersOf(nodes);
  await phases.run('kubelet', async () => {
    await allOf(nodes.map((node) => restartNode(node, peers, work)));
  });
  return await goOn({ ...record, wanted: 'running' }, nodes, since, call);
}

/** Waits for a cluster whose machines run again: its address may be another. */
export async function goOn(
  record: ClusterRecord,
  nodes: readonly ClusterNode[],
  since: Date | undefined,
  call: ClusterCall,
): Promise<ClusterRecord> {
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
  // Without a network nodes do not get ready; somebody else brings it.
  if (since !== undefined && readSettings(record.spec).cni !== 'none') {
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
  return await goOn(record, await machines.attach(record, signal), undefined, call);
}
