import { stringify } from 'yaml';

import type { NodeFacts } from './node-facts.js';
import type { NodeFile } from './render-runtimes.js';

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

/** Additions to containers of the control plane: what starts late has next to no claim, and the API server is not asked for its health every second. */
const PATCHES = {
  // The only one whose readiness every version asks for; a period alone is no probe, and the kubelet refuses such a pod.
  'kube-apiserver': { readinessProbe: { periodSeconds: 10 } },
  'kube-controller-manager': { resources: { requests: { cpu: '10m' } } },
  'kube-scheduler': { resources: { requests: { cpu: '10m' } } },
} as const;

export interface Pace {
  readonly files: readonly NodeFile[];
  /** Shell lines that run once, before the runtime starts. */
  readonly script: string;
  /** Members of kubeadm's InitConfiguration. */
  readonly init: Readonly<Record<string, unknown>>;
  /** Environment of components, for `extraEnvs` of kubeadm's ClusterConfiguration from v1beta4 on. */
  readonly environment: Readonly<Record<string, string>>;
  /** What of the control plane is started once the API server answers, as names of kubeadm's phase `control-plane`. */
  readonly late: readonly string[];
}

const USUAL: Pace = { files: [], script: '', init: {}, environment: {}, late: [] };

/** How a node is started, by what its processors are. */
export function paceOf({ isTranslated }: Pick<NodeFacts, 'isTranslated'>, units: readonly string[] = []): Pace {
  if (!isTranslated) return USUAL;
  const environment = Object.entries(GO_ENVIRONMENT).map(([name, value]) => `Environment=${name}=${value}`);
  return {
    files: [
      ...['kubelet.service', ...units].map((unit) => ({
        path: `/etc/systemd/system/${unit}.d/50-translated.conf`,
        content: ['[Service]', ...environment, ''].join('\n'),
      })),
      ...Object.entries(PATCHES).map(([name, container]) => ({
        path: `${PATCHES_FOLDER}/${name}+strategic.yaml`,
        content: stringify({ spec: { containers: [{ name, ...container }] } }),
      })),
    ],
    script: `systemctl set-property system.slice CPUWeight=${SYSTEM_WEIGHT}\n`,
    init: { patches: { directory: PATCHES_FOLDER } },
    environment: GO_ENVIRONMENT,
    late: ['controller-manager', 'scheduler'],
  };
}
