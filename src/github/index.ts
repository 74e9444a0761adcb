/** What other folders use of the bot. */
export { createGitHub, type GitHub } from './client/client.js';
export { authOf } from './client/octokit.js';
export { postComment } from './comment/act.js';
export type { CommentAction } from './comment/decide.js';
export { sectionOf, type Links } from './comment/section.js';
export type { CommentSection } from './comment/state.js';
export { annotationsOf, decideCheck, publishCheck } from './checks/checks.js';
export { renderStepSummary, renderWorkflowCommands } from './checks/summary.js';
export { readEvidence } from './evidence/verdicts.js';
export { applyIssueActions } from './issues/act.js';
export { decideIssues, type IssueAction } from './issues/decide.js';
export { readHealth } from './issues/health.js';
export { ISSUE_LABEL, issueId, readMemory } from './issues/model.js';
export { delay } from './pause.js';
export { chatCommentOf, issueCommentSchema, type ChatComment } from './chat/event.js';
export { handleChat, type ChatOptions, type ChatOutcome } from './chat/handle.js';
export type { ChatAction } from './chat/decide.js';
