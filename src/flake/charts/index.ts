/** Data of the pages, for the static site and the server. */
export * from './schemas.js';
export {
  commitSummary,
  DEFAULT_DAYS,
  LIMITS,
  readChartCommits,
  readCommitPage,
  readEnvironmentPage,
  readOverview,
  readTestPage,
  runOf,
  type ChartStore,
  type PageQuery,
  type TestName,
} from './read.js';
export { readCommits, readExtent, readRunRows } from '../store/chart-runs.js';
export { searchSeries } from '../store/chart-series.js';
export { type DaySpan, type RunScope } from '../store/chart-scope.js';
