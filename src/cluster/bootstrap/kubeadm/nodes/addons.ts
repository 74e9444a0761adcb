import type { Machine } from '../../../../drivers/driver.js';
import { MkCiError, isMkCiError } from '../../../../errors.js';
import { renderAddon, type AddonName } from '../../../addons/catalogue.js';
import { METRICS_SERVER, NODE_METRICS_PATH } from '../../../addons/metrics-server.js';
import type { ApiClient } from '../../../api-client.js';
import { waitForAnswer, type ReadinessOptions } from '../../../readiness.js';
import { allOf } from '../all-of.js';
import type { ClusterNode, NodeWork } from './cluster-nodes.js';
import type { KubeadmContext } from '../context.js';
import { applyManifest } from './manifests.js';
import { loadIntoNode, readArchiveManifest, readFromTar } from './node-images.js';
import { worstLines } from '../render/node-scripts.js';
import type { KubeadmSettings } from '../settings.js';

/** Addons of mk-ci and manifests of the user, in a cluster. */

export function ownAddonsOf({ addons }: Pick<KubeadmSettings, 'addons'>): AddonName[] {
  return addons.filter((addon) => typeof addon === 'string');
}

/**
 * Puts the images of mk-ci's own addons into the stores of control planes, where their pods run. Runtimes run already.
 *
 * @throws {MkCiError} `IMG_LOAD_FAILED`; `BND_NO_SOURCE`, `BND_BUILD_FAILED` where an image has to be made and can not
 */
export async function loadAddonImages(
  { addonImage }: Pick<KubeadmContext, 'addonImage'>,
  nodes: readonly ClusterNode[],
  work: NodeWork,
): Promise<void> {
  for (const name of ownAddonsOf(work.settings)) {
    if (addonImage === undefined) throw new MkCiError('BND_NO_SOURCE', { message: `the image of ${name}` });
    const archive = await addonImage(name, work.signal);
    const images = readArchiveManifest(await readFromTar(archive, 'manifest.json', work.signal));
    await allOf(
      nodes
        .filter(({ record }) => record.isControlPlane)
        .map(({ machine, record: { node } }) => loadIntoNode({ machine, node }, { archive, images }, work)),
    );
  }
}

/** Applies all addons in their order. @param machine of a control plane. @throws {MkCiError} `HOST_COMMAND_FAILED` */
export async function applyAddons(machine: Machine, work: NodeWork): Promise<void> {
  for (const [index, addon] of work.settings.addons.entries()) {
    const manifest =
      typeof addon === 'string'
        ? { name: `addon-${addon}`, text: renderAddon(addon) }
        : { name: `addon-${index + 1}`, text: addon.manifest };
    await applyManifest(machine, manifest, work);
  }
}

/**
 * Waits until mk-ci's own addons do what they are for: the API server passes questions on to metrics-server, and that has
 * figures of each node. Nothing is awaited of manifests of the user.
 *
 * @throws {MkCiError} `K8S_START_TIMEOUT` with the last words of the addon
 */
export async function waitForAddons(
  client: ApiClient,
  { addons }: Pick<KubeadmSettings, 'addons'>,
  nodes: readonly string[],
  options: ReadinessOptions,
): Promise<void> {
  if (!addons.includes(METRICS_SERVER)) return;
  try {
    await waitForAnswer<true>(client, NODE_METRICS_PATH, {
      ...options,
      what: `metrics-server to have figures of ${nodes.length} nodes`,
      intervalMs: 200,
      judge: (body) => {
        const missing = nodesWithoutFigures(JSON.parse(body), nodes);
        return missing.length === 0
          ? { done: true, value: true }
          : { done: false, seen: `none of ${missing.join(', ')}` };
      },
    });
  } catch (error) {
    if (!isMkCiError(error, 'K8S_START_TIMEOUT')) throw error;
    const lines = await lastWordsOf(client, METRICS_SERVER, options.signal);
    const { elapsedMs, seen } = error.details;
    const waited = `${METRICS_SERVER} had no figures after ${(Number(elapsedMs) / 1000).toFixed(1)} s: ${String(seen).trim()}`;
    throw new MkCiError('K8S_START_TIMEOUT', {
      message: [waited, ...lines.slice(-1)].join('; its last words: '),
      cause: error,
      details: { component: METRICS_SERVER, output: lines.join('\n') },
    });
  }
}

