import type { ClusterCall } from '../../../manager.js';
import type { ClusterSeed } from '../../../state-access.js';

/**
 * Lets a cluster begin with a seed that is still being checked. It is given up as soon as the seed turns out to be damaged, and
 * not given to anybody before all of it is known to be whole.
 */
export async function whileChecked<T, C extends Pick<ClusterCall, 'phases' | 'signal'>>(
  seed: Pick<ClusterSeed, 'check'>,
  call: C,
  begin: (call: C) => Promise<T>,
): Promise<T> {
  const stop = new AbortController();
  const signal = AbortSignal.any([call.signal, stop.signal]);
  const checking = call.phases.run('template-check', async () => {
    await seed.check(signal);
  });
  checking.catch((error: unknown) => {
    stop.abort(error);
  });
  try {
    const begun = await begin({ ...call, signal });
    await checking;
    return begun;
  } catch (error) {
    stop.abort(error);
    await checking.catch(() => undefined);
    throw stop.signal.reason as unknown; // the first of both
  }
}
