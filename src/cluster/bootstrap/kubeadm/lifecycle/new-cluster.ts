import { mkdir } from 'node:fs/promises';

import { MkCiError } from '../../../../errors.js';
import { identifySelf } from '../../../../process.js';
import { writeClusterRecord, type ClusterRecord, type MachineRecord } from '../../../folder.js';
import type { ClusterCall } from '../../../manager.js';
import { waitForDefaults, waitForNodes, type ReadinessOptions } from '../../../readiness.js';
import type { ClusterSeed } from '../../../state-access.js';
import { hasKubernetes } from '../../../without-kubernetes.js';
import { allOf } from '../all-of.js';
import { startBalancer } from '../nodes/balancer.js';
import { setUpBareNodes } from '../nodes/bare-nodes.js';
import { applyAddons, loadAddonImages, ownAddonsOf, waitForAddons } from '../nodes/addons.js';
import { bringUp, createMachines, statePartsIn } from './clone.js';
import { ownedBy, ownershipOf, withPodSubnets } from '../machines/cluster-machines.js';
import {
  fetchCredentials,
  initControlPlane,
  joinNode,
  kubeadmClient,
  newToken,
  peersOf,
  prepareNode,
  writeKubeconfig,
  type NodeWork,
} from '../nodes/cluster-nodes.js';
import type { KubeadmContext } from '../context.js';
import { splitMachines } from '../machines/control-planes.js';
import { connectMachines } from '../nodes/every-machine.js';
import { explain } from './failed-start.js';
import { joinControlPlane } from '../nodes/join-control-plane.js';
import { createComponentCheck } from './ending-components.js';
import { waitForDns, waitForPodSubnets, waitForProxies } from './kubeadm-readiness.js';
import { handOver, noteMachines } from '../machines/machine-notes.js';
import { applyManifest } from '../nodes/manifests.js';
import { leftBehind, removeCluster } from '../machines/remove-cluster.js';
import { readSettings } from '../settings.js';
import { whileChecked } from './while-checked.js';
import { createDefaultStorageClass } from '../render/storage.js';

/** Removing what a failed or interrupted start made has its own limit. */
const REMOVE_MS = 90_000;

