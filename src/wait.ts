import { setTimeout as delay } from 'node:timers/promises';

import { MkCiError, messageOf, type ErrorCode } from './errors.js';

/** What a probe saw: done with a value, or not yet and why. */
export type Probe<T> = { readonly done: true; readonly value: T } | { readonly done: false; readonly seen: string };

export interface WaitOptions {
  /** What is awaited, as the end of "waiting for …". */
  readonly what: string;
  readonly deadlineMs: number;
  /** Pause between two probes; up to twenty times as long when probes themselves take long: asking must not slow what is awaited. @default 100 */
  readonly intervalMs?: number;
  /** Code of the error when time runs out. @default 'K8S_START_TIMEOUT' */
  readonly code?: ErrorCode;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Probes until the probe is done. A probe that throws a plain error counts as "not yet"; an `MkCiError` ends the wait.
 *
 * @throws {MkCiError} `code` when the deadline passes, with what was awaited, for how long and what was seen last
 */
export async function waitFor<T>(probe: (signal: AbortSignal) => Promise<Probe<T>>, options: WaitOptions): Promise<T> {
  const { what, deadlineMs, intervalMs = 100, code = 'K8S_START_TIMEOUT' } = options;
  const startedAt = performance.now();
  const deadline = AbortSignal.timeout(Math.max(1, Math.ceil(deadlineMs)));
  const signal = options.signal ? AbortSignal.any([options.signal, deadline]) : deadline;
  let seen = 'nothing yet';
  for (;;) {
    const probedAt = performance.now();
    try {
      const result = await probe(signal);
      if (result.done) return result.value;
      seen = result.seen;
    } catch (error) {
      if (error instanceof MkCiError) throw error;
      if (!signal.aborted) seen = messageOf(error);
    }
    options.signal?.throwIfAborted();
    const elapsedMs = performance.now() - startedAt;
    if (elapsedMs >= deadlineMs) {
      throw new MkCiError(code, {
        message: `waited ${(elapsedMs / 1000).toFixed(1)} s for ${what}; seen last: ${seen}`,
        details: { what, elapsedMs: Math.round(elapsedMs), seen },
      });
    }
    const pauseMs = Math.min(Math.max(intervalMs, 3 * (performance.now() - probedAt)), 20 * intervalMs);
    await delay(Math.min(pauseMs, deadlineMs - elapsedMs), undefined, { signal: options.signal }).catch(() => {
      options.signal?.throwIfAborted();
    });
  }
}
