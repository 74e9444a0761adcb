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
}: {
  readonly pick: (tried: ReadonlyMap<string, string>) => Promise<string>;
  readonly start: (driver: string) => Promise<T>;
  readonly isLeft: () => Promise<boolean>;
  readonly log: Pick<Logger, 'warn'>;
}): Promise<T> {
  const tried = new Map<string, string>();
  for (;;) {
    const driver = await pick(tried);
    try {
      return await start(driver);
    } catch (error) {
      const isOfDriver = isMkCiError(error) && error.code.startsWith('DRV_');
      if (!isOfDriver || (await isLeft())) throw error;
      log.warn(`driver ${driver} could not make the cluster; the next one is tried`, { why: messageOf(error) });
      tried.set(driver, messageOf(error));
    }
  }
}
