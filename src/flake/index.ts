/** What other folders use of the flake database. */
export { openFlakeStore } from './store/open.js';
export { recordsOfRun, type RecordMeta } from './store/records-of-run.js';
export { ciSourceOf, type CiSource } from './ci-environment.js';
export type {
  CountRow,
  DurationRow,
  Filter,
  FlakeStore,
  HistoryRow,
  SeriesName,
  WriteOptions,
  WriteSummary,
} from './store/store.js';
export type { RunRecord, ResultRecord } from './store/record.js';
export { readRates } from './rates.js';
export type { FlakeRate } from './statistics/flake-rate.js';
export { parseMinikubeCsv, type ImportedRecords, type ImportProblem } from './import/minikube-csv.js';
export { formatMinikubeRates, minikubeRates, type MinikubeRate } from './minikube-rates.js';
export { ratesCsv, ratesTable } from './text/rates-text.js';
