export { renderCtrf } from './ctrf.js';
export { gopoghSummary, renderGopoghSummary, type GopoghOptions, type GopoghSummary } from './gopogh.js';
export { renderJunit } from './junit.js';
export { renderKubetest2Junit } from './kubetest2.js';
export { renderMarkdown, SUMMARY_LIMIT_BYTES, type MarkdownOptions } from './markdown.js';
export { markdownBlock, markdownCode, markdownLine, plainText } from './markdown-text.js';
export {
  prowFinished,
  prowStarted,
  renderProwFinished,
  renderProwStarted,
  type ProwFinished,
  type ProwStarted,
} from './prow.js';
export { verdictOf, type RunVerdict } from './verdict.js';
