import { stringify } from 'yaml';

import type { NodeFacts } from './node-facts.js';
import type { NodeFile } from './render-runtimes.js';
import { minorOf, type KubeadmSettings } from '../settings.js';

/**
 * Nodes whose processors are translated by software (QEMU without KVM): programs in them are some twenty times as slow, and
 * limits that nobody can configure pass. The API server ends itself when its roles are not written within 30 s of its start, and
 * starts again, while everything that waits for it takes the processor from it. So less runs at the same time there, and the
 * API server comes first. Pure.
 */

/** Where kubeadm finds additions to what it writes, see its `patches`. */
export const PATCHES_FOLDER = '/etc/mk-ci/patches';

/** Memory for processor time: the garbage collector of Go runs a quarter as often. */
const GO_ENVIRONMENT = { GOGC: '400', GODEBUG: 'tlsmlkem=0' } as const;

/** Less than what `system.slice` has by default (100), which is more than all pods of a node with two processors have (79). */
const SYSTEM_WEIGHT = 20;

/**
 * Every second by kubeadm's manifests, with a new connection each time, which is some hundredths of a translated processor; of those
 * that wait for a component nobody asks the kubelet. A period alone is no probe, and the kubelet refuses a pod with
 * such a one: only components that have a probe for their readiness in this version.
 */
const SELDOM = { readinessProbe: { periodSeconds: 10 } } as const;

/** What starts late has next to no claim. */
const NO_CLAIM = { resources: { requests: { cpu: '10m' } } } as const;

/** Additions to containers of the control plane. */
function patchesFor(minor: number): Readonly<Record<string, object>> {
  return {
    'kube-apiserver': SELDOM,
    'kube-controller-manager': NO_CLAIM,
    'kube-scheduler': { ...NO_CLAIM, ...(minor >= 32 ? SELDOM : {}) },
    ...(minor >= 31 ? { etcd: SELDOM } : {}),
  };
}

export interface Pace {
  readonly files: readonly NodeFile[];
  /** Shell lines that run once, before the runtime starts. */
  readonly script: string;
  /** Members of kubeadm's InitConfiguration. */
  readonly init: Readonly<Record<string, unknown>>;
  /** Environment of components, for `extraEnvs` of kubeadm's ClusterConfiguration from v1beta4 on. */
  readonly environment: Readonly<Record<string, string>>;
  /** Arguments of etcd. */
  readonly etcd: Readonly<Record<string, string>>;
  /** Members of kube-proxy's configuration for any of its modes. */
  readonly proxyRules: Readonly<Record<string, unknown>>;
  /** The rest of the control plane is started once kubeadm has done all else. */
  readonly startsLate: boolean;
}

const USUAL: Pace = { files: [], script: '', init: {}, environment: {}, etcd: {}, proxyRules: {}, startsLate: false };

/** How a node is started, by what its processors are. */
export function paceOf(
  { isTranslated }: Pick<NodeFacts, 'isTranslated'>,
  { kubernetesVersion }: Pick<KubeadmSettings, 'kubernetesVersion'>,
  units: readonly string[] = [],
): Pace {
  if (!isTranslated) return USUAL;
  const minor = minorOf(kubernetesVersion);
  const environment = Object.entries(GO_ENVIRONMENT).map(([name, value]) => `Environment=${name}=${value}`);
  return {
    files: [
      ...['kubelet.service', ...units].map((unit) => ({
        path: `/etc/systemd/system/${unit}.d/50-translated.conf`,
        content: ['[Service]', ...environment, ''].join('\n'),
      })),
      ...Object.entries(patchesFor(minor)).map(([name, container]) => ({
        path: `${PATCHES_FOLDER}/${name}+strategic.yaml`,
        content: stringify({ spec: { containers: [{ name, ...container }] } }),
      })),
    ],
    script: `systemctl set-property system.slice CPUWeight=${SYSTEM_WEIGHT}\n`,
    init: { patches: { directory: PATCHES_FOLDER } },
    environment: GO_ENVIRONMENT,
    etcd: {
      // What it has by default: fifty ticks a second are too many.
      ...{ 'heartbeat-interval': '100', 'election-timeout': '1000' },
      // Every five seconds by kubeadm, to each of a hundred watches of the API server, which asks by itself when it needs to know.
      // Older versions have an etcd that knows it by another name.
      ...(minor >= 34 ? { 'watch-progress-notify-interval': '60s' } : {}),
    },
    // All rules anew every 30 s by default, in case that somebody took them away: a second and a half of a processor.
    proxyRules: { syncPeriod: '10m' },
    startsLate: true,
  };
}
