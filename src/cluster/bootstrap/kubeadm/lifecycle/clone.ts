import { rm } from 'node:fs/promises';
import { join } from 'node:path';

import type { Machine, MachineSpec } from '../../../../drivers/driver.js';
import { ownershipLabels } from '../../../ownership.js';
import type { ClusterRecord, MachineRecord } from '../../../folder.js';
import type { ClusterCall } from '../../../manager.js';
import { allOf } from '../all-of.js';
import {
  driverOptionsOf,
  inotifyInstancesOf,
  ownershipOf,
  sizeOf,
  withPodSubnets,
} from '../machines/cluster-machines.js';
import type { ClusterNode, NodeWork } from '../nodes/cluster-nodes.js';
import type { KubeadmContext } from '../context.js';
import { restartMachines } from '../nodes/every-machine.js';
import { readNodeList } from '../state/node-list.js';
import { PUT_STATE, giveState } from '../state/node-state.js';
import { goOn } from './running-again.js';
import { API_PORT, readSettings } from '../settings.js';

/** Where the parts of a cluster's state lie in a folder: archives of its nodes, and the administrator's certificates. */
export function statePartsIn(folder: string): { readonly nodes: string; readonly pki: string } {
  return { nodes: join(folder, 'nodes'), pki: join(folder, 'pki') };
}

/**
 * Makes the machines of a record, all at once.
 *
 * @param create makes one. @default that of the driver
 */
export async function createMachines(
  { drivers, machines }: KubeadmContext,
  record: ClusterRecord,
  image: string,
  { paths, phases, signal }: ClusterCall,
  create?: (spec: MachineSpec, node: string) => Promise<Machine>,
): Promise<readonly ClusterNode[]> {
  const { spec } = record;
  const operations = machines.operationsOf(spec);
  const make = create ?? (async (wanted) => await operations.create(wanted, signal));
  const labels = ownershipLabels({ ...ownershipOf(record, paths), role: 'node' });
  const size = sizeOf(spec);
  const driver = drivers.get(spec.driver);
  const { podSubnet, serviceSubnet, hasBalancer } = readSettings(spec);
  const publishes = (entry: MachineRecord): boolean => (hasBalancer ? entry.isBalancer === true : entry.isControlPlane);
  return await phases.run(
    'machines',
    async () =>
      await allOf(
        (record.machines ?? []).map(async (entry): Promise<ClusterNode> => ({
          record: entry,
          machine: await make(
            {
              name: entry.name,
              labels,
              network: spec.name,
              image: entry.image ?? image,
              ...(entry.isBalancer === true ? {} : size),
              ...driverOptionsOf(spec, driver),
              inotifyInstances: inotifyInstancesOf(spec, entry),
              ...(publishes(entry) ? { publishedPorts: [API_PORT] } : {}),
              subnets: [podSubnet, serviceSubnet],
            },
            entry.node,
          ),
        })),
      ),
  );
}

/**
 * Makes new machines with the state of others, and waits until pods run. The certificates are where the cluster has
 * them; the folder with the archives is removed.
 *
 * @returns the record as it is then, not written
 */
export async function bringUp(
  context: KubeadmContext,
  record: ClusterRecord,
  { image, nodes: folder }: { readonly image: string; readonly nodes: string },
  call: ClusterCall,
): Promise<ClusterRecord> {
  const { phases, signal, deadline } = call;
  const work: NodeWork = { settings: readSettings(record.spec), signal, deadline };
  const known = await readNodeList(folder);
  const subnets = new Map(known.flatMap(({ node, podSubnet }) => (podSubnet === undefined ? [] : [[node, podSubnet]])));
  const cloned: ClusterRecord = { ...record, machines: withPodSubnets(record.machines ?? [], subnets) };
  const { states } = context.drivers.get(record.spec.driver);
  if (states !== undefined) {
    // Everything runs in them already, and has not noticed that it stood still.
    const made = await createMachines(context, cloned, image, call, async (spec, node) => {
      return await states.create(spec, join(folder, node), signal);
    });
    await rm(folder, { recursive: true, force: true });
    return await goOn(cloned, made, undefined, call);
  }
  const made = await createMachines(context, cloned, image, call);
  const since = context.now();
  const given = await phases.run(
    'nodes-state',
    async () => await allOf(made.map((node) => giveState(node, folder, work))),
  );
  await rm(folder, { recursive: true, force: true });
  await phases.run('kubelet', async () => {
    await restartMachines(given, work, PUT_STATE);
  });
  return await goOn(cloned, made, since, call);
}
