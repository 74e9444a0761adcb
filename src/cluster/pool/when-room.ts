import { setTimeout as delay } from 'node:timers/promises';

import { isShortOfInotify } from '../../drivers/index.js';
import type { ClusterCallOptions, PhaseEvent } from '../cluster.js';

export interface WhenRoomOptions extends Pick<ClusterCallOptions, 'signal' | 'onPhase'> {
  /** Called once, before the first pause. */
  readonly onWait: (error: Error) => void;
  /** @default a quarter of an hour: as long as a suite may take */
  readonly limitMs?: number;
  /** Each pause is half as long again as the one before, up to seven times this. @default 3000 */
  readonly pauseMs?: number;
}

type OnPhase = (event: PhaseEvent) => void;

/**
 * Starts a cluster, and again as long as there is no room for its nodes beside those of others, also of another run: these end.
 * What a start failed for otherwise is thrown at once, and this too once the time is up. Of later starts only those phases are
 * told that come after the want of room.
 */
export async function whenRoom<T>(
  start: (onPhase: OnPhase) => Promise<T>,
  { signal, onPhase, onWait, limitMs = 15 * 60_000, pauseMs = 3000 }: WhenRoomOptions,
): Promise<T> {
  const end = performance.now() + limitMs;
  let failed: string | undefined;
  for (let tries = 1; ; tries += 1) {
    const events = holdBack(failed, onPhase);
    try {
      return await start(events.tell);
    } catch (error) {
      const isLast = performance.now() >= end;
      if (!isShortOfInotify(error) || isLast) {
        events.release();
        throw error;
      }
      failed ??= events.failed();
      if (tries === 1) onWait(error);
      await delay(Math.min(pauseMs * 1.5 ** (tries - 1), pauseMs * 7), undefined, { signal });
    }
  }
}

/** Keeps events until the phase with this name is over, if it ever is. */
function holdBack(until: string | undefined, onPhase: OnPhase = () => undefined) {
  let held: PhaseEvent[] | undefined = until === undefined ? undefined : [];
  let failed: string | undefined;
  const release = (): void => {
    held?.forEach(onPhase);
    held = undefined;
  };
  return {
    tell: (event: PhaseEvent): void => {
      if (event.state === 'failed') failed = event.name;
      if (held === undefined) onPhase(event);
      else held.push(event);
      if (event.name === until && event.state === 'ok') release();
    },
    release,
    failed: () => failed,
  };
}
