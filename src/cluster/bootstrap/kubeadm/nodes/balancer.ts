import { START_API_ROUTE, apiRouteFiles, renderApiAddresses } from '../render/api-route.js';
import { runScript, type ClusterNode, type NodeWork } from './cluster-nodes.js';
import { MARK_NEW_NODE } from '../render/node-marker.js';
import { WAIT_FOR_SYSTEMD, renderWriteFiles } from '../render/node-scripts.js';
import { renderHostNames, type PeerNode } from '../render/render-network.js';
import { API_PORT, CONTROL_PLANE_ADDRESS } from '../settings.js';

/** The machine by which this host reaches the API servers, see `control-planes.ts`. */

/** All that the balancer does; after every start of its machine, and when control planes come or go. */
export function renderBalancerScript(self: string, peers: readonly PeerNode[]): string {
  const address = CONTROL_PLANE_ADDRESS;
  const rules = [
    `PREROUTING -p tcp --dport ${API_PORT} -m addrtype --dst-type LOCAL -j DNAT --to-destination ${address}:${API_PORT}`,
    `POSTROUTING -d ${address}/32 -p tcp --dport ${API_PORT} -j MASQUERADE`,
  ];
  return [
    'sysctl -qw net.ipv4.ip_forward=1 || true',
    ...renderApiAddresses(self, peers),
    ...rules.map((rule) => `iptables -w -t nat -C ${rule} 2>/dev/null || iptables -w -t nat -A ${rule}`),
    renderHostNames(peers),
    '',
  ].join('\n');
}

/**
 * A new balancer, or one whose machine was started again; the API server is asked for by the caller.
 *
 * @param before script that is run first in the same call. @default nothing
 */
export async function startBalancer(
  { machine, record }: ClusterNode,
  peers: readonly PeerNode[],
  work: NodeWork,
  before = '',
): Promise<void> {
  const script =
    before +
    MARK_NEW_NODE +
    renderWriteFiles(apiRouteFiles()) +
    renderBalancerScript(record.node, peers) +
    WAIT_FOR_SYSTEMD +
    START_API_ROUTE;
  await runScript(machine, script, work);
}

/** Tells it which control planes there are. */
export async function updateBalancer(
  { machine, record }: ClusterNode,
  peers: readonly PeerNode[],
  work: NodeWork,
): Promise<void> {
  await runScript(machine, renderBalancerScript(record.node, peers), work);
}
