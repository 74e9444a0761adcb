import type { WorkflowRun } from '../client/client.js';
import type { ChatCommand, ChatLine } from './parse.js';

/** Lets the author of a pull request from outside say `/retest`. */
export const OK_TO_TEST_LABEL = 'ok-to-test';

export interface ChatFacts {
  readonly author: string;
  readonly permission: 'admin' | 'write' | 'read' | 'none';
  /** When the comment was written, ISO 8601, by GitHub's clock. */
  readonly writtenAt: string;
  readonly pullRequest: {
    readonly number: number;
    readonly isOpen: boolean;
    readonly author: string;
    readonly labels: readonly string[];
  };
  /** Of the head commit. */
  readonly runs: readonly WorkflowRun[];
}

export type ChatAction =
  | { readonly type: 'rerun'; readonly runId: number }
  | { readonly type: 'approve'; readonly runId: number }
  | { readonly type: 'label'; readonly label: string }
  | { readonly type: 'show'; readonly test?: string }
  | { readonly type: 'propose'; readonly test: string; readonly environment: string; readonly days: number }
  /** Markdown; made of constant text only. */
  | { readonly type: 'say'; readonly text: string };

/** Runs that ended without a pass. */
const RETRIABLE = new Set(['failure', 'timed_out', 'cancelled']);

/**
 * What commands lead to. Pure.
 *
 * Who may: `/flake-status` anybody; `/retest` who may write, and the author of a pull request that was found ok to test;
 * `/ok-to-test` and `/quarantine` who may write.
 */
export function decideChat(lines: readonly ChatLine[], facts: ChatFacts): ChatAction[] {
  return lines.flatMap((line): ChatAction[] => {
    if (line.name === 'wrong') return [{ type: 'say', text: `That is no command as I know it: ${line.message}.` }];
    if (!mayUse(line, facts)) return [{ type: 'say', text: refusalOf(line) }];
    return decideOne(line, facts);
  });
}

function mayUse(command: ChatCommand, { author, permission, pullRequest }: ChatFacts): boolean {
  if (command.name === 'flake-status' || permission === 'admin' || permission === 'write') return true;
  return (
    command.name === 'retest' &&
    author.toLowerCase() === pullRequest.author.toLowerCase() &&
    pullRequest.labels.includes(OK_TO_TEST_LABEL)
  );
}

function refusalOf({ name }: ChatCommand): string {
  return name === 'retest'
    ? `\`/retest\` needs the right to write here, or a pull request of yours with the label \`${OK_TO_TEST_LABEL}\`; someone who may write gives it with \`/ok-to-test\`.`
    : `\`/${name}\` needs the right to write here.`;
}

function decideOne(command: ChatCommand, { runs, pullRequest, writtenAt }: ChatFacts): ChatAction[] {
  switch (command.name) {
    case 'flake-status':
      return [{ type: 'show', ...(command.test === undefined ? {} : { test: command.test }) }];
    case 'quarantine': {
      const { test, environment, days } = command;
      return [{ type: 'propose', test, environment, days }];
    }
    case 'retest': {
      if (!pullRequest.isOpen) return [{ type: 'say', text: 'This pull request is closed: nothing is run again.' }];
      const failed = runs.filter(({ status, conclusion }) => status === 'completed' && RETRIABLE.has(conclusion));
      if (failed.length > 0) return failed.map(({ id }) => ({ type: 'rerun', runId: id }));
      const isRunning = runs.some(({ status }) => status !== 'completed');
      return [
        {
          type: 'say',
          text: isRunning
            ? 'The workflows of the newest commit are still running; there is nothing to run again yet.'
            : 'No workflow of the newest commit failed: there is nothing to run again.',
        },
      ];
    }
    case 'ok-to-test': {
      if (!pullRequest.isOpen) return [{ type: 'say', text: 'This pull request is closed: nothing is run.' }];
      const waiting = runs.filter(({ status, conclusion }) => [status, conclusion].includes('action_required'));
      // What was pushed after the comment was written has been seen by nobody.
      const seen = waiting.filter(({ createdAt }) => Date.parse(createdAt) <= Date.parse(writtenAt));
      return [
        { type: 'label', label: OK_TO_TEST_LABEL },
        ...seen.map(({ id }): ChatAction => ({ type: 'approve', runId: id })),
        ...(seen.length < waiting.length
          ? [
              {
                type: 'say' as const,
                text: 'A commit was pushed after this comment was written; its workflows are not approved. Look at it and say `/ok-to-test` again.',
              },
            ]
          : []),
      ];
    }
    default:
      return command satisfies never;
  }
}
