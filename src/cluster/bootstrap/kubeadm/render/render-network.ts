import { parseCidr } from '../../../../drivers/container/subnets.js';
import { renderApiAddresses } from './api-route.js';
import type { NodeFacts } from './node-facts.js';
import type { NodeFile } from './render-runtimes.js';
import { API_PORT, CONTROL_PLANE_ADDRESS, type KubeadmSettings } from '../settings.js';

/** A node of the cluster as the others see it now; addresses may change whenever machines are started. */
export interface PeerNode {
  readonly node: string;
  readonly address: string;
  readonly isControlPlane: boolean;
  /** A control plane whose API server does not serve yet. */
  readonly isJoining?: boolean;
  /** Subnet of its pods, once the controller manager has given it one. */
  readonly podSubnet?: string;
}

/**
 * Network list of one node: `ptp` needs no bridge and no kernel module; pods of a node are reached by a route.
 *
 * @see {@link https://www.cni.dev/plugins/current/main/ptp/}
 */
export function renderCniList(podSubnet: string): string {
  const plugins = [
    {
      type: 'ptp',
      ipMasq: false, // done once for all nodes, so that pods of other nodes see real addresses
      ipam: {
        type: 'host-local',
        dataDir: '/run/cni-ipam-state',
        ranges: [[{ subnet: podSubnet }]],
        routes: [{ dst: '0.0.0.0/0' }],
      },
    },
    { type: 'portmap', capabilities: { portMappings: true } },
  ];
  return `${JSON.stringify({ cniVersion: '1.0.0', name: 'mk-ci', plugins }, undefined, 2)}\n`;
}

/** The controller manager gives nodes a /24 each, in the order in which they appear: the control plane has the first. */
export function firstPodSubnet(podSubnet: string): string {
  return podSubnet.replace(/\/\d+$/, (bits) => (Number(bits.slice(1)) > 24 ? bits : '/24'));
}

export const CNI_LIST = '/etc/cni/net.d/10-mk-ci.conflist';

/**
 * What the network of a node needs before the kubelet starts, after every start of the machine; running it twice changes
 * nothing.
 *
 * The rules for Services make connections to them fail at once for as long as kube-proxy has not written its own. Without
 * them CoreDNS' first connection hangs for 30 seconds. Afterwards they do no harm: kube-proxy changes the destination
 * before they are asked. An unreachable route would do the same for pods, but what is in the network of the node itself, as
 * pods with `hostNetwork` are, is routed before its destination is changed: it would never reach a Service.
 *
 * With kube-proxy's mode `iptables` the Service of the API server leads there from the beginning. Else a pod that starts before
 * kube-proxy has written its rules, as CoreDNS does, tries in vain, and client-go waits up to three seconds before it tries again.
 */
export function renderNetworkScript(settings: KubeadmSettings, self: string, peers: readonly PeerNode[]): string {
  const own = peers.find(({ node }) => node === self);
  const controlPlane = peers.find(({ isControlPlane }) => isControlPlane);
  const forwarding = 'sysctl -qw net.ipv4.ip_forward=1 || true';
  if (!settings.hasKubernetes) return `${[forwarding, renderHostNames(peers)].join('\n')}\n`;
  const lines = [
    forwarding,
    'sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0 || true',
    ...['FORWARD', 'OUTPUT'].map((chain) => {
      const rule = `${chain} -d ${settings.serviceSubnet} -m comment --comment mk-ci -j REJECT`;
      return `iptables -w -C ${rule} 2>/dev/null || iptables -w -A ${rule}`;
    }),
    // Of versions that had a route in their place.
    `ip route delete unreachable ${settings.serviceSubnet} 2>/dev/null || true`,
  ];
  // In other modes these would come before those of kube-proxy, which knows when an API server of several is gone.
  if (settings.proxyMode === 'iptables') {
    for (const chain of ['PREROUTING', 'OUTPUT']) {
      const rule = `${chain} -d ${apiServiceAddress(settings)}/32 -p tcp -m tcp --dport 443 -m comment --comment mk-ci -j DNAT --to-destination ${CONTROL_PLANE_ADDRESS}:${API_PORT}`;
      lines.push(`iptables -w -t nat -C ${rule} 2>/dev/null || iptables -w -t nat -A ${rule}`);
    }
  }
  if (settings.hasBalancer) lines.push(...renderApiAddresses(self, peers));
  else if (own?.isControlPlane === true) lines.push(`ip address replace ${CONTROL_PLANE_ADDRESS}/32 dev lo`);
  else if (controlPlane !== undefined)
    lines.push(`ip route replace ${CONTROL_PLANE_ADDRESS}/32 via ${controlPlane.address}`);
  for (const { node, address, podSubnet } of peers) {
    if (node !== self && podSubnet !== undefined && settings.cni === 'own')
      lines.push(`ip route replace ${podSubnet} via ${address}`);
  }
  if (settings.cni === 'own') {
    // The word by which it is found again.
    const rule = `POSTROUTING -s ${settings.podSubnet} ! -d ${settings.podSubnet} -m comment --comment mk-ci -j MASQUERADE`;
    lines.push(`iptables -w -t nat -C ${rule} 2>/dev/null || iptables -w -t nat -A ${rule}`);
  }
  lines.push(renderHostNames(peers));
  return `${lines.join('\n')}\n`;
}

/** Of the Service `kubernetes`: the API server gives it the first one. */
function apiServiceAddress({ serviceSubnet }: Pick<KubeadmSettings, 'serviceSubnet'>): string {
  const address = (parseCidr(serviceSubnet)?.first ?? 0) + 1;
  return [24, 16, 8, 0].map((bits) => (address >>> bits) & 255).join('.');
}

/** The engine writes this file anew at every start and keeps it mounted: it can not be replaced, only written to. */
export function renderHostNames(peers: readonly PeerNode[]): string {
  const hosts = peers.map(({ node, address }) => `${address} ${node} # mk-ci`).join('\\n');
  return `{ grep -v '# mk-ci$' /etc/hosts; printf '${hosts}\\n'; } >/run/mk-ci-hosts && cat /run/mk-ci-hosts >/etc/hosts`;
}

/**
 * Name servers for pods that ask outside of the cluster. The engine's own one, on the loopback, is out of their reach.
 *
 * @param host content of `/etc/resolv.conf` of this host
 */
export function renderResolvConf(facts: NodeFacts, host: string): NodeFile {
  const ofHost = [...host.matchAll(/^nameserver\s+(\S+)/gm)].flatMap((match) => match[1] ?? []);
  const usable = [...facts.nameservers, ...ofHost.filter((address) => !/^(127\.|::1)/.test(address))];
  // CoreDNS does not start without any; the gateway answers where the engine's host has a resolver.
  const servers = usable.length > 0 ? [...new Set(usable)].slice(0, 3) : [facts.gateway ?? '192.0.2.1'];
  return { path: '/etc/mk-ci/resolv.conf', content: servers.map((address) => `nameserver ${address}\n`).join('') };
}
