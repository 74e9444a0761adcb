import { X509Certificate, createHash, randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

import { parse } from 'yaml';

import type { Machine } from '../../../../drivers/driver.js';
import { MkCiError } from '../../../../errors.js';
import type { ExecResult } from '../../../../exec.js';
import { writeFileAtomically } from '../../../../files.js';
import { createCertificateClient, type ApiClient } from '../../../api-client.js';
import type { ClusterFolder, MachineRecord } from '../../../folder.js';
import { renderKubeconfig } from '../../../kubeconfig.js';
import type { Deadline } from '../../../phases.js';
import { allOf } from '../all-of.js';
import { START_API_ROUTE, apiRouteFiles } from '../render/api-route.js';
import { ATTACHED, HOLD_KUBELET, renderAttachKubelet } from '../render/attach-kubelet.js';
import { planDnsPatch } from '../render/dns-patch.js';
import { NODE_FACTS_SCRIPT, parseNodeFacts, type NodeFacts } from '../render/node-facts.js';
import { MARK_NEW_NODE } from '../render/node-marker.js';
import {
  RESTART_KUBELET,
  START_KUBELET,
  WAIT_FOR_SYSTEMD,
  kubeletUnit,
  renderStartRuntime,
  renderWriteFiles,
} from '../render/node-scripts.js';
import { renderInit, renderJoin } from '../render/render-kubeadm.js';
import { planInit, renderRunKubeadm, type InitPlan } from '../render/run-kubeadm.js';
import {
  CNI_LIST,
  firstPodSubnet,
  renderCniList,
  renderNetworkScript,
  renderResolvConf,
  type PeerNode,
} from '../render/render-network.js';
import { planRuntime, renderCrictl, type NodeFile, type RuntimePlan } from '../render/render-runtimes.js';
import { API_PORT, CONTROL_PLANE_NODE, type KubeadmSettings } from '../settings.js';
import { paceOf } from '../render/translated-nodes.js';
import { renderStorageScript } from '../render/storage.js';

/** What is done inside the nodes of one cluster while it starts. Each step is one call into a machine. */

export interface ClusterNode {
  readonly machine: Machine;
  readonly record: MachineRecord;
}

export interface NodeWork {
  readonly settings: KubeadmSettings;
  readonly signal: AbortSignal;
  readonly deadline: Deadline;
}

/** A node that was asked what it is. */
export interface KnownNode extends ClusterNode {
  readonly facts: NodeFacts;
}

export interface PreparedNode extends KnownNode {
  readonly runtime: RuntimePlan;
}

/** Runs a script as root. Output of a failed one is in the error. */
export async function runScript(
  machine: Machine,
  script: string,
  { signal, deadline }: Pick<NodeWork, 'signal' | 'deadline'>,
): Promise<ExecResult> {
  return await machine.exec(['sh', '-e'], { input: script, signal, timeoutMs: Math.ceil(deadline.leftMs()) });
}

/**
 * The same for a script that prints a secret. An error repeats what a command printed when it said nothing on its other
 * stream, as when its time is up: so this one says something there first.
 */
export async function runSecretScript(
  machine: Machine,
  script: string,
  work: Pick<NodeWork, 'signal' | 'deadline'>,
): Promise<string> {
  return (await runScript(machine, `echo 'what this printed is secret' >&2\n${script}`, work)).stdout;
}

/** @param joining names of control planes whose API server does not serve yet. @default none */
export function peersOf(nodes: readonly ClusterNode[], joining: readonly string[] = []): PeerNode[] {
  return nodes.map(({ machine, record: { node, isControlPlane, podSubnet } }) => ({
    node,
    address: machine.internalAddress,
    isControlPlane,
    ...(joining.includes(node) ? { isJoining: true } : {}),
    ...(podSubnet === undefined ? {} : { podSubnet }),
  }));
}

/**
 * Asks a new node what it is, writes all configuration at once and starts its runtime, which then starts only once.
 *
 * @throws {MkCiError} `DRV_UNSUPPORTED` when the image lacks a program that is needed
 */
export async function prepareNode(
  node: ClusterNode,
  peers: readonly PeerNode[],
  work: NodeWork,
): Promise<PreparedNode> {
  const { settings } = work;
  const facts = await askFacts(node.machine, work, MARK_NEW_NODE);
  const runtime = planRuntime(settings, facts);
  const needs = settings.hasKubernetes ? ['kubeadm', 'kubelet', ...runtime.needs] : runtime.needs;
  const missing = needs.filter((program) => facts.programs[program] === undefined);
  if (missing.length > 0) {
    throw new MkCiError('DRV_UNSUPPORTED', {
      message: `the node image has no ${missing.join(', ')}, needed for the runtime ${settings.runtime}`,
      advice: 'Choose another container runtime, or a node image that has it.',
    });
  }
  const hostResolvConf = await readFile('/etc/resolv.conf', 'utf8').catch(() => '');
  const pace = paceOf(facts, settings, runtime.units);
  const files: NodeFile[] = [...runtime.files];
  if (settings.hasKubernetes) {
    files.push(...pace.files, ...kubeletUnit(facts, runtime.units), renderResolvConf(facts, hostResolvConf), {
      path: '/etc/crictl.yaml',
      content: renderCrictl(settings.runtime),
    });
  }
  const isFirst = node.record.node === CONTROL_PLANE_NODE;
  const hasRoute = settings.hasBalancer && !node.record.isControlPlane;
  // A second one on the same node takes over from nobody.
  if (isFirst) files.push(...planDnsPatch(settings, peers.length === 1 ? 1 : undefined).files);
  if (hasRoute) files.push(...apiRouteFiles());
  if (settings.cni === 'own' && isFirst) {
    files.push({ path: CNI_LIST, content: renderCniList(firstPodSubnet(settings.podSubnet)) });
  }
  const script =
    renderWriteFiles(files) +
    renderNetworkScript(settings, node.record.node, peers) +
    renderStorageScript(settings) +
    WAIT_FOR_SYSTEMD +
    (hasRoute ? START_API_ROUTE : '') +
    pace.script +
    renderStartRuntime(runtime, facts);
  await runScript(node.machine, script, work);
  return { ...node, facts, runtime };
}

/** @param before script that is run first in the same call */
export async function askFacts(machine: Machine, work: NodeWork, before = ''): Promise<NodeFacts> {
  return parseNodeFacts((await runScript(machine, `${before}set +e\n${NODE_FACTS_SCRIPT}`, work)).stdout);
}

export function newToken(): string {
  return `${randomBytes(3).toString('hex')}.${randomBytes(8).toString('hex')}`;
}

/** @param entrance machine through which this host reaches the API server */
export async function initControlPlane(
  node: PreparedNode,
  {
    clusterName,
    token,
    entrance,
  }: { readonly clusterName: string; readonly token: string; readonly entrance: Machine },
  work: NodeWork,
): Promise<void> {
  const seconds = secondsOf(work.deadline);
  const config = renderInit({
    settings: work.settings,
    facts: node.facts,
    clusterName,
    node: node.record.node,
    // Also another one than the loopback, where the machine is a host that was there before.
    serverNames: [(await entrance.endpoint(API_PORT)).host],
    token,
    timeoutSeconds: seconds,
  });
  const plan = planInit(work.settings, node.facts, { config: KUBEADM_CONFIG, seconds });
  await runKubeadm(node.machine, 'init', config, work, plan);
}

/** What a node shows and looks for when it joins. */
export interface JoinKeys {
  readonly token: string;
  /** Of the key of the CA. */
  readonly caHash: string;
}

/** @param advertiseAddress of a new control plane, whose keys are there; `undefined` for a worker */
export async function joinNode(
  node: PreparedNode,
  keys: JoinKeys,
  work: NodeWork,
  advertiseAddress?: string,
): Promise<void> {
  const config = renderJoin({
    settings: work.settings,
    facts: node.facts,
    node: node.record.node,
    ...keys,
    ...(advertiseAddress === undefined ? {} : { advertiseAddress }),
    timeoutSeconds: secondsOf(work.deadline),
  });
  await runKubeadm(node.machine, 'join', config, work);
}

const KUBEADM_CONFIG = '/etc/mk-ci/kubeadm.yaml';

async function runKubeadm(
  machine: Machine,
  verb: 'init' | 'join',
  config: string,
  work: NodeWork,
  { skipped, beside, after }: InitPlan = { skipped: [], beside: '', after: '' },
): Promise<void> {
  const skipPrint = verb === 'init' ? ' --skip-token-print' : '';
  // Its checks are about hosts that people prepare by hand; ours is made, and some of them fail on restricted hosts.
  const command = `kubeadm ${verb} --config ${KUBEADM_CONFIG} --skip-phases=${['preflight', ...skipped].join(',')}${skipPrint}`;
  const files = renderWriteFiles([{ path: KUBEADM_CONFIG, content: config, mode: 0o600 }]);
  await runScript(machine, files + renderRunKubeadm(command, beside) + after, work);
}

/**
 * Starts what runs in a node, after its machine was started again with addresses that may be others. The kubelet only of a
 * control plane: those of workers have nothing to do before the API server answers, see {@link attachKubelets}.
 *
 * @param before script that is run first in the same call. @default nothing
 */
export async function restartNode(
  node: KnownNode,
  peers: readonly PeerNode[],
  work: NodeWork,
  before = '',
): Promise<void> {
  const { facts } = node;
  const runtime = planRuntime(work.settings, facts);
  const script =
    before +
    renderNetworkScript(work.settings, node.record.node, peers) +
    renderStorageScript(work.settings) +
    WAIT_FOR_SYSTEMD +
    (work.settings.hasBalancer && !node.record.isControlPlane ? START_API_ROUTE : '') +
    renderStartRuntime(runtime, { ...facts, imageArchive: undefined }) +
    (node.record.isControlPlane ? (facts.isTranslated ? '' : HOLD_KUBELET) + START_KUBELET : '');
  await runScript(node.machine, script, work);
}

/**
 * Starts the kubelets again once the API server answers to them, unless they wait for its answer, see `attach-kubelet.ts`. Containers go on
 * meanwhile. One that has found it must not be ended any more: a container that it was about to make is made seconds later, so this
 * is done before the API server says that all of it is ready.
 *
 * @param ready ends when it says so; by then those kubelets are started again that could not be told to ask themselves
 */
export async function attachKubelets(
  nodes: readonly ClusterNode[],
  ready: Promise<void>,
  work: NodeWork,
): Promise<void> {
  const attach = async ({ machine, record }: ClusterNode): Promise<void> => {
    const { stdout } = await runScript(machine, renderAttachKubelet(record.node, secondsOf(work.deadline)), work);
    if (stdout.includes(ATTACHED)) return;
    await ready;
    await runScript(machine, RESTART_KUBELET, work);
  };
  await allOf([ready, ...nodes.map(attach)]);
}

/** Routes to the pods of all nodes, and the network list of a worker once its subnet is known. */
export async function connectNode(node: ClusterNode, peers: readonly PeerNode[], work: NodeWork): Promise<void> {
  const { podSubnet } = node.record;
  const files =
    podSubnet === undefined || work.settings.cni !== 'own'
      ? []
      : [{ path: CNI_LIST, content: renderCniList(podSubnet) }];
  await runScript(
    node.machine,
    renderNetworkScript(work.settings, node.record.node, peers) + renderWriteFiles(files),
    work,
  );
}

/** For waits in a node: they end a little before the command that waits for them does, and say what they waited for. */
const secondsOf = (deadline: Deadline): number => Math.max(10, Math.floor(deadline.leftMs() / 1000) - 5);

/** Certificates of the administrator, as files of the cluster's folder. */
function credentialFiles(paths: ClusterFolder): {
  readonly ca: string;
  readonly certificate: string;
  readonly key: string;
} {
  return {
    ca: join(paths.pki, 'ca.crt'),
    certificate: join(paths.pki, 'admin.crt'),
    key: join(paths.pki, 'admin.key'),
  };
}

/** Takes the administrator's credentials out of the control plane. @returns hash of the CA's key, for joining */
export async function fetchCredentials(machine: Machine, paths: ClusterFolder, work: NodeWork): Promise<string> {
  const config = parse(await runSecretScript(machine, 'cat /etc/kubernetes/admin.conf\n', work)) as {
    readonly clusters?: readonly { readonly cluster?: Readonly<Record<string, string>> }[];
    readonly users?: readonly { readonly user?: Readonly<Record<string, string>> }[];
  };
  const decode = (value: string | undefined): string => Buffer.from(value ?? '', 'base64').toString('utf8');
  const ca = decode(config.clusters?.[0]?.cluster?.['certificate-authority-data']);
  const user = config.users?.[0]?.user ?? {};
  const files = credentialFiles(paths);
  await writeFileAtomically(files.ca, ca, { mode: 0o600 });
  await writeFileAtomically(files.certificate, decode(user['client-certificate-data']), { mode: 0o600 });
  await writeFileAtomically(files.key, decode(user['client-key-data']), { mode: 0o600 });
  const key = new X509Certificate(ca).publicKey.export({ type: 'spki', format: 'der' });
  return `sha256:${createHash('sha256').update(key).digest('hex')}`;
}

/** Writes the kubeconfig for where the API server is reached now. @returns its address */
export async function writeKubeconfig(name: string, machine: Machine, paths: ClusterFolder): Promise<string> {
  const { host, port } = await machine.endpoint(API_PORT);
  const server = `https://${host}:${port}`;
  const files = credentialFiles(paths);
  const [ca, certificate, key] = await Promise.all(
    [files.ca, files.certificate, files.key].map((path) => readFile(path, 'utf8')),
  );
  const content = renderKubeconfig({ name, server, ca: ca ?? '', certificate: certificate ?? '', key: key ?? '' });
  await writeFileAtomically(paths.kubeconfig, content, { mode: 0o600 });
  return server;
}

export async function kubeadmClient(paths: ClusterFolder, server: string): Promise<ApiClient> {
  return await createCertificateClient(server, credentialFiles(paths));
}
