import { isMkCiError } from '../../../../errors.js';
import type { ComponentStatus } from '../../../cluster.js';
import type { ClusterRecord } from '../../../folder.js';
import type { ClusterCall } from '../../../manager.js';
import { allOf } from '../all-of.js';
import { createMachines } from '../lifecycle/clone.js';
import { peersOf, prepareNode, type ClusterNode, type NodeWork } from './cluster-nodes.js';
import type { KubeadmContext } from '../context.js';
import { parseNodeFacts } from '../render/node-facts.js';
import { planRuntime } from '../render/render-runtimes.js';
import { readSettings } from '../settings.js';

/** Clusters without Kubernetes: nodes in which the container runtime runs, and nothing else. */

/** From nothing to runtimes that run. The caller removes everything when this fails, and writes the record when not. */
export async function setUpBareNodes(
  context: KubeadmContext,
  record: ClusterRecord,
  image: string,
  call: ClusterCall,
): Promise<ClusterRecord> {
  const { phases, signal, deadline } = call;
  const work: NodeWork = { settings: readSettings(record.spec), signal, deadline };
  const made = await createMachines(context, record, image, call);
  const peers = peersOf(made);
  await phases.run('runtime', async () => {
    await allOf(made.map((node) => prepareNode(node, peers, work)));
  });
  return { ...record, wanted: 'running' };
}

const ASK_MS = 5000;

/** The units of the runtime of one node, as systemd has them. */
export async function runtimeComponents(
  { machine, record: { node } }: ClusterNode,
  { spec }: Pick<ClusterRecord, 'spec'>,
  signal: AbortSignal,
): Promise<ComponentStatus[]> {
  const { units } = planRuntime(readSettings(spec), parseNodeFacts(''));
  try {
    // It ends with 3 when one of them does not run.
    const asked = await machine.exec(['systemctl', 'is-active', ...units], {
      signal,
      timeoutMs: ASK_MS,
      allowFailure: true,
    });
    return readUnitStates(units, node, asked.stdout);
  } catch (error) {
    if (isMkCiError(error)) return readUnitStates(units, node, '');
    throw error;
  }
}

/** @param text of `systemctl is-active`: one word a unit */
export function readUnitStates(units: readonly string[], node: string, text: string): ComponentStatus[] {
  const words = text.trim().split('\n');
  return units.map((unit, index) => {
    const word = words[index] ?? '';
    return {
      name: `${unit.replace(/\.service$/, '')} on ${node}`,
      state: word === 'active' ? 'running' : 'failed',
      restarts: 0,
      ...(word === 'active' ? {} : { message: word === '' ? 'the node does not answer' : word }),
    };
  });
}
