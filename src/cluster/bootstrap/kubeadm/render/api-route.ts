import { controlPlaneAddress } from '../machines/control-planes.js';
import type { PeerNode } from './render-network.js';
import { unit, type NodeFile } from './render-runtimes.js';
import { API_PORT, CONTROL_PLANE_ADDRESS } from '../settings.js';

/** How machines reach one of several API servers, see `control-planes.ts`. Pure. */

const LIST = '/etc/mk-ci/api-servers';
const PROGRAM = '/usr/local/sbin/mk-ci-api-route';
const UNIT = 'mk-ci-api-route.service';

/**
 * Keeps the route to the address of the cluster on a control plane whose API server is ready, by looking once a second. One
 * answer that is missing moves nothing: on a busy host an API server takes seconds for one. When no other is ready either, the
 * route stays.
 */
const ROUTE_PROGRAM = [
  '#!/bin/sh',
  `list=\${1:-${LIST}} vip=${CONTROL_PLANE_ADDRESS} missed=0 current=`,
  `ready() { curl -ksf -o /dev/null --connect-timeout 1 -m 4 "https://$1:${API_PORT}/readyz"; }`,
  'while :; do',
  '  if [ -n "$current" ] && ! grep -qx "$current" "$list"; then missed=9',
  '  elif [ -n "$current" ] && ready "$current"; then missed=0',
  '  else missed=$((missed + 1)); fi',
  '  if [ -z "$current" ] || [ "$missed" -ge 2 ]; then',
  '    for a in $(cat "$list"); do',
  '      [ "$a" != "$current" ] && ready "$a" || continue',
  '      ip route replace "$vip/32" via "$a" && current=$a missed=0 && echo "the API server is reached by $a"',
  '      break',
  '    done',
  '  fi',
  '  sleep 1',
  'done',
  '',
].join('\n');

/** Files of a machine that is no control plane. */
export function apiRouteFiles(): NodeFile[] {
  return [
    { path: PROGRAM, content: ROUTE_PROGRAM, mode: 0o755 },
    unit(UNIT, {
      Unit: { Description: 'Route to an API server that is ready', StartLimitIntervalSec: '0' },
      Service: { ExecStart: PROGRAM, Restart: 'always', RestartSec: '1' },
    }),
  ];
}

export const START_API_ROUTE = `systemctl daemon-reload; systemctl start ${UNIT}\n`;

/**
 * Shell lines for the addresses of the control planes, in one of several. Twice changes nothing.
 *
 * @param self a node, or another machine
 */
export function renderApiAddresses(self: string, peers: readonly PeerNode[]): string[] {
  const own = peers.find(({ node, isControlPlane }) => node === self && isControlPlane);
  const others = peers.filter(({ node, isControlPlane }) => isControlPlane && node !== self);
  const serving = others.filter(({ isJoining }) => isJoining !== true);
  // etcd takes a peer only from an address that its certificate names.
  const source = own === undefined ? '' : ` src ${controlPlaneAddress(own.node)}`;
  const lines = [
    ...(own === undefined ? [] : [`ip address replace ${controlPlaneAddress(own.node)}/32 dev lo`]),
    ...others.map(({ node, address }) => `ip route replace ${controlPlaneAddress(node)}/32 via ${address}${source}`),
  ];
  if (own !== undefined && own.isJoining !== true) {
    lines.push(
      `ip route delete ${CONTROL_PLANE_ADDRESS}/32 2>/dev/null || true`,
      `ip address replace ${CONTROL_PLANE_ADDRESS}/32 dev lo`,
    );
    return lines;
  }
  const addresses = startingAt(self, serving).map(({ address }) => address);
  const [first] = addresses;
  if (first === undefined) return lines;
  const now = `$(ip route show ${CONTROL_PLANE_ADDRESS}/32 | sed -n 's/.* via \\([0-9.]*\\).*/\\1/p')`;
  lines.push(
    `case ' ${addresses.join(' ')} ' in *" ${now} "*) ;; *) ip route replace ${CONTROL_PLANE_ADDRESS}/32 via ${first};; esac`,
  );
  if (own === undefined) {
    const words = addresses.map((address) => `${address}\\n`).join('');
    lines.push(`mkdir -p /etc/mk-ci && printf '${words}' >${LIST}.mk-ci && mv -f ${LIST}.mk-ci ${LIST}`);
  }
  return lines;
}

/** Another order for each worker, so that not all of them use the same API server. */
function startingAt(self: string, peers: readonly PeerNode[]): readonly PeerNode[] {
  const number = Number(/\d+$/.exec(self)?.[0] ?? 0);
  const start = peers.length === 0 ? 0 : number % peers.length;
  return [...peers.slice(start), ...peers.slice(0, start)];
}