/** Addons that the cluster still has: what was deleted, or has no pods by wish, is not waited for after a restart. */
export async function remainingAddons(
  client: ApiClient,
  { addons }: Pick<KubeadmSettings, 'addons'>,
  signal: AbortSignal,
): Promise<AddonName[]> {
  if (!addons.includes(METRICS_SERVER)) return [];
  const answer = await client.request('GET', `/apis/apps/v1/namespaces/kube-system/deployments/${METRICS_SERVER}`, {
    signal,
    timeoutMs: ASK_MS,
  });
  return answer.status === 200 && replicasOf(JSON.parse(answer.body)) > 0 ? [METRICS_SERVER] : [];
}

function replicasOf(deployment: unknown): number {
  return (deployment as { readonly spec?: { readonly replicas?: number } }).spec?.replicas ?? 1;
}

/** @param list of `metrics.k8s.io`; a node without both figures counts as missing */
export function nodesWithoutFigures(list: unknown, nodes: readonly string[]): string[] {
  const { items } = list as {
    readonly items?: readonly {
      readonly metadata: { readonly name: string };
      readonly usage?: { readonly cpu?: string; readonly memory?: string };
    }[];
  };
  const known = (items ?? []).filter(({ usage }) => usage?.cpu !== undefined && usage.memory !== undefined);
  return nodes.filter((node) => !known.some(({ metadata }) => metadata.name === node));
}

const ASK_MS = 5000;
/** More than are shown: the ones that tell of errors may stand before a long help text. */
const LINES = 100;

/** What the API tells of the pods of an addon that does not get ready: why containers wait, and ends of their logs. */
async function lastWordsOf(client: ApiClient, app: string, signal: AbortSignal): Promise<string[]> {
  const pods = '/api/v1/namespaces/kube-system/pods';
  const ask = async (path: string): Promise<string | undefined> => {
    try {
      const { status, body } = await client.request('GET', path, { signal, timeoutMs: ASK_MS });
      return status === 200 ? body : undefined;
    } catch (error) {
      if (isMkCiError(error, 'NET_UNREACHABLE')) return undefined;
      throw error;
    }
  };
  const list = await ask(`${pods}?labelSelector=k8s-app%3D${app}`);
  const found = list === undefined ? [] : podStories(JSON.parse(list));
  if (found.length === 0) return ['it has no pod'];
  const lines = await allOf(
    found.map(async ({ name, reasons }) => {
      const log = `${pods}/${name}/log?tailLines=${LINES}`;
      const said = (await ask(log)) || (await ask(`${log}&previous=true`)) || '';
      return [...reasons, ...worstLines(said.split('\n').filter((line) => line !== ''))];
    }),
  );
  return lines.flat();
}

/** Pods with what keeps them from running, in the words of scheduler and kubelet. */
export function podStories(list: unknown): { readonly name: string; readonly reasons: readonly string[] }[] {
  const { items } = list as {
    readonly items: readonly {
      readonly metadata: { readonly name: string };
      readonly status?: {
        readonly conditions?: readonly { readonly type: string; readonly status: string; readonly message?: string }[];
        readonly containerStatuses?: readonly {
          readonly state?: { readonly waiting?: { readonly reason?: string; readonly message?: string } };
        }[];
      };
    }[];
  };
  return items.map(({ metadata: { name }, status }) => {
    const unscheduled = status?.conditions?.find((one) => one.type === 'PodScheduled' && one.status !== 'True');
    const waiting = (status?.containerStatuses ?? []).flatMap(({ state }) => state?.waiting ?? []);
    const reasons = [
      ...(unscheduled === undefined ? [] : [`not scheduled: ${unscheduled.message ?? 'no reason given'}`]),
      ...waiting.map(({ reason, message }) => [reason, message].filter((text) => text !== undefined).join(': ')),
    ];
    return { name, reasons };
  });
}
