import { MkCiError } from '../../../../errors.js';
import type { ClusterSpec } from '../../../cluster.js';
import type { ClusterRecord, MachineRecord } from '../../../folder.js';
import { needKubernetes } from '../../../without-kubernetes.js';
import type { ClusterNode } from '../nodes/cluster-nodes.js';
import { CONTROL_PLANE_NODE, MAX_CONTROL_PLANES } from '../settings.js';

/**
 * Clusters that may have several control planes: those started with the option `controlPlanes`, if only with 1.
 *
 * Each control plane has an address of its own on `lo`, routed to it from the other nodes: etcd and the API server are known by
 * it, so that members are found again whatever addresses the engine gives to machines. The address of the cluster,
 * {@link CONTROL_PLANE_ADDRESS}, is on `lo` of all of them: a control plane uses its own API server, every other machine has a
 * route to one that is ready, which `api-route.ts` keeps. Nothing is balanced and no packet passes through a program:
 * when the route moves, connections to the API server that is gone are refused by the next one, and made again.
 *
 * A port that an engine has published goes with its machine. So the port of this host belongs to a machine that is no node, the
 * balancer, which passes connections on along its own route.
 */

export const BALANCER_NODE = 'balancer';

/** Numbers are not used again, so those of a long life get higher. */
const MAX_NUMBER = 200;
const FIRST_OCTET = 10;

/** As the option has it; `undefined` for a cluster that has one control plane for ever. */
export function controlPlanesOf({ options }: Pick<ClusterSpec, 'options'>): number | undefined {
  const value = options?.['controlPlanes'];
  return typeof value === 'number' ? value : undefined;
}

/** `control-plane` is the first; the others have a number. `undefined` for a node of another name. */
export function controlPlaneNumber(node: string): number | undefined {
  if (node === CONTROL_PLANE_NODE) return 1;
  const number = new RegExp(`^${CONTROL_PLANE_NODE}-([1-9]\\d{0,2})$`).exec(node)?.[1];
  return number === undefined || number === '1' ? undefined : Number(number);
}

export function controlPlaneName(number: number): string {
  return number === 1 ? CONTROL_PLANE_NODE : `${CONTROL_PLANE_NODE}-${number}`;
}

/** Address on `lo` of one of several control planes. @param node name of a control plane */
export function controlPlaneAddress(node: string): string {
  return `10.99.0.${FIRST_OCTET + (controlPlaneNumber(node) ?? 0)}`;
}

/**
 * Names of the next control planes.
 *
 * @throws {MkCiError} `K8S_ONE_CONTROL_PLANE` for a cluster that was made for one; `K8S_ABSENT`; `CLI_USAGE` for too many
 */
export function planControlPlanes(
  { spec, machines = [] }: Pick<ClusterRecord, 'spec' | 'machines'>,
  count: number,
): MachineRecord[] {
  needKubernetes(spec, 'a control plane');
  if (controlPlanesOf(spec) === undefined) throw new MkCiError('K8S_ONE_CONTROL_PLANE', { message: spec.name });
  const have = machines.filter(({ isControlPlane }) => isControlPlane);
  const last = Math.max(1, ...have.map(({ node }) => controlPlaneNumber(node) ?? 0));
  if (have.length + count > MAX_CONTROL_PLANES || last + count > MAX_NUMBER) {
    throw new MkCiError('CLI_USAGE', {
      message: `${spec.name} has ${have.length} control planes; ${count} more are too many`,
      advice: `A cluster can have ${MAX_CONTROL_PLANES}; an odd number is the best.`,
    });
  }
  return Array.from({ length: count }, (_, index) => {
    const node = controlPlaneName(last + index + 1);
    return { name: `${spec.name}-${node}`, node, isControlPlane: true };
  });
}

/** @throws {MkCiError} `CLI_USAGE` when the cluster can not be without this control plane */
export function checkControlPlaneGoes(
  { spec, machines = [] }: Pick<ClusterRecord, 'spec' | 'machines'>,
  node: string,
): void {
  const others = machines.filter((machine) => machine.isControlPlane && machine.node !== node);
  if (others.length > 0) return;
  throw new MkCiError('CLI_USAGE', {
    message: `${node} is the only control plane of ${spec.name}`,
    advice: 'Delete the cluster in place of its last control plane.',
  });
}

/** The nodes among the machines of a cluster, and the one that is none. */
export function splitMachines<N extends ClusterNode>(
  machines: readonly N[],
): { readonly nodes: readonly N[]; readonly balancer: N | undefined } {
  return {
    nodes: machines.filter(({ record }) => record.isBalancer !== true),
    balancer: machines.find(({ record }) => record.isBalancer === true),
  };
}
