import { join } from 'node:path';

import type { Bundle } from '../bundle/bundle.js';
import type { ClusterFolder, ClusterPorts } from '../folder.js';
import { ownershipLabels, type Ownership } from '../ownership.js';
import type { ClusterPki } from '../pki.js';
import type { ComponentPlan, ReadyProbe } from '../supervisor/plan.js';
import { CLIENT_RATE, FEWER_COLLECTIONS, LONE_MEMBER } from './quick-start.js';

export interface ControlPlaneInput {
  readonly paths: ClusterFolder;
  readonly pki: ClusterPki;
  readonly ports: ClusterPorts;
  readonly bundle: Pick<Bundle, 'path'>;
  /** Whether kwok plays the kubelets of simulated nodes. */
  readonly hasNodes: boolean;
  /** Labels of every process. */
  readonly ownership: Ownership;
  /** Appended to the flags of a component, by its name; a later flag wins over an earlier one. */
  readonly extraFlags?: Readonly<Record<string, readonly string[]>>;
}

export const LOOPBACK = '127.0.0.1';

/** Names under which the API server is reached. The second address is the `kubernetes` Service, first of the range below. */
export const SERVER_NAMES = ['localhost', 'kubernetes', 'kubernetes.default', 'kubernetes.default.svc'] as const;
export const SERVER_ADDRESSES = [LOOPBACK, '10.96.0.1'] as const;
const SERVICE_RANGE = '10.96.0.0/16';
const POD_RANGE = '10.244.0.0/16';

const flagsOf = (args: Readonly<Record<string, string>>): string[] =>
  Object.entries(args).map(([name, value]) => `--${name}=${value}`);

/** Kubeconfig with which a component reaches the API server. */
export function componentKubeconfig(paths: ClusterFolder, component: string): string {
  return join(paths.run, `${component}.kubeconfig`);
}

/** Where kwok's stages lie. */
export function kwokConfig(paths: ClusterFolder): string {
  return join(paths.run, 'kwok.yaml');
}

/**
 * The processes of a control plane, in order of start. Pure: two calls with one input give the same plan.
 *
 * The controller manager and the scheduler start once the API server is live, not beside it: started earlier they take
 * processor time from it, poll once a second, and are refused until its start-up hooks have made their roles.
 */
export function planControlPlane(input: ControlPlaneInput): ComponentPlan[] {
  const { pki, ports } = input;
  const plan = (
    name: string,
    argv: readonly [string, ...string[]],
    after: readonly string[],
    ready: ReadyProbe,
    stopTimeoutMs: number,
  ): ComponentPlan => ({
    name,
    argv: [argv[0], ...argv.slice(1), ...(input.extraFlags?.[name] ?? [])],
    labels: ownershipLabels({ ...input.ownership, role: name }),
    environment: FEWER_COLLECTIONS,
    after,
    ready,
    stopTimeoutMs,
  });
  const admin = { ca: pki.ca.certificate, certificate: pki.admin.certificate, key: pki.admin.key };
  const healthz = (port: number): ReadyProbe => ({
    url: `https://${LOOPBACK}:${port}/healthz`,
    ca: pki.ca.certificate,
  });
  return [
    plan('etcd', etcd(input), [], { url: `http://${LOOPBACK}:${ports.etcdClient}/health` }, 5000),
    plan(
      'kube-apiserver',
      apiServer(input),
      ['etcd'],
      { url: `https://${LOOPBACK}:${ports.apiServer}/livez`, ...admin },
      10_000,
    ),
    plan(
      'kube-controller-manager',
      controllerManager(input),
      ['kube-apiserver'],
      healthz(ports.controllerManager),
      3000,
    ),
    plan('kube-scheduler', scheduler(input), ['kube-apiserver'], healthz(ports.scheduler), 3000),
    ...(input.hasNodes
      ? [plan('kwok', kwok(input), ['kube-apiserver'], { url: `http://${LOOPBACK}:${ports.kwok}/healthz` }, 3000)]
      : []),
  ];
}

/**
 * @see {@link https://etcd.io/docs/v3.6/op-guide/configuration/} for the flags. `--unsafe-no-fsync`: data survives the end
 * of any process, not a power cut; the clusters of tests do not need more, and disks of CI runners are slow to sync.
 */
function etcd({ bundle, paths, ports }: ControlPlaneInput): [string, ...string[]] {
  const client = `http://${LOOPBACK}:${ports.etcdClient}`;
  const peer = `http://${LOOPBACK}:${ports.etcdPeer}`;
  return [
    bundle.path('etcd'),
    `--data-dir=${paths.etcd}`,
    '--name=node',
    `--listen-client-urls=${client}`,
    `--advertise-client-urls=${client}`,
    `--listen-peer-urls=${peer}`,
    `--initial-advertise-peer-urls=${peer}`,
    `--initial-cluster=node=${peer}`,
    ...flagsOf(LONE_MEMBER),
    '--unsafe-no-fsync',
    '--quota-backend-bytes=8589934592',
    '--auto-compaction-retention=1',
    '--log-level=warn',
  ];
}