/** From nothing to pods that run. The record is there; the caller removes everything when this fails, and writes it when not. */
async function setUp(
  context: KubeadmContext,
  record: ClusterRecord,
  image: string,
  call: ClusterCall,
): Promise<ClusterRecord> {
  const { paths, phases, signal, deadline } = call;
  const { spec } = record;
  const settings = readSettings(spec);
  const work: NodeWork = { settings, signal, deadline };
  const made = await createMachines(context, record, image, call);
  const split = splitMachines(made);
  const { nodes: members, balancer } = split;
  const [first, ...others] = members;
  const joining = others.filter(({ record: { isControlPlane } }) => isControlPlane).map(({ record: { node } }) => node);
  const peers = peersOf(members, joining);
  if (first === undefined) throw new MkCiError('CLI_USAGE', { message: 'a cluster of no nodes' });
  // Workers get ready for joining while the control plane starts.
  const token = newToken();
  const waiting = allOf(others.map((node) => prepareNode(node, peers, work)));
  waiting.catch(() => undefined); // looked at below; it must not end the process before that
  const entrance = (balancer ?? first).machine;
  const opening = balancer === undefined ? Promise.resolve() : startBalancer(balancer, peers, work);
  opening.catch(() => undefined);
  const controlPlane = await phases.run('runtime', async () => await prepareNode(first, peers, work));
  await phases.run('kubeadm-init', async () => {
    await initControlPlane(controlPlane, { clusterName: spec.name, token, entrance }, work);
  });
  const keys = { token, caHash: await fetchCredentials(first.machine, paths, work) };
  await opening;
  const server = await writeKubeconfig(spec.name, entrance, paths);
  using client = await kubeadmClient(paths, server);
  const check = createComponentCheck(client, signal);
  const ready = (): ReadinessOptions => ({ signal, deadlineMs: deadline.leftMs(), check });
  const prepared = await waiting;
  const workers = prepared.filter((node) => !node.record.isControlPlane);
  const nodes = members.map(({ record: { node } }) => node);
  let entries: readonly MachineRecord[] = record.machines ?? [];
  if (joining.length > 0) {
    await phases.run('control-planes', async () => {
      const further = prepared.filter((node) => node.record.isControlPlane);
      for (const node of further) await joinControlPlane(node, first.machine, keys, work);
    });
  }
  if (workers.length > 0) {
    await phases.run('kubeadm-join', async () => {
      await allOf(workers.map((node) => joinNode(node, keys, work)));
    });
  }
  await phases.run('network', async () => {
    const subnets = await waitForPodSubnets(client, nodes, ready());
    entries = withPodSubnets(entries, subnets);
    if (settings.cni === 'own' || balancer !== undefined) await connectMachines(split, entries, work);
    if (settings.cni !== 'own' && settings.cni !== 'none') {
      await applyManifest(first.machine, { name: 'cni', text: settings.cni.manifest }, work);
    }
  });
  const ownAddons = ownAddonsOf(settings);
  await allOf([
    ...(ownAddons.length === 0
      ? []
      : [
          phases.run('addon-images', async () => {
            await loadAddonImages(context, members, work);
          }),
        ]),
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
            await waitForProxies(client, nodes, ready());
          }),
        ]),
  ]);
  if (settings.addons.length > 0) {
    await phases.run('addons', async () => {
      await applyAddons(first.machine, work);
    });
  }
  // Without a network nothing of it runs; somebody else brings it.
  if (ownAddons.length > 0 && settings.cni !== 'none') {
    await phases.run(ownAddons.join(', '), async () => {
      await waitForAddons(client, settings, nodes, ready());
    });
  }
  return { ...record, machines: entries, server, wanted: 'running' };
}

export async function startNew(
  context: KubeadmContext,
  record: ClusterRecord,
  image: string,
  call: ClusterCall,
  seed: ClusterSeed | undefined,
): Promise<ClusterRecord> {
  const { journal } = context;
  const { paths } = call;
  const ownership = ownershipOf(record, paths);
  // Until it is up, all of it belongs to the process that starts it, whoever has it later.
  const folder = await journal.intend(
    { kind: 'cluster-folder', path: paths.folder },
    { ...ownership, owner: identifySelf() },
  );
  const planned = await noteMachines(journal, record, ownership);
  const noted: ClusterRecord = { ...record, journalId: folder.id, machines: planned.map(({ machine }) => machine) };
  try {
    for (const path of [paths.folder, paths.logs]) await mkdir(path, { recursive: true, mode: 0o700 });
    await writeClusterRecord(paths, noted);
    const parts = statePartsIn(paths.folder);
    const isSeeded = seed !== undefined && (await call.phases.run('template', () => seed.copyTo(parts)));
    if (!isSeeded) await mkdir(paths.pki, { recursive: true, mode: 0o700 });
    const make = hasKubernetes(record.spec) ? setUp : setUpBareNodes;
    const up = isSeeded
      ? await whileChecked(seed, call, async (checked) => {
          return await bringUp(context, noted, { image, nodes: parts.nodes }, checked);
        })
      : await make(context, noted, image, call);
    const running = record.runId === undefined ? ownedBy(up, undefined) : up;
    await writeClusterRecord(paths, running);
    await handOver(journal, [folder, ...planned.map(({ entry }) => entry)]);
    return running;
  } catch (error) {
    const explained = await explain(context, error, noted, call);
    try {
      await removeCluster(context, noted, paths, AbortSignal.timeout(REMOVE_MS));
    } catch (second) {
      throw leftBehind(explained, second);
    }
    throw explained;
  }
}
