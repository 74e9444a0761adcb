export {
  addReadEvent,
  addRepair,
  checkConservation,
  createCellState,
  endCellAttempt,
  summarizeCell,
  type CellState,
  type CellSummary,
  type Conservation,
} from './accumulate.js';
export {
  accumulateRun,
  addRunEvent,
  addRunRepair,
  createRunState,
  runResult,
  type RunState,
} from './accumulate-run.js';
export {
  addCounts,
  countPackages,
  countTests,
  isFlaky,
  NO_COUNTS,
  statusOfAttempts,
  totalOf,
  worstStatus,
} from './counts.js';
export { compareRuns, type ComparedTest, type RunComparison, type SlowerTest } from './compare-runs.js';
export * from './events.js';
export { mergeLanes, mergeRuns } from './merge.js';
export * from './model.js';
export * from './reader.js';
export {
  ALL_FORMATS,
  detectFormat,
  HEAD_LENGTH,
  loadReader,
  READERS,
  type Detection,
  type ReaderEntry,
} from './readers/registry.js';
