import {
  INOTIFY_INSTANCES,
  type Driver,
  type DriverRegistry,
  type MachineOperations,
  type MachineSpec,
  type MachineSummary,
} from '../../../../drivers/index.js';
import { MkCiError } from '../../../../errors.js';
import { identifySelf } from '../../../../process.js';
import type { ClusterOwner, ClusterSpec, ClusterState } from '../../../cluster.js';
import type { ClusterFolder, ClusterRecord, MachineRecord } from '../../../folder.js';
import type { Journal } from '../../../journal.js';
import type { Ownership } from '../../../ownership.js';
import { allOf } from '../all-of.js';
import { forgetMachines } from './machine-notes.js';
import type { ClusterNode } from '../nodes/cluster-nodes.js';
import { hasKubernetes } from '../../../without-kubernetes.js';
import { BALANCER_NODE, controlPlaneName, controlPlanesOf } from './control-planes.js';
import { CONTROL_PLANE_NODE } from '../settings.js';

/** The machines of one cluster as a whole, whichever driver makes them. */
export interface ClusterMachines {
  operationsOf(spec: Pick<ClusterSpec, 'driver'>): MachineOperations;
  list(spec: ClusterSpec, paths: ClusterFolder, signal: AbortSignal): Promise<readonly MachineSummary[]>;
  stateOf(record: ClusterRecord, paths: ClusterFolder, signal: AbortSignal): Promise<ClusterState>;
  /** Removes machines by record and by label: what a killed start made is in only one of them. */
  remove(record: Pick<ClusterRecord, 'spec' | 'machines'>, paths: ClusterFolder, signal: AbortSignal): Promise<void>;
  /** All nodes, the control plane first. @throws {MkCiError} when one does not run */
  attach(record: ClusterRecord, signal: AbortSignal): Promise<readonly ClusterNode[]>;
  /** The same, and what is no node. */
  attachAll(record: ClusterRecord, signal: AbortSignal): Promise<readonly ClusterNode[]>;
}

