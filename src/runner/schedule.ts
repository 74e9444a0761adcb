import PQueue from 'p-queue';

import { admit, type Candidate, type Limits, type Load } from './admission.js';

export interface ScheduleOptions<Item extends Candidate> {
  readonly limits: Limits;
  /** Aborted: nothing new starts; what runs is expected to end by the same signal. */
  readonly signal: AbortSignal;
  /** Runs one item to its end. A rejection stops the whole schedule: it is for what can not go on. */
  readonly run: (item: Item) => Promise<void>;
  /** The last item that uses a cluster has ended; its load counts until this is done. */
  readonly onClusterUnused: (item: Item) => Promise<void>;
}

/**
 * Runs items under admission, as many at a time as fit. Returns when all that started has ended; items that did not
 * start because of the signal or a failure are simply not run.
 *
 * @throws the first rejection of `run` or `onClusterUnused`, after all others ended
 */
export async function schedule<Item extends Candidate>(
  items: readonly Item[],
  options: ScheduleOptions<Item>,
): Promise<void> {
  const queue = new PQueue({ concurrency: options.limits.jobs });
  const waiting = [...items];
  const running: Item[] = [];
  const clusters = new Map<string, Load>();
  const failures: unknown[] = [];

  const pump = (): void => {
    if (options.signal.aborted || failures.length > 0) return;
    for (const { id } of admit({ limits: options.limits, running, clusters }, waiting)) {
      const at = waiting.findIndex((item) => item.id === id);
      const [item] = waiting.splice(at, 1);
      if (item === undefined) continue;
      running.push(item);
      clusters.set(item.cluster.key, item.cluster.load);
      void queue.add(() => work(item));
    }
  };

  const work = async (item: Item): Promise<void> => {
    const others = (list: readonly Item[]): boolean =>
      list.some((other) => other !== item && other.cluster.key === item.cluster.key);
    try {
      await options.run(item);
      if (!others(running) && !others(waiting)) {
        await options.onClusterUnused(item);
        clusters.delete(item.cluster.key);
      }
    } catch (error) {
      failures.push(error);
    } finally {
      running.splice(running.indexOf(item), 1);
      pump();
    }
  };

  pump();
  await queue.onIdle();
  if (failures.length > 0) throw failures[0];
}
