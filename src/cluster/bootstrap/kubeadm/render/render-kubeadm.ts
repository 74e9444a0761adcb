import { stringify } from 'yaml';

import { controlPlaneAddress } from '../machines/control-planes.js';
import { CLIENT_RATE, FEWER_COLLECTIONS, LONE_MEMBER } from '../../quick-start.js';
import { planDnsPatch } from './dns-patch.js';
import type { NodeFacts } from './node-facts.js';
import { CRI_SOCKETS } from './render-runtimes.js';
import { API_PORT, CONTROL_PLANE_ADDRESS, minorOf, type KubeadmSettings } from '../settings.js';
import { storageOfControllerManager } from './storage.js';
import { paceOf, type Pace } from './translated-nodes.js';

export interface InitInput {
  readonly settings: KubeadmSettings;
  readonly facts: NodeFacts;
  readonly clusterName: string;
  readonly node: string;
  /** Names and addresses by which the API server is reached from elsewhere. @default none */
  readonly serverNames?: readonly string[];
  /** `abcdef.0123456789abcdef`, by which workers join. */
  readonly token: string;
  /** For every wait of kubeadm. */
  readonly timeoutSeconds: number;
}

/** Documents for `kubeadm init`, in the newest format that the version reads. @see {@link https://kubernetes.io/docs/reference/config-api/kubeadm-config.v1beta4/} */
export function renderInit(input: InitInput): string {
  const { settings, clusterName, token, timeoutSeconds } = input;
  const args = argumentsFor(settings);
  const gates = gateArgument(settings);
  const storage = storageOfControllerManager(settings);
  // With one control plane, waiting for the lease of one that is gone only costs time.
  const election: Record<string, string> = settings.hasBalancer ? {} : { 'leader-elect': 'false' };
  const pace = paceOf(input.facts, settings);
  const environment = environmentOf(settings, { ...FEWER_COLLECTIONS, ...pace.environment });
  const init = {
    apiVersion: apiVersion(settings),
    kind: 'InitConfiguration',
    bootstrapTokens: [
      {
        token,
        ttl: '0s',
        usages: ['signing', 'authentication'],
        groups: ['system:bootstrappers:kubeadm:default-node-token'],
      },
    ],
    localAPIEndpoint: {
      advertiseAddress: settings.hasBalancer ? controlPlaneAddress(input.node) : CONTROL_PLANE_ADDRESS,
      bindPort: API_PORT,
    },
    nodeRegistration: registration(input),
    ...pace.init,
    ...planDnsPatch(settings).init,
    ...timeouts(settings, timeoutSeconds),
  };
  const cluster = {
    apiVersion: apiVersion(settings),
    kind: 'ClusterConfiguration',
    clusterName,
    kubernetesVersion: settings.kubernetesVersion,
    controlPlaneEndpoint: `${CONTROL_PLANE_ADDRESS}:${API_PORT}`,
    networking: { podSubnet: settings.podSubnet, serviceSubnet: settings.serviceSubnet, dnsDomain: 'cluster.local' },
    // A dozen keys are made and hundreds of connections begun, where RSA signs some thirty times as slowly.
    ...(usesOldFormat(settings) ? {} : { encryptionAlgorithm: 'ECDSA-P256' }),
    apiServer: {
      certSANs: [
        ...new Set(['127.0.0.1', 'localhost', CONTROL_PLANE_ADDRESS, clusterName, ...(input.serverNames ?? [])]),
      ],
      ...args({ ...gates, ...settings.extraArgs['apiServer'] }),
      ...environment,
      ...(usesOldFormat(settings) ? { timeoutForControlPlane: `${timeoutSeconds}s` } : {}),
    },
    controllerManager: {
      ...args({ ...CLIENT_RATE, ...election, ...storage.args, ...gates, ...settings.extraArgs['controllerManager'] }),
      ...storage.rest,
      ...environment,
    },
    scheduler: {
      ...args({ ...CLIENT_RATE, ...election, ...gates, ...settings.extraArgs['scheduler'] }),
      ...environment,
    },
    etcd: {
      local: {
        dataDir: '/var/lib/etcd',
        ...args({
          // The data need not survive the end of the host. A machine with a kernel of its own ends with what that had not written.
          ...(input.facts.isContainer ? { 'unsafe-no-fsync': 'true' } : {}),
          ...(settings.hasBalancer ? SLOW_ETCD : LONE_MEMBER),
          ...pace.etcd,
          ...settings.extraArgs['etcd'],
        }),
        ...environment,
      },
    },
  };
  return documents([init, cluster, renderKubelet(input), renderKubeProxy(input, pace)]);
}

