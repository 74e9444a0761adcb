import { Command } from 'commander';

import type { CliContext } from './command.js';
import { chatCommand } from './github/chat.js';
import { checkCommand, summaryCommand } from './github/check.js';
import { commentCommand } from './github/comment.js';
import { issuesCommand } from './github/issues.js';

/** `mk-ci github …`: the bot, one command each, for use in workflows. */
export function build(context: CliContext): Command {
  const github = new Command('github')
    .description('comment, issues, check run, step summary and chat commands on GitHub')
    .addHelpText(
      'after',
      '\nExamples:\n  mk-ci github comment out/latest --dry-run\n  mk-ci github issues --dry-run\n',
    );
  for (const command of [commentCommand, issuesCommand, checkCommand, summaryCommand, chatCommand])
    github.addCommand(command(context));
  return github;
}
