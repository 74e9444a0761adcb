import { setTimeout as delay } from 'node:timers/promises';

import type { ApiClient } from '../api-client.js';

/** How long nothing may be written until a cluster counts as settled. */
const QUIET_MS = 400;
const INTERVAL_MS = 50;

/**
 * Waits until the controllers have finished setting up a new cluster: until the revision of its store stands still. It
 * never fails: after `limitMs` the cluster is as settled as it gets.
 *
 * @returns whether it stood still
 */
export async function waitUntilSettled(
  client: Pick<ApiClient, 'request'>,
  limitMs: number,
  signal: AbortSignal,
): Promise<boolean> {
  const deadline = performance.now() + limitMs;
  let last = '';
  let since = performance.now();
  while (performance.now() < deadline) {
    // The revision of a list is that of the whole store, whatever kind of object is listed.
    const answer = await client.request('GET', '/api/v1/namespaces?limit=1', { signal });
    const revision = /"resourceVersion":"(\d+)"/.exec(answer.body)?.[1] ?? '';
    const now = performance.now();
    if (revision !== last || answer.status !== 200) since = now;
    else if (now - since >= QUIET_MS) return true;
    last = revision;
    await delay(INTERVAL_MS, undefined, { signal });
  }
  return false;
}
