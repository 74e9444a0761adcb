import { actOnPlan, type ActOptions, type GcOutcome } from './act.js';
import { lookAround, type LookOptions } from './look.js';
import { planGc, type GcPlan } from './plan.js';

export type CollectOptions = LookOptions & ActOptions;

/** What a look round shows, before anything is done. */
export async function listLeftovers(options: LookOptions): Promise<GcPlan> {
  return planGc(await lookAround(options));
}

const MAX_ROUNDS = 5;

/**
 * Removes leftovers until none is left: ending a supervisor frees what it owned, and a component that was being started
 * while the first look was taken shows only in the second.
 *
 * @returns what was done, in order; something that failed in one round and succeeded in a later one counts as done
 */
export async function collectGarbage(options: CollectOptions): Promise<readonly GcOutcome[]> {
  const outcomes = new Map<string, GcOutcome>();
  for (let round = 1; round <= MAX_ROUNDS; round += 1) {
    const { actions } = await listLeftovers(options);
    const fresh = actions.filter((action) => round === 1 || !outcomes.has(keyOf(action)) || retried(outcomes, action));
    if (fresh.length === 0) break;
    for (const outcome of await actOnPlan(fresh, options)) outcomes.set(keyOf(outcome.action), outcome);
  }
  await options.journal.sweep();
  return [...outcomes.values()];
}

function keyOf(action: GcOutcome['action']): string {
  const { why: _why, ...rest } = action;
  return JSON.stringify(rest);
}

function retried(outcomes: ReadonlyMap<string, GcOutcome>, action: GcOutcome['action']): boolean {
  return outcomes.get(keyOf(action))?.error !== undefined;
}
