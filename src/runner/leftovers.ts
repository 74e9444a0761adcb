import { setTimeout as delay } from 'node:timers/promises';

import { isAlive, listLabelledProcesses, signalProcess, type LabelledProcess, type Labels } from '../process.js';

export interface LeftoverOptions {
  readonly graceMs?: number;
  readonly list?: () => LabelledProcess[];
}

/**
 * Ends processes that carry all these labels: what a suite started outside its process group (a daemon, `setsid`).
 *
 * @returns what was found, whether or not it could be ended
 */
export async function endLabelledProcesses(
  labels: Labels,
  { graceMs = 2000, list = listLabelledProcesses }: LeftoverOptions = {},
): Promise<readonly LabelledProcess[]> {
  const wanted = Object.entries(labels);
  const find = (): LabelledProcess[] =>
    list().filter((process) => wanted.every(([key, value]) => process.labels[key] === value));
  const found = find();
  if (found.length === 0) return found;
  for (const process of found) {
    trySignal(process, 'SIGTERM');
    trySignal(process, 'SIGCONT');
  }
  const deadline = performance.now() + graceMs;
  while (found.some(isAlive) && performance.now() < deadline) await delay(20);
  // Looking again finds what the ones found have started meanwhile.
  for (const process of find()) trySignal(process, 'SIGKILL');
  return found;
}

function trySignal(process: LabelledProcess, signal: NodeJS.Signals): void {
  try {
    signalProcess(process, signal);
  } catch {
    // It became another user's: reported by the caller as found, and left to its owner.
  }
}
