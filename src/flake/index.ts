/** What other folders use of the flake database. */
export { openFlakeStore } from './store/open.js';
export { recordsOfRun, type RecordMeta } from './store/records-of-run.js';
export { ciSourceOf, type CiSource } from './ci-environment.js';
export type {
  CountRow,
  DurationRow,
  SuiteDurationRow,
  Filter,
  FlakeStore,
  HistoryRow,
  SeriesName,
  SignatureRow,
  WriteOptions,
  WriteSummary,
} from './store/store.js';
export type { RunRecord, ResultRecord } from './store/record.js';
export { planMerge, planPrune, type PlannedMerge, type PlannedPrune } from './store/planned-changes.js';
export { readRates } from './rates.js';
export { findDefaultPrior, readPriors, type FindPrior } from './priors.js';
export type { FlakeRate } from './statistics/flake-rate.js';
export { parseMinikubeCsv, type ImportedRecords, type ImportProblem } from './import/minikube-csv.js';
export { formatMinikubeRates, minikubeRates, type MinikubeRate } from './minikube-rates.js';
export { ratesCsv, ratesTable } from './text/rates-text.js';
export { csvLine } from './export/csv.js';
export { RESULT_COLUMNS, resultRows } from './export/rows.js';
export {
  isQuarantined,
  lintQuarantine,
  parseQuarantine,
  resolveAlias,
  type QuarantineEntry,
  type QuarantineFile,
} from './quarantine.js';
export { signatureOf, type Signature } from './signatures/normalise.js';
export { areNearDuplicates, clusterSignatures } from './signatures/clusters.js';
export { findChangepoints, type Changepoint, type CommitCounts } from './statistics/changepoint.js';
export { durationRegression, type DurationRegression } from './statistics/duration-regression.js';
export { fitPrior, type BetaPrior } from './statistics/prior.js';
export { historyTable, readTestReports, testReportText, type TestReport } from './test-report.js';
export { readTestHistories, type FindHistory, type HistoryRequest, type TestHistory } from './test-histories.js';
export { testStateOf, type TestState } from './verdict/test-state.js';
export { verdictOf, type Verdict, type VerdictInput, type VerdictKind } from './verdict/verdict.js';
export { incidentsOf, type Incident } from './signatures/incidents.js';
export { incidentsTable } from './text/incidents-text.js';
export { correlationOf, dispersionOf, effectiveCounts } from './statistics/dispersion.js';
export { outcomeOf } from './store/record.js';
export { readExtent } from './store/chart-runs.js';
export { stateByHistory, type StateNow } from './verdict/state-history.js';
export { matchesPattern } from './quarantine.js';
export { backtest, type Judgement, type RunOutcome, type Series, type Truth } from './backtest/backtest.js';
export { readSeries } from './backtest/read-series.js';
export { scoreOf, type BacktestScore, type CalibrationBin } from './backtest/score.js';
export { backtestPage } from './text/backtest-page.js';
export { backtestText } from './text/backtest-text.js';
export { matchesPath, ownerOf, parseCodeOwners, type CodeOwnerRule, type OwnedTest, type OwnerRule } from './owners.js';
export { readGopoghDatabase } from './import/gopogh-db.js';
export { parseNdjson } from './import/ndjson.js';
export { writeParquet } from './export/parquet.js';
export { runOfRecords } from './export/run-of-records.js';
