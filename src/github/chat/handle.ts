import { isMkCiError } from '../../errors.js';
import { readRates, type FlakeStore } from '../../flake/index.js';
import type { Logger } from '../../log.js';
import type { GitHub } from '../client/client.js';
import { ISSUE_LABEL, issueId, readMemory } from '../issues/model.js';
import { safeCode, safeText, safeTitle } from '../text/safe.js';
import { decideChat, type ChatAction } from './decide.js';
import type { ChatComment } from './event.js';
import { parseChat } from './parse.js';
import { addToQuarantine, quarantineBranch, type QuarantineRequest } from './quarantine-file.js';
import { renderFlakeStatus } from './status-text.js';

export interface ChatOptions {
  /** For `/flake-status` and for the issue of a test in quarantine. */
  readonly store?: Pick<FlakeStore, 'counts'>;
  /** Path of the quarantine file in the repository. */
  readonly quarantinePath: string;
  /** `https://github.com/owner/name` */
  readonly repositoryUrl: string;
  readonly chart?: (environment: string, test: string) => string;
  readonly nowMs: number;
  readonly dryRun?: boolean;
  readonly log: Logger;
  readonly signal: AbortSignal;
}

export interface ChatOutcome {
  readonly actions: readonly ChatAction[];
  /** What was answered; absent when a reaction said enough. */
  readonly reply?: string;
}

const DAY_MS = 86_400_000;
const STATUS_DAYS = 30;
const LONGEST_REPLY_BYTES = 60_000;

/**
 * Does what a comment asks for, once: the reaction `eyes` claims it, and whoever finds that reaction of ours there
 * already leaves it alone, be it a second delivery, a workflow that runs again, or the webhook beside the workflow.
 *
 * Requests: none for a comment without commands; otherwise at most 6, one for each workflow run, and 6 for a quarantine.
 *
 * @throws {MkCiError} a code of `GH_…` when even the claim is not possible
 */
export async function handleChat(github: GitHub, comment: ChatComment, options: ChatOptions): Promise<ChatOutcome> {
  const lines = parseChat(comment.body);
  if (lines.length === 0) return { actions: [] };
  const isDryRun = options.dryRun === true;
  if (!isDryRun && !(await github.react(comment.id, 'eyes'))) {
    options.log.info('this comment was dealt with before', { comment: comment.id });
    return { actions: [] };
  }
  const pullRequest = await github.pullRequest(comment.pullRequest);
  const needsRuns = lines.some(({ name }) => name === 'retest' || name === 'ok-to-test');
  const actions = decideChat(lines, {
    author: comment.author,
    permission: await github.permissionOf(comment.author),
    writtenAt: comment.writtenAt,
    pullRequest,
    runs: needsRuns ? await github.workflowRuns(pullRequest.headSha) : [],
  });
  if (isDryRun) return { actions };
  const said: string[] = [];
  for (const action of actions) {
    options.signal.throwIfAborted();
    try {
      const text = await act(github, action, comment, options);
      if (text !== undefined) said.push(text);
    } catch (error) {
      if (!isMkCiError(error)) throw error;
      // One that fails does not stop the next; the person who asked hears of it.
      options.log.warn('a command of a comment failed', {
        action: action.type,
        code: error.code,
        message: error.message,
      });
      said.push(`That did not work (${error.code}): ${safeText(error.message.slice(0, 300))}`);
    }
  }
  const hasTrouble = actions.some(({ type }) => type === 'say') || said.some((text) => text.startsWith('That did not'));
  const reply = said.length === 0 ? undefined : replyTo(comment, [...new Set(said)]);
  if (reply !== undefined) await github.createComment(comment.pullRequest, reply);
  await github.react(comment.id, hasTrouble ? 'confused' : 'rocket');
  return { actions, ...(reply === undefined ? {} : { reply }) };
}

function replyTo({ id }: ChatComment, said: readonly string[]): string {
  const body = `<!-- mk-ci:reply to=${id} -->\n${said.join('\n\n')}\n`;
  return Buffer.byteLength(body) <= LONGEST_REPLY_BYTES
    ? body
    : `<!-- mk-ci:reply to=${id} -->\nThe answer is too long for a comment: ask for less.\n`;
}

/** @returns what there is to say, Markdown */
async function act(
  github: GitHub,
  action: ChatAction,
  comment: ChatComment,
  options: ChatOptions,
): Promise<string | undefined> {
  switch (action.type) {
    case 'say':
      return action.text;
    case 'rerun':
      await github.rerunFailedJobs(action.runId);
      return undefined;
    case 'approve':
      await github.approveRun(action.runId);
      return undefined;
    case 'label':
      await github.addLabels(comment.pullRequest, [action.label]);
      return undefined;
    case 'show': {
      if (options.store === undefined) return 'There is no flake database here yet: I know nothing of earlier runs.';
      const sinceMs = options.nowMs - STATUS_DAYS * DAY_MS;
      return renderFlakeStatus(await readRates(options.store, { sinceMs, runs: 'base' }), {
        repository: github.repository,
        days: STATUS_DAYS,
        ...(action.test === undefined ? {} : { test: action.test }),
        ...(options.chart === undefined ? {} : { chart: options.chart }),
      });
    }
    case 'propose':
      return await propose(github, action, comment, options);
    default:
      return action satisfies never;
  }
}

async function propose(
  github: GitHub,
  { test, environment, days }: Extract<ChatAction, { readonly type: 'propose' }>,
  comment: ChatComment,
  options: ChatOptions,
): Promise<string> {
  const path = options.quarantinePath;
  const issue = await issueOfTest(github, test, options);
  const request: QuarantineRequest = {
    test,
    environment,
    issue: `${options.repositoryUrl}/${issue === undefined ? `pull/${comment.pullRequest}` : `issues/${issue}`}`,
    owner: comment.author,
    until: new Date(options.nowMs + days * DAY_MS).toISOString().slice(0, 10),
  };
  const base = await github.defaultBranch();
  const file = await github.readFile(path, base);
  const text = addToQuarantine(file?.text, request, path);
  const where = environment === '*' ? 'in every environment' : `in ${safeCode(environment, 100)}`;
  const number = await github.proposeFile({
    base,
    branch: quarantineBranch(request),
    path,
    text,
    ...(file === undefined ? {} : { replaces: file.sha }),
    title: `Quarantine ${safeTitle(test, 150)} until ${request.until}`,
    body: `${safeCode(test)} ${where} does not block until ${request.until}. Asked for in #${comment.pullRequest}${issue === undefined ? '' : `; the issue about it is #${issue}`}.\n`,
  });
  return number === undefined
    ? `The quarantine of ${safeCode(test)} until ${request.until} was proposed before; look for the branch ${safeCode(quarantineBranch(request))}.`
    : `#${number} proposes to quarantine ${safeCode(test)} ${where} until ${request.until}.`;
}

/** The open issue about a test, found by its marker. */
async function issueOfTest(github: GitHub, test: string, { store, nowMs }: ChatOptions): Promise<number | undefined> {
  if (store === undefined || test.includes('*')) return undefined;
  const rates = await readRates(store, { test, sinceMs: nowMs - STATUS_DAYS * DAY_MS, runs: 'base' });
  const ids = new Set(rates.map((rate) => issueId(github.repository, { package: rate.package, name: rate.test })));
  if (ids.size === 0) return undefined;
  const issues = await github.issues(ISSUE_LABEL);
  return issues.find(({ state, body }) => state === 'open' && ids.has(readMemory(body)?.id ?? ''))?.number;
}