/** @see {@link https://kubernetes.io/docs/reference/command-line-tools-reference/kube-apiserver/} for the flags */
function apiServer({ bundle, pki, ports }: ControlPlaneInput): [string, ...string[]] {
  return [
    bundle.path('kube-apiserver'),
    `--etcd-servers=http://${LOOPBACK}:${ports.etcdClient}`,
    `--bind-address=${LOOPBACK}`,
    `--advertise-address=${LOOPBACK}`,
    `--secure-port=${ports.apiServer}`,
    // A loopback address is not allowed in Endpoints, and there is no kube-proxy that would use it.
    '--endpoint-reconciler-type=none',
    `--tls-cert-file=${pki.serving.certificate}`,
    `--tls-private-key-file=${pki.serving.key}`,
    `--client-ca-file=${pki.ca.certificate}`,
    '--anonymous-auth=false',
    '--authorization-mode=Node,RBAC',
    '--enable-admission-plugins=NodeRestriction',
    '--enable-bootstrap-token-auth=true',
    '--allow-privileged=true',
    `--service-cluster-ip-range=${SERVICE_RANGE}`,
    '--service-account-issuer=https://kubernetes.default.svc.cluster.local',
    `--service-account-key-file=${pki.serviceAccount.publicKey}`,
    `--service-account-signing-key-file=${pki.serviceAccount.privateKey}`,
    `--proxy-client-cert-file=${pki.frontProxyClient.certificate}`,
    `--proxy-client-key-file=${pki.frontProxyClient.key}`,
    `--requestheader-client-ca-file=${pki.frontProxyCa.certificate}`,
    '--requestheader-allowed-names=front-proxy-client',
    '--requestheader-username-headers=X-Remote-User',
    '--requestheader-group-headers=X-Remote-Group',
    '--requestheader-extra-headers-prefix=X-Remote-Extra-',
    // Without kube-proxy a Service address leads nowhere: aggregated API servers and webhooks are reached by endpoint.
    '--enable-aggregator-routing=true',
    // The default of a minute is for load balancers in front; here nobody is drained.
    '--shutdown-delay-duration=0s',
  ];
}

/** @see {@link https://kubernetes.io/docs/reference/command-line-tools-reference/kube-controller-manager/} for the flags */
function controllerManager(input: ControlPlaneInput): [string, ...string[]] {
  const { bundle, pki, ports } = input;
  return [
    bundle.path('kube-controller-manager'),
    ...served(input, 'kube-controller-manager', ports.controllerManager),
    ...flagsOf(CLIENT_RATE),
    '--controllers=*,bootstrap-signer-controller,token-cleaner-controller',
    '--use-service-account-credentials=true',
    `--root-ca-file=${pki.ca.certificate}`,
    `--service-account-private-key-file=${pki.serviceAccount.privateKey}`,
    `--cluster-signing-cert-file=${pki.ca.certificate}`,
    `--cluster-signing-key-file=${pki.ca.key}`,
    `--service-cluster-ip-range=${SERVICE_RANGE}`,
    `--cluster-cidr=${POD_RANGE}`,
    '--allocate-node-cidrs=true',
  ];
}

/** @see {@link https://kubernetes.io/docs/reference/command-line-tools-reference/kube-scheduler/} for the flags */
function scheduler(input: ControlPlaneInput): [string, ...string[]] {
  return [
    input.bundle.path('kube-scheduler'),
    ...served(input, 'kube-scheduler', input.ports.scheduler),
    ...flagsOf(CLIENT_RATE),
  ];
}

/** @see {@link https://kwok.sigs.k8s.io/docs/generated/kwok/} for the flags */
function kwok({ bundle, paths, ports }: ControlPlaneInput): [string, ...string[]] {
  return [
    bundle.path('kwok'),
    '--manage-all-nodes=false',
    '--manage-nodes-with-annotation-selector=kwok.x-k8s.io/node=fake',
    `--kubeconfig=${componentKubeconfig(paths, 'kwok')}`,
    // Without it, a file of the user's home would change what tests see.
    `--config=${kwokConfig(paths)}`,
    `--cidr=${POD_RANGE}`,
    `--node-ip=${LOOPBACK}`,
    `--node-port=${ports.kwok}`,
    `--server-address=${LOOPBACK}:${ports.kwok}`,
    '--node-lease-duration-seconds=40',
  ];
}

function served({ paths, pki }: ControlPlaneInput, name: string, port: number): string[] {
  const kubeconfig = componentKubeconfig(paths, name);
  return [
    `--kubeconfig=${kubeconfig}`,
    `--authentication-kubeconfig=${kubeconfig}`,
    `--authorization-kubeconfig=${kubeconfig}`,
    `--bind-address=${LOOPBACK}`,
    `--secure-port=${port}`,
    `--tls-cert-file=${pki.serving.certificate}`,
    `--tls-private-key-file=${pki.serving.key}`,
    `--client-ca-file=${pki.ca.certificate}`,
    `--requestheader-client-ca-file=${pki.frontProxyCa.certificate}`,
    '--leader-elect=false',
  ];
}
