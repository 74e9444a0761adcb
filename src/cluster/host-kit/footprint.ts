import type { Footprint, HostUse } from '../../drivers/given/index.js';
import {
  API_PORT,
  CONTROL_PLANE_ADDRESS,
  DEFAULT_POD_SUBNET,
  DEFAULT_SERVICE_SUBNET,
} from '../bootstrap/kubeadm/settings.js';

/** What a node of kubeadm with containerd changes on the host that it is on. */
export const NODE_FOOTPRINT: Footprint = {
  paths: [
    ...['/etc/kubernetes', '/etc/mk-ci', '/etc/containerd', '/etc/cni', '/etc/crictl.yaml'],
    ...['containerd.service', 'containerd.service.d', 'kubelet.service', 'kubelet.service.d'].map(
      (name) => `/etc/systemd/system/${name}`,
    ),
    ...['/opt/cni', '/opt/containerd', '/usr/libexec/kubernetes', '/tmp/hostpath_pv'],
    ...['kubelet', 'etcd', 'containerd', 'cni', 'mk-ci', 'mk-ci-images-imported'].map((name) => `/var/lib/${name}`),
    ...['/var/log/pods', '/var/log/containers', '/var/log/kubeadm.log'],
    ...['/run/containerd', '/run/nri', '/run/cni-ipam-state', '/run/mk-ci-hosts'],
  ],
  additions: ['/root/.kube/cache', '/run/xtables.lock', '/run/netns'],
  // kube-proxy mounts it, and the kubelet makes it for that.
  emptyFolders: ['/lib/modules'],
  lines: [{ path: '/etc/hosts', marker: '# mk-ci' }],
  units: ['kubelet.service', 'containerd.service', 'kubepods.slice'],
  // The address is that of our containerd: shims of another one are left alone.
  processes: ['containerd-shim-runc-v2 -namespace k8s.io'],
  mounts: ['/var/lib/kubelet', '/run/containerd', '/var/lib/containerd', '/run/netns', '/tmp/hostpath_pv'],
  interfaces: ['veth', 'cni', 'flannel', 'cali', 'cilium', 'kube-', 'nodelocaldns'],
  addresses: [`${CONTROL_PLANE_ADDRESS}/32 dev lo`],
  rules: ['KUBE-', 'CNI-', 'mk-ci'],
  nftTables: ['ip kube-proxy', 'ip6 kube-proxy'],
  cgroups: ['kubepods', 'kubepods.slice'],
  // By the nodes' scripts, the kubelet, kube-proxy and the plugins of CNI.
  sysctls: [
    ...['ip_forward', 'conf/all/rp_filter', 'conf/default/rp_filter', 'conf/all/route_localnet'].map(
      (name) => `net/ipv4/${name}`,
    ),
    ...['net/ipv6/conf/all/forwarding', 'net/bridge/bridge_nf_call_iptables', 'net/netfilter/nf_conntrack_max'],
    ...['tcp_timeout_established', 'tcp_timeout_close_wait'].map((name) => `net/netfilter/nf_conntrack_${name}`),
    ...['vm/overcommit_memory', 'vm/panic_on_oom', 'kernel/panic', 'kernel/panic_on_oops'],
    ...['kernel/keys/root_maxkeys', 'kernel/keys/root_maxbytes'],
  ],
  ports: [API_PORT, 2379, 2380, 2381, 10248, 10249, 10250, 10256, 10257, 10259],
  conflicts: {
    units: [
      ...['kubelet.service', 'containerd.service', 'docker.service', 'crio.service'],
      ...['k3s.service', 'k3s-agent.service', 'rke2-server.service', 'rke2-agent.service'],
    ],
    paths: ['/etc/kubernetes/admin.conf', '/etc/kubernetes/kubelet.conf', '/var/lib/kubelet/config.yaml'],
  },
};

/** What a cluster with the default subnets needs of a host. */
export const NODE_USE: HostUse = {
  ...NODE_FOOTPRINT,
  subnets: [DEFAULT_POD_SUBNET, DEFAULT_SERVICE_SUBNET],
  reached: [API_PORT],
};
