import type { Driver } from '../drivers/index.js';
import { MkCiError } from '../errors.js';
import type { ClusterSpec } from './cluster.js';
import { checkKubernetesVersion } from './folder.js';
import { hasKubernetes } from './without-kubernetes.js';

/** Options of clusters by how they are made; those of kubeadm are more, and it checks them itself. */
const OPTIONS = {
  processes: ['extraFlags'],
  attach: ['kubeconfig', 'context'],
} as const satisfies Record<Exclude<Driver['info']['bootstrap'], 'kubeadm'>, readonly string[]>;

/**
 * Whether a cluster can be what is asked for, before anything is made.
 *
 * @throws {MkCiError} `BND_UNKNOWN_VERSION`, `CLI_USAGE`, `CFG_INVALID`, `DRV_UNSUPPORTED`
 */
export function checkSpec(spec: ClusterSpec, info: Driver['info']): void {
  if (info.bootstrap !== 'attach') checkKubernetesVersion(spec.kubernetesVersion);
  if (!Number.isInteger(spec.nodes) || spec.nodes < 0 || spec.nodes > 1000) {
    throw new MkCiError('CLI_USAGE', {
      message: `nodes: ${spec.nodes}`,
      advice: 'Give a whole number from 0 to 1000.',
    });
  }
  if (!hasKubernetes(spec) && info.bootstrap !== 'kubeadm') {
    throw new MkCiError('DRV_UNSUPPORTED', {
      message: `nodes without Kubernetes with driver ${info.name}`,
      advice: 'Choose a driver that makes machines, such as docker.',
    });
  }
  if (info.bootstrap === 'kubeadm' && spec.nodes > info.maxMachines) {
    throw new MkCiError('DRV_UNSUPPORTED', {
      message: `${spec.nodes} nodes with driver ${info.name}, which has ${info.maxMachines}`,
    });
  }
  if (spec.containerRuntime !== undefined && !info.containerRuntimes.includes(spec.containerRuntime)) {
    throw new MkCiError('DRV_UNSUPPORTED', {
      message: `container runtime ${spec.containerRuntime} with driver ${info.name}`,
    });
  }
  if (info.bootstrap !== 'kubeadm') checkOptions(spec, [...OPTIONS[info.bootstrap], ...(info.options ?? [])]);
}

/** What has no effect is not taken in silence. */
function checkOptions({ name, driver, options = {} }: ClusterSpec, known: readonly string[]): void {
  const problems = Object.keys(options)
    .filter((key) => !known.includes(key))
    .map((key) => `options.${key}: not known to driver ${driver}; there are ${known.join(', ')}`);
  if (problems.length === 0) return;
  throw new MkCiError('CFG_INVALID', {
    message: `cluster ${name}: ${problems.join('; ')}`,
    advice: 'Leave the option out, or choose a driver whose nodes are made by kubeadm, such as docker.',
    details: { problems },
  });
}
