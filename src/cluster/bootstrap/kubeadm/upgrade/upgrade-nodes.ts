import { join } from 'node:path';

import type { Machine } from '../../../../drivers/driver.js';
import type { Phases } from '../../../phases.js';
import { runScript, type ClusterNode, type NodeWork } from '../nodes/cluster-nodes.js';
import { planDnsPatch } from '../render/dns-patch.js';
import { NODE_FACTS_SCRIPT, parseNodeFacts, type NodeFacts } from '../render/node-facts.js';
import { ADMIN_KUBECTL, RESTART_KUBELET, renderWriteFiles } from '../render/node-scripts.js';
import type { KubeadmSettings } from '../settings.js';
import { renderInit, renderKubelet } from '../render/render-kubeadm.js';
import { PATCHES_FOLDER } from '../render/translated-nodes.js';

/** What `kubeadm upgrade` needs besides the images, and how the nodes go through it: one after the other. */
export interface NodeUpgrade {
  readonly clusterName: string;
  /** With the version to come. */
  readonly settings: KubeadmSettings;
  readonly before: KubeadmSettings;
  /** Folder of this host with kubeadm, kubelet and kubectl of that version. */
  readonly programs: string;
  /** Time for the pods of a node to leave it. */
  readonly drainSeconds: number;
}

const UPGRADE_CONFIG = '/etc/mk-ci/kubeadm-upgrade.yaml';
const LOG = '/var/log/kubeadm-upgrade.log';

/**
 * Upgrades the control planes, then each worker: the node is drained, then come kubeadm and the kubelet. A node takes pods again
 * before the next one is begun, so that of several control planes all but one serve.
 *
 * A kubelet that lost the API server looks for it again up to a minute later, and learns only then which pods are to go. That of
 * a control plane is drained before kubeadm replaces the API server; those of workers are started again afterwards.
 *
 * @param nodes control planes first
 * @throws {MkCiError} `HOST_COMMAND_FAILED` with the last words of kubeadm or kubectl
 * @see {@link https://kubernetes.io/docs/tasks/administer-cluster/kubeadm/kubeadm-upgrade/}
 */
export async function upgradeNodes(
  nodes: readonly ClusterNode[],
  upgrade: NodeUpgrade,
  work: NodeWork,
  phases: Phases,
): Promise<void> {
  const [first] = nodes;
  for (const node of nodes) {
    if (first === undefined) return;
    await phases.run(`upgrade ${node.record.node}`, async () => {
      await upgradeNode(node, first.machine, upgrade, work);
    });
  }
}

/** @param first control plane, which is upgraded before all others and tells the cluster its new version */
async function upgradeNode(
  { machine, record }: ClusterNode,
  first: Machine,
  upgrade: NodeUpgrade,
  work: NodeWork,
): Promise<void> {
  const { programs, settings } = upgrade;
  const asked = await runScript(machine, NODE_FACTS_SCRIPT.replace(/^/, 'set +e\n'), work);
  const facts = parseNodeFacts(asked.stdout);
  const install = async (program: string): Promise<void> => {
    const path = facts.programs[program] ?? `/usr/local/bin/${program}`;
    await machine.copyTo(join(programs, program), path, work.signal);
  };
  await runScript(machine, record.isControlPlane ? HASTEN_KUBELET : RESTART_KUBELET, work);
  await runScript(first, renderDrain(record.node, upgrade.drainSeconds), work);
  await install('kubeadm');
  const patches = record.isControlPlane ? renderWriteFiles(planDnsPatch(settings).files) : '';
  const kubeadm = machine === first ? renderApply(upgrade, record.node, facts) : RENDER_UPGRADE_NODE;
  await runScript(machine, patches + kubeadm, work);
  for (const program of ['kubelet', 'kubectl']) await install(program);
  await runScript(machine, RESTART_KUBELET, work);
  await runScript(first, renderReturn(record.node, settings.kubernetesVersion), work);
}

/**
 * kubeadm waits until the API tells of each new part of the control plane. The kubelet can not say so while etcd or the API server
 * is the part that starts, and tries again when it next looks at the pod: after 60 to 90 s. kubeadm puts its usual settings back.
 */
