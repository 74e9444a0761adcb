import { stringify } from 'yaml';

import type { NodeFile } from './render-runtimes.js';
import { minorOf, type KubeadmSettings } from '../settings.js';
import { PATCHES_FOLDER } from './translated-nodes.js';

/**
 * CoreDNS answers a second after its start, but counts as ready only once the kubelet has asked it, which by its manifest is
 * every ten seconds, beginning at a random moment of the first ten after a start of the kubelet. Asked every second, the
 * Service has its endpoints when CoreDNS answers.
 */
const PROBED_OFTEN = {
  template: { spec: { containers: [{ name: 'coredns', readinessProbe: { periodSeconds: 1 } }] } },
};

/**
 * Files for a control plane, and members of kubeadm's InitConfiguration. Versions before 1.31 know no such patch.
 *
 * @param pods how many of CoreDNS there are. @default those that there are, or what kubeadm gives a new cluster: two
 */
export function planDnsPatch(
  { kubernetesVersion }: Pick<KubeadmSettings, 'kubernetesVersion'>,
  pods?: number,
): {
  readonly files: readonly NodeFile[];
  readonly init: Readonly<Record<string, unknown>>;
} {
  if (minorOf(kubernetesVersion) < 31) return { files: [], init: {} };
  const spec = { ...(pods === undefined ? {} : { replicas: pods }), ...PROBED_OFTEN };
  return {
    files: [{ path: `${PATCHES_FOLDER}/corednsdeployment+strategic.yaml`, content: stringify({ spec }) }],
    init: { patches: { directory: PATCHES_FOLDER } },
  };
}