export function createClusterMachines({
  drivers,
  journal,
}: {
  readonly drivers: DriverRegistry;
  readonly journal: Journal;
}): ClusterMachines {
  const machinesOf = (driver: Driver): MachineOperations => {
    if (driver.machines === undefined)
      throw new MkCiError('DRV_UNSUPPORTED', { message: `machines with driver ${driver.info.name}` });
    return driver.machines;
  };
  const operationsOf: ClusterMachines['operationsOf'] = ({ driver }) => machinesOf(drivers.get(driver));
  const attachAll: ClusterMachines['attachAll'] = async ({ spec, machines = [] }, signal) =>
    await allOf(
      machines.map(async (entry) => ({
        machine: await operationsOf(spec).attach(entry.name, signal),
        record: entry,
      })),
    );
  const list: ClusterMachines['list'] = async (spec, paths, signal) =>
    await operationsOf(spec).list({ cluster: spec.name, folder: paths.folder }, signal);
  return {
    operationsOf,
    list,
    stateOf: async (record, paths, signal) => judgeMachines(record, await list(record.spec, paths, signal)),
    remove: async (record, paths, signal) => {
      const found = await list(record.spec, paths, signal);
      await allOf(found.map(({ name }) => operationsOf(record.spec).remove(name, signal)));
      await forgetMachines(journal, record.machines ?? []);
    },
    attach: async (record, signal) => {
      const nodes = (record.machines ?? []).filter(({ isBalancer }) => isBalancer !== true);
      return await attachAll({ ...record, machines: nodes }, signal);
    },
    attachAll,
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
  // Machines that ended although nobody stopped the cluster: it was not an orderly end.
  if (states.every((state) => state === 'stopped')) return record.wanted === 'stopped' ? 'stopped' : 'broken';
  if (states.every((state) => state === 'paused')) return 'paused';
  return record.wanted === 'paused' && !states.includes('stopped') ? 'paused' : 'broken';
}

/**
 * The control planes and workers, or nodes that are neither, and the way to several control planes. Machines carry the name of the cluster, nodes do not: they are
 * the same in all clusters.
 */
export function planMachines(spec: Pick<ClusterSpec, 'name' | 'nodes' | 'options'>): MachineRecord[] {
  const { name, nodes } = spec;
  if (!hasKubernetes(spec)) {
    return Array.from({ length: Math.max(1, nodes) }, (_, index) => {
      const node = `${BARE_NODE}-${index + 1}`;
      return { name: `${name}-${node}`, node, isControlPlane: false };
    });
  }
  const controlPlanes = controlPlanesOf(spec);
  const nodeOf = (node: string, isControlPlane: boolean): MachineRecord => ({
    name: `${name}-${node}`,
    node,
    isControlPlane,
  });
  const range = (length: number): number[] => Array.from({ length: Math.max(0, length) }, (_, index) => index + 1);
  return [
    ...range(controlPlanes ?? 1).map((number) => nodeOf(controlPlaneName(number), true)),
    ...range(nodes - (controlPlanes ?? 1)).map((number) => nodeOf(`${WORKER_NODE}-${number}`, false)),
    ...(controlPlanes === undefined ? [] : [{ ...nodeOf(BALANCER_NODE, false), isBalancer: true as const }]),
  ];
}

/** @see {@link MachineSpec.inotifyInstances} */
export function inotifyInstancesOf(spec: ClusterSpec, { isControlPlane, isBalancer }: MachineRecord): number {
  if (isBalancer === true || !hasKubernetes(spec)) return INOTIFY_INSTANCES.withoutKubernetes;
  return isControlPlane ? INOTIFY_INSTANCES.controlPlane : INOTIFY_INSTANCES.worker;
}

/** Begin of the names of nodes without Kubernetes, and of workers; a number follows. */
export const BARE_NODE = 'node';
export const WORKER_NODE = 'worker';

/** @param node as Kubernetes names it; the control plane, or else the first, when absent. @throws {MkCiError} `K8S_NODE_NOT_FOUND` */
export function findNode(
  { spec, machines = [] }: Pick<ClusterRecord, 'spec' | 'machines'>,
  node: string | undefined,
): MachineRecord {
  const found =
    node === undefined
      ? (machines.find(({ isControlPlane }) => isControlPlane) ?? machines[0])
      : machines.find((entry) => entry.node === node);
  if (found !== undefined) return found;
  throw new MkCiError('K8S_NODE_NOT_FOUND', {
    message: `${spec.name} has no node ${node ?? CONTROL_PLANE_NODE}`,
    advice: `Nodes of ${spec.name}: ${machines.map((entry) => entry.node).join(', ') || 'none'}.`,
  });
}

/** Names by which Kubernetes knows the machines of a cluster: the way to several control planes is none of its nodes. Pure. */
export function nodeNamesOf({ machines = [] }: Pick<ClusterRecord, 'machines'>): string[] {
  return machines.flatMap(({ node, isBalancer }) => (isBalancer === true ? [] : [node]));
}

export function ownershipOf(record: ClusterRecord, paths: ClusterFolder): Ownership {
  return {
    cluster: record.spec.name,
    folder: paths.folder,
    ...(record.runId === undefined ? {} : { runId: record.runId }),
  };
}

export function sizeOf({ options }: ClusterSpec): { readonly cpus?: number; readonly memoryMiB?: number } {
  const number = (key: 'cpus' | 'memoryMiB'): object =>
    typeof options?.[key] === 'number' ? { [key]: options[key] } : {};
  return { ...number('cpus'), ...number('memoryMiB') };
}

/** Machines with the subnets of pods that are known. @param subnets by node */
export function withPodSubnets(
  machines: readonly MachineRecord[],
  subnets: ReadonlyMap<string, string>,
): readonly MachineRecord[] {
  return machines.map((machine) => {
    const podSubnet = subnets.get(machine.node);
    return podSubnet === undefined ? machine : { ...machine, podSubnet };
  });
}

/** What of the options of a spec is the driver's. */
export function driverOptionsOf({ options = {} }: ClusterSpec, { info }: Driver): Pick<MachineSpec, 'options'> {
  const own = Object.entries(options).filter(([key]) => info.options?.includes(key) === true);
  return own.length === 0 ? {} : { options: Object.fromEntries(own) };
}

/** The same cluster with another owner, or none: one that a run keeps belongs to nobody. */
export function ownedBy(record: ClusterRecord, owner: ClusterOwner | undefined): ClusterRecord {
  const { owner: _owner, runId: _runId, ...rest } = record;
  return { ...rest, ...(owner === undefined ? {} : { runId: owner.runId, owner: identifySelf() }) };
}
