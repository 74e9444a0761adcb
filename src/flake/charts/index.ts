/** Data of the pages, for the static site and the server. */
export * from './schemas.js';
export { DEFAULT_DAYS, LIMITS, type ChartStore, type PageQuery } from './page-query.js';
export { commitSummary, readChartCommits, readCommitPage, readEnvironmentPage, readOverview, runOf } from './read.js';
export {
  readOwnTestPage,
  readTestEnvironments,
  readTestPage,
  type OwnTestPage,
  type TestEnvironments,
  type TestName,
} from './read-test.js';
export { readCommits, readExtent, readRunRows } from '../store/chart-runs.js';
export { searchSeries } from '../store/chart-series.js';
export { type DaySpan, type RunScope } from '../store/chart-scope.js';
