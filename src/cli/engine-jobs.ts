import { connectToCluster } from '../cluster/index.js';
import { MkCiError, isMkCiError } from '../errors.js';
import { createJobApi } from '../runner/kubernetes/index.js';
import { ENGINE_DRIVER } from './engine-driver.js';

/** A Job on a cluster, as one word of the journal. */
export interface EngineJobName {
  /** Kubeconfig, absolute. */
  readonly file: string;
  readonly context: string;
  readonly namespace: string;
  readonly job: string;
}

/** `namespace/job` first, for people; no name of Kubernetes holds a blank. */
export function formatEngineJob({ file, context, namespace, job }: EngineJobName): string {
  return `${namespace}/${job} ${encodeURIComponent(context)} ${file}`;
}

export function parseEngineJob(text: string): EngineJobName | undefined {
  const match = /^([a-z0-9.-]+)\/([a-z0-9.-]+) (\S+) (\/.*)$/.exec(text);
  if (match === null) return undefined;
  const [, namespace = '', job = '', context = '', file = ''] = match;
  return { namespace, job, context: decodeURIComponent(context), file };
}

const LIMIT_MS = 120_000;

/** Removes a Job that the journal names. One of a cluster that no kubeconfig leads to any more counts as gone. */
export async function removeEngineJob(name: string, signal: AbortSignal): Promise<void> {
  const known = parseEngineJob(name);
  if (known === undefined) throw new MkCiError('DRV_UNKNOWN', { message: `${ENGINE_DRIVER} ${name}` });
  const connection = await connectToCluster(known.file, known.context).catch((error: unknown) => {
    if (isMkCiError(error, 'K8S_KUBECONFIG')) return undefined;
    throw error;
  });
  if (connection === undefined) return;
  using client = connection.client;
  const limit = AbortSignal.any([signal, AbortSignal.timeout(LIMIT_MS)]);
  await createJobApi(client, known.namespace).deleteJob(known.job, limit);
}
