/**
 * Work that many ask for in one command, done once for each key: what failed once fails again at once. It goes on when one of
 * those that wait gives up, so it must end by itself when the command is interrupted.
 *
 * @returns what gives the result of a key; rejects with the reason of the signal of who asks, whatever the work does then
 */
export function createSharedWork<T>(): (key: string, begin: () => Promise<T>, signal: AbortSignal) => Promise<T> {
  const asked = new Map<string, Promise<T>>();
  return async (key, begin, signal) => {
    const work = asked.get(key) ?? begin();
    asked.set(key, work);
    return await whileWanted(work, signal);
  };
}

/** What comes first: the end of the work, or the reason of the signal. */
async function whileWanted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return await new Promise<T>((resolve, reject) => {
    const giveUp = (): void => {
      reject(signal.reason as Error);
    };
    if (signal.aborted) giveUp();
    signal.addEventListener('abort', giveUp, { once: true });
    void work.then(resolve, reject).finally(() => {
      signal.removeEventListener('abort', giveUp);
    });
  });
}