/** Members that share a busy host must not take each other for dead: twice what etcd has by default, in milliseconds. */
const SLOW_ETCD = { 'heartbeat-interval': '200', 'election-timeout': '2000' } as const;

export interface JoinInput extends Omit<InitInput, 'clusterName'> {
  /** Of its API server and its member of etcd: the node becomes a control plane. @default a worker */
  readonly advertiseAddress?: string;
  /** `sha256:…` of the public key of the cluster's CA. */
  readonly caHash: string;
}

export function renderJoin(input: JoinInput): string {
  const { settings, token, caHash, advertiseAddress, timeoutSeconds } = input;
  return documents([
    {
      apiVersion: apiVersion(settings),
      kind: 'JoinConfiguration',
      discovery: {
        bootstrapToken: { token, apiServerEndpoint: `${CONTROL_PLANE_ADDRESS}:${API_PORT}`, caCertHashes: [caHash] },
        ...(usesOldFormat(settings) ? { timeout: `${timeoutSeconds}s` } : {}),
      },
      nodeRegistration: registration(input),
      ...(advertiseAddress === undefined
        ? {}
        : { controlPlane: { localAPIEndpoint: { advertiseAddress, bindPort: API_PORT } } }),
      ...timeouts(settings, timeoutSeconds),
    },
  ]);
}

/** Settings of the kubelet, for full and for restricted hosts. */
export function renderKubelet({ settings, facts }: Pick<InitInput, 'settings' | 'facts'>): object {
  const isRestricted = !facts.hasSysResource;
  return {
    apiVersion: 'kubelet.config.k8s.io/v1beta1',
    kind: 'KubeletConfiguration',
    cgroupDriver: cgroupDriverOf(facts),
    containerRuntimeEndpoint: CRI_SOCKETS[settings.runtime],
    failSwapOn: false,
    ...(facts.cgroups === 'v1' && minorOf(settings.kubernetesVersion) >= 31 ? { failCgroupV1: false } : {}),
    // Disks of CI hosts are full of other things, and nothing pulls the images again.
    imageGCHighThresholdPercent: 100,
    evictionHard: {
      'nodefs.available': '0%',
      'nodefs.inodesFree': '0%',
      'imagefs.available': '0%',
      'imagefs.inodesFree': '0%',
    },
    resolvConf: '/etc/mk-ci/resolv.conf',
    runtimeRequestTimeout: '15m0s',
    ...(isRestricted ? { localStorageCapacityIsolation: false } : {}),
    ...oomScoreOf(facts),
    featureGates: {
      ...(isRestricted ? { KubeletInUserNamespace: true } : {}),
      // cri-dockerd gives addresses without a scheme, which this path takes for https: kubectl exec would fail.
      // https://github.com/Mirantis/cri-dockerd/issues/569
      ...(settings.runtime === 'docker' && minorOf(settings.kubernetesVersion) >= 36
        ? { ExtendWebSocketsToKubelet: false }
        : {}),
      ...settings.featureGates,
    },
  };
}

/**
 * Without the capability a process can not lower its score. kubelet and kube-proxy try it twice at their start, and wait 100 ms each time,
 * unless they are told to leave it as it is.
 */
function oomScoreOf({ hasSysResource, oomScoreAdj }: NodeFacts): object {
  return hasSysResource ? {} : { oomScoreAdj };
}

