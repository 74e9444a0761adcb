import { setTimeout as delay } from 'node:timers/promises';

/** Prepares things before they are asked for, keeps them frozen, and hands them out one by one. */
export interface Pool<T> extends AsyncDisposable {
  /**
   * The oldest prepared one, or the one being prepared when none is ready; `undefined` when neither is there or its
   * preparation failed. Then, and whenever one is taken, the next is prepared in the background.
   */
  take(): Promise<T | undefined>;
  /** Begins to prepare in the background when there is room. */
  fill(): void;
}

export interface PoolSize {
  /** Prepared as soon as the first one was asked for. */
  readonly min: number;
  /** Prepared when the host has nothing better to do. */
  readonly max: number;
}

export interface PoolOptions<T> {
  readonly size: PoolSize;
  /** Makes one. Rejects when aborted, and then leaves nothing behind. */
  readonly prepare: (signal: AbortSignal) => Promise<T>;
  /** Removes one that nobody took. */
  readonly discard: (item: T) => Promise<void>;
  /** Whether the host can hold one more, and whether it is idle enough to make more than `min`. */
  readonly room: () => { readonly fits: boolean; readonly isIdle: boolean };
  /** A preparation or a refresh that failed; the thing that could not be refreshed stays. */
  readonly onFailure: (error: unknown) => void;
  /** Keeps a prepared one usable while it waits. It is handed out only when this has ended. @default never */
  readonly refresh?: (item: T, signal: AbortSignal) => Promise<void>;
  /** @default 15000 */
  readonly refreshMs?: number;
}

interface Prepared<T> {
  readonly made: Promise<T | undefined>;
  readonly leaving: AbortController;
  /** Ends once nothing is done to it any more. */
  refreshed: Promise<void>;
}

/**
 * One is prepared at a time. After a failure nothing is prepared until the next one is asked for, so a host on which it
 * can not work is not kept busy.
 */
export function createPool<T>(options: PoolOptions<T>): Pool<T> {
  const { size, prepare, discard, room, onFailure, refresh, refreshMs = 15_000 } = options;
  const items: Prepared<T>[] = [];
  const closing = new AbortController();
  let preparing: Promise<void> | undefined;

  const hasRoom = (): boolean => {
    const { fits, isIdle } = room();
    return fits && items.length < (isIdle ? Math.max(size.min, size.max) : size.min);
  };
  const fill = (): void => {
    if (preparing !== undefined || closing.signal.aborted || !hasRoom()) return;
    const made = prepare(closing.signal).catch((error: unknown) => {
      const at = items.indexOf(item);
      if (at >= 0) items.splice(at, 1);
      if (!closing.signal.aborted) onFailure(error);
      return undefined;
    });
    const leaving = new AbortController();
    const item: Prepared<T> = { made, leaving, refreshed: keep(made, leaving.signal) };
    items.push(item);
    preparing = made.then((result) => {
      preparing = undefined;
      if (result !== undefined) fill();
    });
  };
  /** What is done in a turn is ended by nobody: a cluster that is half frozen is of no use. */
  const keep = async (made: Promise<T | undefined>, leaving: AbortSignal): Promise<void> => {
    const item = await made;
    if (item === undefined || refresh === undefined) return;
    while (await isStillAfter(refreshMs, leaving)) {
      await refresh(item, closing.signal).catch((error: unknown) => {
        if (!closing.signal.aborted) onFailure(error);
      });
    }
  };
  const leave = async ({ made, leaving, refreshed }: Prepared<T>): Promise<T | undefined> => {
    leaving.abort();
    await refreshed;
    return await made;
  };
  return {
    fill,
    take: async () => {
      const item = items.shift();
      return item === undefined ? undefined : await leave(item);
    },
    [Symbol.asyncDispose]: async () => {
      closing.abort(new Error('the pool is closed'));
      await preparing;
      const results = await Promise.allSettled(
        items.splice(0).map(async (item) => {
          const made = await leave(item);
          if (made !== undefined) await discard(made);
        }),
      );
      const errors = results.flatMap((result): unknown[] => (result.status === 'rejected' ? [result.reason] : []));
      if (errors.length > 0) throw new AggregateError(errors, 'prepared clusters could not be removed');
    },
  };
}

/** @returns false as soon as it is told to end */
async function isStillAfter(milliseconds: number, signal: AbortSignal): Promise<boolean> {
  if (signal.aborted) return false;
  return await delay(milliseconds, true, { signal, ref: false }).catch(() => false);
}
