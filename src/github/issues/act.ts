import { isMkCiError } from '../../errors.js';
import type { Logger } from '../../log.js';
import type { GitHub } from '../client/client.js';
import type { IssueAction } from './decide.js';
import { ISSUE_LABEL, readMemory } from './model.js';

/**
 * Carries actions out one after the other; one that fails is said and does not stop the next. An issue is created once:
 * after a failed create it is looked for by its marker.
 *
 * @returns how many actions failed
 * @throws {MkCiError} `GH_GONE` when issues are switched off, `GH_UNAUTHORIZED`, `GH_RATE_LIMIT`: nothing after it would succeed
 */
export async function applyIssueActions(
  github: GitHub,
  actions: readonly IssueAction[],
  { log, signal }: { readonly log: Logger; readonly signal: AbortSignal },
): Promise<number> {
  let failed = 0;
  for (const action of actions) {
    signal.throwIfAborted();
    try {
      await applyOne(github, action);
    } catch (error) {
      if (!isMkCiError(error) || ['GH_GONE', 'GH_UNAUTHORIZED', 'GH_RATE_LIMIT'].includes(error.code)) throw error;
      failed += 1;
      log.warn('an action on an issue failed', { action: action.type, code: error.code, message: error.message });
    }
  }
  return failed;
}

async function applyOne(github: GitHub, action: IssueAction): Promise<void> {
  switch (action.type) {
    case 'none':
      return;
    case 'open':
      await openOnce(github, action);
      return;
    case 'update':
      await github.updateIssue(action.number, {
        body: action.body,
        ...(action.labels === undefined ? {} : { labels: action.labels }),
      });
      return;
    case 'comment':
      await github.createComment(action.number, action.text);
      return;
    case 'close':
      // The state first: it is what counts, and it carries the memory that it was us.
      await github.updateIssue(action.number, { body: action.body, state: 'closed', stateReason: action.reason });
      await github.createComment(action.number, action.text);
      return;
    case 'reopen':
      await github.updateIssue(action.number, {
        body: action.body,
        state: 'open',
        stateReason: 'reopened',
        labels: action.labels,
      });
      await github.createComment(action.number, action.text);
      return;
    default:
      return action satisfies never;
  }
}

async function openOnce(github: GitHub, action: Extract<IssueAction, { readonly type: 'open' }>): Promise<void> {
  try {
    await github.createIssue(action);
  } catch (error) {
    if (isMkCiError(error, 'GH_INVALID') && action.assignees.length > 0) {
      // An owner who can not be assigned must not keep the issue from being opened.
      await github.createIssue({ ...action, assignees: [] });
      return;
    }
    if (!isMkCiError(error, 'GH_FAILED') && !isMkCiError(error, 'GH_UNREACHABLE')) throw error;
    const id = readMemory(action.body)?.id;
    const exists = (await github.issues(ISSUE_LABEL)).some(
      (issue) => issue.state === 'open' && readMemory(issue.body)?.id === id,
    );
    if (!exists) await github.createIssue(action);
  }
}
