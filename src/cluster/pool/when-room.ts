import { setTimeout as delay } from 'node:timers/promises';

import { isShortOfInotify } from '../../drivers/index.js';

export interface WhenRoomOptions {
  readonly signal: AbortSignal;
  /** Called once, before the first pause. */
  readonly onWait: (error: Error) => void;
  /** @default a quarter of an hour: as long as a suite may take */
  readonly limitMs?: number;
  /** @default 3000 */
  readonly pauseMs?: number;
}

/**
 * Starts a cluster, and again as long as there is no room for its nodes beside those of others, also of another run: these end.
 * What a start failed for otherwise is thrown at once, and this too once the time is up.
 */
export async function whenRoom<T>(
  start: () => Promise<T>,
  { signal, onWait, limitMs = 15 * 60_000, pauseMs = 3000 }: WhenRoomOptions,
): Promise<T> {
  const end = performance.now() + limitMs;
  for (let tries = 1; ; tries += 1) {
    try {
      return await start();
    } catch (error) {
      if (!isShortOfInotify(error) || performance.now() >= end) throw error;
      if (tries === 1) onWait(error);
      await delay(pauseMs, undefined, { signal });
    }
  }
}
