import { setTimeout } from 'node:timers/promises';

/** Waits, and ends early with the reason of the signal. */
export async function delay(ms: number, signal: AbortSignal): Promise<void> {
  try {
    await setTimeout(ms, undefined, { signal });
  } catch {
    signal.throwIfAborted();
  }
}