const HASTEN_KUBELET = `f=/var/lib/kubelet/config.yaml
sed -i '/^syncFrequency:/d' $f && echo 'syncFrequency: 2s' >>$f
${RESTART_KUBELET}`;

/** kubeadm with its output in a file of the node, the end of which is what a failure says. */
function loggedKubeadm(command: string): string {
  return `kubeadm ${command} >>${LOG} 2>&1 || { tail -n 30 ${LOG} >&2; exit 1; }\n`;
}

/**
 * As when nodes are made, its checks are left out: they are about hosts of another kind. Older ones can only ignore them. What was
 * patched then is patched again; DNS by whichever control plane comes last, so all of them have the patch.
 */
function renderFlags(verb: string): string {
  return `flags=--ignore-preflight-errors=all
kubeadm upgrade ${verb} --help | grep -q 'preflight .*checks' && flags=--skip-phases=preflight
[ ! -d ${PATCHES_FOLDER} ] || flags="$flags --patches=${PATCHES_FOLDER}"
`;
}

/**
 * The first control plane. Settings of kubelets that another version needs are given to the cluster first: kubeadm keeps those it
 * finds.
 */
export function renderApply({ clusterName, settings, before }: NodeUpgrade, node: string, facts: NodeFacts): string {
  const hasOtherKubelet =
    JSON.stringify(renderKubelet({ settings, facts })) !== JSON.stringify(renderKubelet({ settings: before, facts }));
  const token = '000000.0000000000000000'; // of a part that is not applied
  const config = renderInit({ settings, facts, clusterName, node, token, timeoutSeconds: 60 });
  return [
    ...(hasOtherKubelet
      ? [
          renderWriteFiles([{ path: UPGRADE_CONFIG, content: config, mode: 0o600 }]),
          loggedKubeadm(`init phase upload-config kubelet --config ${UPGRADE_CONFIG}`),
        ]
      : []),
    renderFlags('apply'),
    loggedKubeadm(`upgrade apply ${settings.kubernetesVersion} --yes $flags`),
  ].join('');
}

const RENDER_UPGRADE_NODE = renderFlags('node') + loggedKubeadm('upgrade node $flags');

/**
 * A function for the shell that runs a command of kubectl again while the API server is away, or has just started and does not know
 * yet what the administrator may do: kubeadm replaces it, and a kubelet of another minor version starts it anew.
 */
const PATIENTLY = `patiently() {
  for _ in $(seq 120); do
    said=$("$@" 2>&1 >/dev/null) && return
    case $said in
      *Forbidden* | *'is forbidden: User'* | *refused* | *EOF* | *'TLS handshake'* | *'reset by peer'*) sleep 0.5 ;;
      *) break ;;
    esac
  done
  printf '%s\\n' "$said" >&2
  return 1
}
`;

const renderDrainOf = (nodes: readonly string[]): string =>
  `${PATIENTLY}patiently ${ADMIN_KUBECTL} drain ${nodes.join(' ')} --ignore-daemonsets --delete-emptydir-data`;

/** Fails with the names of pods that nobody would make again, on any of the nodes, and moves none. */
export function renderCheckPods(nodes: readonly string[]): string {
  return `${renderDrainOf(nodes)} --dry-run=client\n`;
}

/** Pods that nobody would make again are not removed: their names are what the failure says. */
export function renderDrain(node: string, seconds: number): string {
  return `${renderDrainOf([node])} --timeout=${seconds}s\n`;
}

/** Waits for the kubelet of the new version, whose node then takes pods again. The caller's deadline is the limit. */
export function renderReturn(node: string, version: string): string {
  const asked = `${ADMIN_KUBECTL} get node ${node} -o 'jsonpath={.status.nodeInfo.kubeletVersion}' 2>/dev/null`;
  return [
    `${PATIENTLY}until [ "$(${asked})" = ${version} ]; do sleep 0.2; done`,
    `patiently ${ADMIN_KUBECTL} wait --for=condition=Ready node/${node} --timeout=600s`,
    `patiently ${ADMIN_KUBECTL} uncordon ${node}`,
    '',
  ].join('\n');
}
