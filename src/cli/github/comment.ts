import { Command } from 'commander';

import { MkCiError } from '../../errors.js';
import { delay, postComment, type CommentAction, type GitHub } from '../../github/index.js';
import type { CliContext } from '../command.js';
import {
  buildSection,
  configOf,
  connect,
  printActions,
  readInputs,
  repositoryUrlOf,
  subjectOf,
  withRunOptions,
  type RunOptions,
  type Subject,
} from './options.js';

export function commentCommand(context: CliContext): Command {
  return withRunOptions(new Command('comment').description('one comment on the pull request, edited in place'))
    .option('--comment-key <name>', 'another comment on the same pull request', 'default')
    .addHelpText('after', '\nExample:\n  mk-ci github comment out/latest --pull-request 7 --dry-run\n')
    .action(async (inputs: readonly string[], options: RunOptions & { readonly commentKey: string }) => {
      const config = await configOf(context);
      if (config?.github.comment === false) {
        context.log.info('comments are switched off in mk-ci.yaml');
        return;
      }
      const run = await readInputs(inputs, options, context);
      const subject = await subjectOf(run, options, context);
      const github = connect(subject.repository, context);
      const pullRequest = await pullRequestOf(github, subject);
      if (pullRequest === undefined) {
        context.log.info('no open pull request has this commit as its head', { commit: subject.sha });
        await printActions([], { json: options.json === true, text: [] }, context);
        return;
      }
      const changedFiles = await github.changedFiles(pullRequest);
      const section = await buildSection(run, { ...subject, pullRequest }, options, context, changedFiles);
      const actions = await postComment(github, {
        pullRequest,
        section,
        render: { key: options.commentKey, repositoryUrl: repositoryUrlOf(subject.repository, context.env) },
        dryRun: options.dryRun === true,
        log: context.log,
        signal: context.signal,
        // 1 to 3 seconds: two jobs that wrote at once do not look at once.
        pause: async () => {
          await delay(
            (1_000 + Math.random() * 2_000) * (Number(context.env['MK_CI_GITHUB_SECOND_MS'] ?? 1_000) / 1_000),
            context.signal,
          );
        },
      });
      await printActions(
        actions,
        { json: options.json === true, text: actions.map((action) => describe(action, options.dryRun === true)) },
        context,
      );
      context.log.debug('requests to GitHub', { count: github.requests() });
    });
}

async function pullRequestOf(github: GitHub, { pullRequest, sha, head }: Subject): Promise<number | undefined> {
  if (pullRequest !== undefined) return pullRequest;
  const found = await github.pullRequestsOf(sha, head);
  if (found.length > 1) {
    throw new MkCiError('GH_USAGE', {
      message: `${found.length} open pull requests have this head: ${found.map(({ number }) => `#${number}`).join(', ')}`,
      advice: 'Give --pull-request.',
    });
  }
  return found[0]?.number;
}

function describe(action: CommentAction, isDryRun: boolean): string {
  const prefix = isDryRun ? 'would ' : '';
  switch (action.type) {
    case 'none':
      return `nothing to write: ${action.reason}`;
    case 'create':
      return `${prefix}create a comment\n\n${action.body}`;
    case 'update':
      return `${prefix}edit comment ${action.id}\n\n${action.body}`;
    case 'delete':
      return `${prefix}delete comment ${action.id}: ${action.reason}`;
    default:
      return action satisfies never;
  }
}
