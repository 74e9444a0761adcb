import { readFile } from 'node:fs/promises';

import { MkCiError, isMkCiError, messageOf } from '../../errors.js';
import { lastLines } from '../../exec.js';
import type { Machine } from '../driver.js';

const CLOCK_MS = 120_000;
const LONG_TRY_MS = 20_000;
const RESUMED_TRY_MS = 60_000;

export interface GuestWait {
  /** Of its console, shown when the guest does not come. */
  readonly serialLog: string;
  readonly limitMs: number;
  /**
   * Whether the guest goes on where it was, so that the first try is answered: a handshake costs a translated one seconds.
   *
   * @default false
   */
  readonly goesOn?: boolean;
  /** Waits for the end of what runs the guest. @returns whether it came within the time */
  readonly hasEnded: (waitMs: number) => Promise<boolean>;
  readonly signal: AbortSignal;
}

/**
 * Waits until commands run in the guest. Ends at once when what runs it does.
 *
 * @throws {MkCiError} `DRV_FAILED` with the last lines of its console; `NET_SSH_AUTH`, `NET_SSH_HOST_KEY` for another guest than ours
 */
export async function waitForGuest(machine: Machine, wait: GuestWait): Promise<void> {
  const { serialLog, limitMs, goesOn = false, hasEnded, signal } = wait;
  const startedAt = performance.now();
  let seen = 'nothing yet';
  // A connection that a forwarder takes while nobody listens in the guest may stay silent: short tries first, then longer ones.
  for (let tryMs = goesOn ? RESUMED_TRY_MS : 2000; ; tryMs = goesOn ? tryMs : Math.min(tryMs * 1.4, LONG_TRY_MS)) {
    const leftMs = limitMs - (performance.now() - startedAt);
    if (leftMs <= 0 || (await hasEnded(0))) {
      const log = lastLines((await readFile(serialLog, 'utf8').catch(() => '')).replaceAll('\0', ''), 15);
      const what = leftMs <= 0 ? `did not answer within ${Math.round(limitMs / 1000)} s` : 'ended while it started';
      throw new MkCiError('DRV_FAILED', {
        message: `the guest of ${machine.name} ${what}; ssh said last: ${seen}`,
        advice: `Read the last lines of its console below, or all of them in ${serialLog}.`,
        details: { output: log.join('\n'), seen },
      });
    }
    try {
      await machine.exec(['true'], { timeoutMs: Math.min(tryMs, leftMs), graceMs: 0, signal });
      return;
    } catch (error) {
      signal.throwIfAborted();
      if (isMkCiError(error, 'NET_SSH_AUTH') || isMkCiError(error, 'NET_SSH_HOST_KEY')) throw error;
      seen = messageOf(error);
      await hasEnded(250);
    }
  }
}

/** The guest's clock stands still while it does; certificates and leases depend on it. */
export async function setClock(machine: Machine, now: Date, signal: AbortSignal): Promise<void> {
  const seconds = (now.getTime() / 1000).toFixed(3);
  await machine.exec(['date', '-u', '-s', `@${seconds}`], { timeoutMs: CLOCK_MS, signal });
}
