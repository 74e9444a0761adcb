import type { Driver } from '../../../../drivers/driver.js';
import { MkCiError } from '../../../../errors.js';
import type { ClusterSpec } from '../../../cluster.js';
import type { ClusterRecord } from '../../../folder.js';
import type { KubeadmContext } from '../context.js';
import type { SavedNode } from '../state/node-list.js';

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

/**
 * A name may belong to another image tomorrow; what is saved of a node is of use only with the one it was made from.
 *
 * @returns a reference for that one; `undefined` where the driver knows no other than the name
 */
export async function pinImage(
  { images }: Pick<Driver, 'images'>,
  reference: string,
  signal: AbortSignal,
): Promise<string | undefined> {
  return images?.acceptsIdentity === true ? await images.identify(reference, signal) : undefined;
}

/**
 * The record with the image of machines that have none noted: what is saved of nodes goes with the image that they were made
 * from, also once they have another version.
 *
 * @param image as {@link pinImage} gives it
 */
export function withImages(record: ClusterRecord, image: string | undefined): ClusterRecord {
  if (image === undefined) return record;
  return { ...record, machines: (record.machines ?? []).map((machine) => ({ image, ...machine })) };
}

/**
 * The image from which nodes of a snapshot are made again: the one they were made from, or the usual one for nodes of which
 * that is not known.
 *
 * @throws {MkCiError} `K8S_SNAPSHOT_BROKEN` when the driver does not have it any more
 */
export async function findSavedImage(
  context: Pick<KubeadmContext, 'drivers' | 'env' | 'nodeImage'>,
  spec: Omit<ClusterSpec, 'name'>,
  saved: readonly Pick<SavedNode, 'image'>[],
  signal: AbortSignal,
): Promise<string> {
  const { images } = context.drivers.get(spec.driver);
  const known = [...new Set(saved.flatMap(({ image }) => image ?? []))];
  for (const image of known) {
    if ((await images?.identify(image, signal)) !== undefined) continue;
    throw new MkCiError('K8S_SNAPSHOT_BROKEN', {
      message: `${spec.driver} no longer has the node image it was made with, ${image}`,
      advice: 'Bring that image back, or delete the snapshot.',
    });
  }
  return known[0] ?? (await findImage(context, spec, signal));
}
