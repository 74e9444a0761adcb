export type { GcOutcome } from './act.js';
export { collectGarbage, listLeftovers, type CollectOptions } from './collect.js';
export type { LookOptions } from './look.js';
export type { GcAction, GcPlan, Kept } from './plan.js';
