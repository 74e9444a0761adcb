import { MkCiError } from '../errors.js';
import type { ClusterSpec } from './cluster.js';

/** In place of a version, where there is no Kubernetes. */
export const NO_VERSION = 'none';

/** False for a cluster whose nodes run a container runtime and nothing else: the option `noKubernetes`. */
export function hasKubernetes({ options }: Pick<ClusterSpec, 'options'>): boolean {
  return options?.['noKubernetes'] !== true;
}

/** @throws {MkCiError} `K8S_ABSENT` for what needs Kubernetes, in a cluster that has none */
export function needKubernetes(spec: Pick<ClusterSpec, 'name' | 'options'>, what: string): void {
  if (!hasKubernetes(spec)) throw kubernetesAbsent(spec.name, what);
}

export function kubernetesAbsent(name: string, what: string): MkCiError {
  return new MkCiError('K8S_ABSENT', {
    message: `${what}: ${name} was started with --no-kubernetes`,
    advice: `Start another cluster without --no-kubernetes; the nodes of this one are reached by mk-ci cluster ssh ${name}.`,
  });
}
