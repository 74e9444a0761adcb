import { stringify } from 'yaml';

import type { NodeFile } from './render-runtimes.js';
import { minorOf, type KubeadmSettings } from '../settings.js';
import { PATCHES_FOLDER } from './translated-nodes.js';

/**
 * CoreDNS answers a second after its start, but counts as ready only once the kubelet has asked it, which by its manifest is
 * every ten seconds, beginning at a random moment of the first ten after a start of the kubelet. Asked every second, the
 * Service has its endpoints when CoreDNS answers.
 */
const DNS_PATCH = {
  spec: {
    template: { spec: { containers: [{ name: 'coredns', readinessProbe: { periodSeconds: 1 } }] } },
  },
};

/** Files for a control plane, and members of kubeadm's InitConfiguration. Versions before 1.31 know no such patch. */
export function planDnsPatch({ kubernetesVersion }: Pick<KubeadmSettings, 'kubernetesVersion'>): {
  readonly files: readonly NodeFile[];
  readonly init: Readonly<Record<string, unknown>>;
} {
  if (minorOf(kubernetesVersion) < 31) return { files: [], init: {} };
  return {
    files: [{ path: `${PATCHES_FOLDER}/corednsdeployment+strategic.yaml`, content: stringify(DNS_PATCH) }],
    init: { patches: { directory: PATCHES_FOLDER } },
  };
}
