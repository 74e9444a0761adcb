import { MkCiError } from '../../../errors.js';
import type { ClusterSpec } from '../../cluster.js';
import type { KubeadmContext } from './context.js';

/** The image of the nodes. @throws {MkCiError} `BND_NO_SOURCE` with the names that were tried */
export async function findImage(
  { drivers, env, nodeImage }: Pick<KubeadmContext, 'drivers' | 'env' | 'nodeImage'>,
  spec: Omit<ClusterSpec, 'name'>,
  signal: AbortSignal,
): Promise<string> {
  const driver = drivers.get(spec.driver);
  const wished = spec.options?.['nodeImage'] ?? env['MK_CI_NODE_IMAGE'];
  const isWished = typeof wished === 'string' && wished !== '';
  if (!isWished && nodeImage !== undefined) {
    return await nodeImage({ kubernetesVersion: spec.kubernetesVersion, driver: driver.info.name }, signal);
  }
  const names = isWished
    ? [wished]
    : [`mk-ci-node:${spec.kubernetesVersion}`, `mk-ci-node:dev-${spec.kubernetesVersion}`];
  for (const name of names) {
    if ((await driver.images?.identify(name, signal)) !== undefined) return name;
  }
  throw new MkCiError('BND_NO_SOURCE', {
    message: `${driver.info.name} has no node image ${names.join(' or ')}`,
    advice: `Run mk-ci node-image build --kubernetes-version ${spec.kubernetesVersion} --driver ${driver.info.name}.`,
  });
}
