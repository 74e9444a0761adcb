export { clusterLoad, limitsOf, type Limits, type Load } from './admission.js';
export { type KeepClusters } from './clusters.js';
export { exitCodeOf } from './exit-code.js';
export { readGitFacts } from './git-facts.js';
export { finishRun, loadRun, type FinishedRun } from './load-run.js';
export { type Formats } from './output-reader.js';
export { parseShard, planRun, type PlanFilters, type PlannedCell, type RunPlan } from './plan.js';
export { executeRun, type RunOptions, type RunOutcome } from './run.js';
export { sourceInfo } from './source-info.js';
