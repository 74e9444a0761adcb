import type { PhaseEvent } from '../cluster/cluster.js';
import { isMkCiError, messageOf } from '../errors.js';
import type { Logger } from '../log.js';

/**
 * Starts a cluster with the best driver, and with the next best when that one fails at making its machines. What fails in Kubernetes
 * would fail with the others, too, and is not tried again.
 *
 * @param pick names the best one beside those that were tried; throws when none is left
 * @param isLeft whether something of the failed start is still there: nothing else may be started over it
 */
export async function startOnBest<T>({
  pick,
  start,
  isLeft,
  log,
  signal,
}: {
  readonly pick: (tried: ReadonlyMap<string, string>) => Promise<string>;
  readonly start: (driver: string, onPhase: (event: PhaseEvent) => void) => Promise<T>;
  readonly isLeft: () => Promise<boolean>;
  readonly log: Pick<Logger, 'warn'>;
  readonly signal: AbortSignal;
}): Promise<T> {
  const tried = new Map<string, string>();
  for (;;) {
    const driver = await pick(tried);
    const failed: string[] = [];
    try {
      return await start(driver, ({ name, state }) => {
        if (state === 'failed') failed.push(name);
      });
    } catch (error) {
      // A check of the driver fails before any phase.
      const isOfDriver = failed.includes('machines') || (isMkCiError(error) && error.code.startsWith('DRV_'));
      if (signal.aborted || !isOfDriver || (await isLeft())) throw error;
      log.warn(`driver ${driver} could not make the cluster; the next one is tried`, { why: messageOf(error) });
      tried.set(driver, messageOf(error));
    }
  }
}
