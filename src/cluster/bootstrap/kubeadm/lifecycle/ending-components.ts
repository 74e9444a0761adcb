import { MkCiError } from '../../../../errors.js';
import type { ApiClient } from '../../../api-client.js';
import { CONTAINER_RESTARTS, CONTAINER_RESTARTS_SECONDS } from '../render/run-kubeadm.js';

/** Seldom enough to be no load, and not at all in a start that goes well. */
const INTERVAL_MS = 5000;

/**
 * What is asked while something of a new cluster is awaited: whether a component of the control plane ends again and again, as with a
 * flag that it does not know. Without a controller manager nobody brings what is awaited, and the deadline is far away.
 *
 * @returns function that throws {@link MkCiError} `K8S_COMPONENT_FAILED`. An API server that does not answer is no matter to it
 */
export function createComponentCheck(
  client: Pick<ApiClient, 'request'>,
  signal: AbortSignal,
  now: () => number = () => performance.now(),
): () => Promise<void> {
  const begun = now();
  let asked = begun;
  let ending: readonly string[] = [];
  const ask = async (): Promise<void> => {
    const isDue = now() - asked >= INTERVAL_MS && now() - begun < CONTAINER_RESTARTS_SECONDS * 1000;
    if (!isDue) return;
    asked = now();
    const path = '/api/v1/namespaces/kube-system/pods?labelSelector=tier%3Dcontrol-plane';
    // Whoever waits asks it too, and tells what it answers.
    const answer = await client.request('GET', path, { signal }).catch(() => undefined);
    if (answer?.status === 200) ending = endingComponents(JSON.parse(answer.body));
  };
  return async () => {
    // Several wait at the same time, and all of them have to end.
    if (ending.length === 0) await ask();
    if (ending.length > 0) {
      throw new MkCiError('K8S_COMPONENT_FAILED', { message: `${ending.join(', ')} ends again and again` });
    }
  };
}

/** Names of containers in a list of pods that were started again that often. */
export function endingComponents(list: unknown): string[] {
  const { items } = list as {
    readonly items: readonly {
      readonly status?: {
        readonly containerStatuses?: readonly { readonly name: string; readonly restartCount: number }[];
      };
    }[];
  };
  return items
    .flatMap(({ status }) => status?.containerStatuses ?? [])
    .filter(({ restartCount }) => restartCount >= CONTAINER_RESTARTS)
    .map(({ name }) => name);
}