const SERVICE_DELAY = '10ms';

function renderKubeProxy(
  { settings, facts }: Pick<InitInput, 'settings' | 'facts'>,
  { proxyRules }: Pick<Pace, 'proxyRules'>,
): object {
  const rules = { minSyncPeriod: SERVICE_DELAY, ...proxyRules };
  return {
    apiVersion: 'kubeproxy.config.k8s.io/v1alpha1',
    kind: 'KubeProxyConfiguration',
    mode: settings.proxyMode,
    clusterCIDR: settings.podSubnet,
    ...oomScoreOf(facts),
    // These belong to the host and can not be written from a container.
    conntrack: { maxPerCore: 0, min: 0, tcpEstablishedTimeout: '0s', tcpCloseWaitTimeout: '0s' },
    // By default the endpoints of a new Service wait a second for their rules, which spares work in clusters of thousands.
    // Until then a connection fails (see the rules in renderNetworkScript), and a suite is faster than that. Zero means the default.
    iptables: { ...rules },
    nftables: { ...rules },
    ...(Object.keys(settings.featureGates).length === 0 ? {} : { featureGates: settings.featureGates }),
  };
}

/** Runtime, kubelet and node have to agree on it. */
export function cgroupDriverOf({ cgroups }: Pick<NodeFacts, 'cgroups'>): 'cgroupfs' | 'systemd' {
  return cgroups === 'v2' ? 'systemd' : 'cgroupfs';
}

function registration({ settings, node }: Pick<InitInput, 'settings' | 'node'>): object {
  const extra = settings.extraArgs['kubelet'] ?? {};
  const args = usesOldFormat(settings) ? extra : argumentList(extra);
  return {
    name: node,
    criSocket: CRI_SOCKETS[settings.runtime],
    taints: [],
    imagePullPolicy: 'IfNotPresent',
    ...(Object.keys(extra).length === 0 ? {} : { kubeletExtraArgs: args }),
  };
}

/** Of kubeadm's configuration: v1beta4 from 1.31 on. */
export function usesOldFormat({ kubernetesVersion }: KubeadmSettings): boolean {
  return minorOf(kubernetesVersion) < 31;
}

function apiVersion(settings: KubeadmSettings): string {
  return `kubeadm.k8s.io/${usesOldFormat(settings) ? 'v1beta3' : 'v1beta4'}`;
}

function argumentList(args: Readonly<Record<string, string>>): { readonly name: string; readonly value: string }[] {
  return Object.entries(args).map(([name, value]) => ({ name, value }));
}

/** v1beta3 has a map, v1beta4 a list. */
function argumentsFor(settings: KubeadmSettings): (args: Readonly<Record<string, string>>) => object {
  return (args) => {
    if (Object.keys(args).length === 0) return {};
    return { extraArgs: usesOldFormat(settings) ? args : argumentList(args) };
  };
}

/** Only v1beta4 has a place for it. */
function environmentOf(settings: KubeadmSettings, environment: Readonly<Record<string, string>>): object {
  if (usesOldFormat(settings) || Object.keys(environment).length === 0) return {};
  return { extraEnvs: argumentList(environment) };
}

function gateArgument({ featureGates }: KubeadmSettings): Readonly<Record<string, string>> {
  const list = Object.entries(featureGates).map(([name, isOn]) => `${name}=${isOn}`);
  return list.length === 0 ? {} : { 'feature-gates': list.join(',') };
}

function timeouts(settings: KubeadmSettings, seconds: number): object {
  if (usesOldFormat(settings)) return {};
  const limit = `${seconds}s`;
  return {
    timeouts: {
      controlPlaneComponentHealthCheck: limit,
      discovery: limit,
      etcdAPICall: limit,
      kubeletHealthCheck: limit,
      kubernetesAPICall: limit,
      tlsBootstrap: limit,
    },
  };
}

function documents(values: readonly object[]): string {
  return values.map((value) => `---\n${stringify(value)}`).join('');
}
