import type { MachineRecord } from '../../../folder.js';
import { allOf } from '../all-of.js';
import { startBalancer, updateBalancer } from './balancer.js';
import { connectNode, peersOf, restartNode, type KnownNode, type NodeWork } from './cluster-nodes.js';
import { splitMachines } from '../machines/control-planes.js';

/** What is done in all machines of a cluster at once. */

/**
 * Starts what runs in machines that were started again, or were given the state of others.
 *
 * @param before script that is run first in each. @default nothing
 */
export async function restartMachines(machines: readonly KnownNode[], work: NodeWork, before = ''): Promise<void> {
  const { nodes, balancer } = splitMachines(machines);
  const peers = peersOf(nodes);
  await allOf([
    ...nodes.map((node) => restartNode(node, peers, work, before)),
    ...(balancer === undefined ? [] : [startBalancer(balancer, peers, work, before)]),
  ]);
}

/**
 * Tells machines of each other: routes, names, control planes.
 *
 * @param entries of the cluster as it is now; those of the machines may be older
 */
export async function connectMachines(
  { nodes, balancer }: ReturnType<typeof splitMachines>,
  entries: readonly MachineRecord[],
  work: NodeWork,
): Promise<void> {
  const known = nodes.map(({ machine, record }) => ({
    machine,
    record: entries.find(({ name }) => name === record.name) ?? record,
  }));
  const peers = peersOf(known);
  await allOf([
    ...known.map((node) => connectNode(node, peers, work)),
    ...(balancer === undefined ? [] : [updateBalancer(balancer, peers, work)]),
  ]);
}
