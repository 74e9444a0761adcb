export { addClusterLogs } from './cluster-logs.js';
export { renderPage, scriptJson } from './html.js';
export type { LogSummary } from './log-writer.js';
export { reportModel, testAnchor, verdictOf, type HistoryOf, type ReportModelOptions } from './model.js';
export { createAssetLoader, loadPageAssets, type PageAssets } from './page-assets.js';
export {
  openReport,
  type CellLogSource,
  type ClusterLogSource,
  type FinishedReport,
  type FinishOptions,
  type OpenReportOptions,
  type Report,
  type ReportLog,
} from './report.js';
export type { PageData, PageHistory } from './shared/page-data.js';
