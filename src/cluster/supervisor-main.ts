import { readFileSync } from 'node:fs';

import { messageOf } from '../errors.js';
import type { SupervisorPlan } from './supervisor/plan.js';
import { supervise } from './supervisor/supervisor.js';

/**
 * `node supervisor-main.js PLAN [tied]`: one small process per cluster, in a session of its own.
 *
 * SIGTERM ends the components in order. `tied` means that the cluster belongs to a run, which holds the other end of
 * standard input: its end, however the run dies, does the same.
 */
async function main(planFile: string, isTied: boolean): Promise<number> {
  const stop = new AbortController();
  const end = (): void => {
    stop.abort();
  };
  process.on('SIGTERM', end);
  process.on('SIGINT', end);
  process.on('SIGHUP', () => undefined); // the terminal it was started from may close
  if (isTied) {
    process.stdin.on('end', end);
    process.stdin.on('error', end);
    process.stdin.resume();
  }
  // Written by us a moment ago.
  const plan = JSON.parse(readFileSync(planFile, 'utf8')) as SupervisorPlan;
  const last = await supervise(plan, stop.signal);
  return last.phase === 'failed' ? 1 : 0;
}

main(process.argv[2] ?? '', process.argv[3] === 'tied').then(
  (code) => {
    process.exit(code);
  },
  (error: unknown) => {
    console.error(messageOf(error));
    process.exit(1);
  },
);
