import { MkCiError } from '../../../../errors.js';
import type { ApiClient } from '../../../api-client.js';
import { ANSWER_MS } from '../../../readiness.js';
import type { KubeadmSettings } from '../settings.js';

/**
 * Volumes for claims: the provisioner that is part of the controller manager gives each claim a folder. On another node than
 * the one where it was filled, a volume is empty.
 */

/** Where that provisioner makes its folders, and pods look for them; it can not be set. */
const PROVISIONER_FOLDER = '/tmp/hostpath_pv';
/** Where they really lie: `/tmp` of a node does not survive a stop. */
const VOLUMES_FOLDER = '/var/lib/mk-ci/volumes';

/** Settings of the controller manager for `ClusterConfiguration`. */
export function storageOfControllerManager({ hasDefaultStorage }: Pick<KubeadmSettings, 'hasDefaultStorage'>): {
  readonly args: Readonly<Record<string, string>>;
  readonly rest: object;
} {
  if (!hasDefaultStorage) return { args: {}, rest: {} };
  const volume = { name: 'volumes', hostPath: VOLUMES_FOLDER, mountPath: PROVISIONER_FOLDER };
  return {
    args: { 'enable-hostpath-provisioner': 'true' },
    rest: { extraVolumes: [{ ...volume, readOnly: false, pathType: 'DirectoryOrCreate' }] },
  };
}

/** Shows the folder under the name that pods are given; after every start of the machine, twice changes nothing. */
export function renderStorageScript({ hasDefaultStorage }: Pick<KubeadmSettings, 'hasDefaultStorage'>): string {
  if (!hasDefaultStorage) return '';
  return (
    `mkdir -p ${VOLUMES_FOLDER} ${PROVISIONER_FOLDER}\n` +
    `mountpoint -q ${PROVISIONER_FOLDER} || mount --bind ${VOLUMES_FOLDER} ${PROVISIONER_FOLDER}\n`
  );
}

/** Makes the default class. @throws {MkCiError} `K8S_API_ERROR` */
export async function createDefaultStorageClass(client: ApiClient, signal: AbortSignal): Promise<void> {
  const answer = await client.request('POST', '/apis/storage.k8s.io/v1/storageclasses', {
    signal,
    timeoutMs: ANSWER_MS,
    body: {
      apiVersion: 'storage.k8s.io/v1',
      kind: 'StorageClass',
      metadata: { name: 'standard', annotations: { 'storageclass.kubernetes.io/is-default-class': 'true' } },
      provisioner: 'kubernetes.io/host-path',
      reclaimPolicy: 'Delete',
      volumeBindingMode: 'Immediate',
    },
  });
  const isThere = answer.status === 201 || answer.status === 409;
  if (!isThere) throw new MkCiError('K8S_API_ERROR', { message: `StorageClass: ${answer.body.slice(0, 300)}` });
}
