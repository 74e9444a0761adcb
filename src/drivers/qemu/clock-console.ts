import { connect } from 'node:net';

import { CLOCK_IS_SET } from '../seed/index.js';

/** A guest that goes on answers within a second or two; one that is translated on a busy host within more. */
const ANSWER_MS = 10_000;

/**
 * Tells a guest the time at a console of it, see `renderSetup`, and waits until it says that its clock is set.
 *
 * @returns false when nothing is said in time, or something else
 */
export async function tellTime(socketPath: string, now: () => Date, signal: AbortSignal): Promise<boolean> {
  const limit = AbortSignal.any([signal, AbortSignal.timeout(ANSWER_MS)]);
  const socket = connect({ path: socketPath, signal: limit });
  socket.setEncoding('utf8');
  socket.write(`${(now().getTime() / 1000).toFixed(3)}\n`);
  let said = '';
  try {
    for await (const piece of socket as AsyncIterable<string>) {
      said += piece;
      if (said.includes('\n')) break;
    }
  } catch {
    signal.throwIfAborted(); // else it is silent, or not there
  } finally {
    socket.destroy();
  }
  return said.trim() === CLOCK_IS_SET;
}
