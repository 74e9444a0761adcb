import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';

import { Command } from 'commander';

import { MkCiError } from '../../errors.js';
import {
  chatCommentOf,
  handleChat,
  issueCommentSchema,
  type ChatAction,
  type ChatComment,
  type ChatOptions,
} from '../../github/index.js';
import type { FlakeStore } from '../../flake/index.js';
import type { CliContext } from '../command.js';
import { databaseOption } from '../flake/options.js';
import { chartAddress, connect, openHistory, printActions, repositoryUrlOf } from './options.js';

export interface ChatFlags {
  readonly database?: string;
  readonly event?: string;
  readonly quarantine: string;
  readonly chartUrl?: string;
  readonly dryRun?: boolean;
  readonly json?: boolean;
}

export const QUARANTINE_PATH = '.github/quarantine.yaml';

/** `mk-ci github chat`: does what a comment on a pull request asks for. */
export function chatCommand(context: CliContext): Command {
  return new Command('chat')
    .description('do what a comment on a pull request asks for: /retest /flake-status /quarantine /ok-to-test')
    .addOption(databaseOption())
    .option('--event <file>', 'issue_comment event (default: GITHUB_EVENT_PATH)')
    .option('--quarantine <path>', 'quarantine file in the repository', QUARANTINE_PATH)
    .option('--chart-url <url>', 'where the charts are published (mk-ci flake chart, mk-ci serve)')
    .option('--dry-run', 'print every action in place of acting')
    .option('--json', 'print actions as JSON')
    .addHelpText('after', '\nExample, in a workflow on issue_comment:\n  mk-ci github chat\n')
    .action(async (options: ChatFlags) => {
      const path = options.event ?? context.env['GITHUB_EVENT_PATH'];
      if (path === undefined)
        throw new MkCiError('GH_USAGE', { message: 'no event', advice: 'Give --event, or run on issue_comment.' });
      const comment = await readComment(resolve(context.cwd, path), path);
      const store = await openHistory(options, context);
      try {
        const { actions } =
          comment === undefined
            ? { actions: [] }
            : await handleChat(
                connect(comment.repository, context),
                comment,
                chatOptions(comment.repository, { ...options, store }, context),
              );
        await printActions(
          actions,
          { json: options.json === true, text: actions.map((action) => describe(action, options.dryRun === true)) },
          context,
        );
      } finally {
        await store?.close();
      }
    });
}

export function chatOptions(
  repository: string,
  { quarantine, chartUrl, dryRun, store }: Omit<ChatFlags, 'event'> & { readonly store: FlakeStore | undefined },
  context: CliContext,
): ChatOptions {
  return {
    quarantinePath: quarantine,
    repositoryUrl: repositoryUrlOf(repository, context.env),
    nowMs: Date.now(),
    dryRun: dryRun === true,
    log: context.log,
    signal: context.signal,
    ...(store === undefined ? {} : { store }),
    ...(chartUrl === undefined ? {} : { chart: (environment, test) => chartAddress(chartUrl, environment, test) }),
  };
}

async function readComment(path: string, name: string): Promise<ChatComment | undefined> {
  try {
    return chatCommentOf(issueCommentSchema.parse(JSON.parse(await readFile(path, 'utf8'))));
  } catch (error) {
    throw new MkCiError('GH_USAGE', { message: `${name} is no issue_comment event`, cause: error });
  }
}

function describe(action: ChatAction, isDryRun: boolean): string {
  const prefix = isDryRun ? 'would ' : '';
  switch (action.type) {
    case 'rerun':
      return `${prefix}run failed jobs of workflow run ${action.runId} again`;
    case 'approve':
      return `${prefix}approve workflow run ${action.runId}`;
    case 'label':
      return `${prefix}label it ${action.label}`;
    case 'show':
      return `${prefix}show rates of ${action.test ?? 'the worst tests'}`;
    case 'propose':
      return `${prefix}propose to quarantine ${action.test} in ${action.environment} for ${action.days} days`;
    case 'say':
      return `${prefix}say: ${action.text}`;
    default:
      return action satisfies never;
  }
}
