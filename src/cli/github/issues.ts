import { Command } from 'commander';

import { MkCiError, isMkCiError } from '../../errors.js';
import {
  applyIssueActions,
  decideIssues,
  ISSUE_LABEL,
  readHealth,
  readMemory,
  type IssueAction,
} from '../../github/index.js';
import type { CliContext } from '../command.js';
import type { OwnerRule } from '../../flake/index.js';
import { databaseOption, readOwners } from '../flake/options.js';
import { chartAddress, configOf, connect, openHistory, printActions, repositoryUrlOf, wholeNumber } from './options.js';

interface IssuesOptions {
  readonly database?: string;
  readonly repository?: string;
  readonly openAt?: number;
  readonly mostNew: number;
  readonly label: readonly string[];
  readonly owner: readonly string[];
  readonly chartUrl?: string;
  readonly dryRun?: boolean;
  readonly json?: boolean;
}

const collect = (value: string, before: readonly string[]): readonly string[] => [...before, value];

export function issuesCommand(context: CliContext): Command {
  return new Command('issues')
    .description('one issue for each test that fails too often: opened, kept up to date, closed')
    .addOption(databaseOption())
    .option('--repository <owner/name>', 'default: GITHUB_REPOSITORY')
    .option('--open-at <rate>', 'lower bound of the rate, 0 to 1 (default: github.issues.openAt of mk-ci.yaml)', rate)
    .option('--most-new <n>', 'new issues in one go', wholeNumber, 5)
    .option('--label <name>', 'more labels for new issues, may be repeated', collect, [])
    .option(
      '--owner <pattern=login>',
      'who is assigned, or org/team who is mentioned, before the quarantine file and CODEOWNERS; may be repeated',
      collect,
      [],
    )
    .option('--chart-url <url>', 'where the charts are published')
    .option('--dry-run', 'print every action in place of acting')
    .option('--json', 'print actions as JSON')
    .addHelpText('after', "\nExample:\n  mk-ci github issues --dry-run --owner 'TestStorage*=acme/storage'\n")
    .action(async (options: IssuesOptions) => {
      const repository = options.repository ?? context.env['GITHUB_REPOSITORY'];
      if (!repository)
        throw new MkCiError('GH_USAGE', { message: 'no repository', advice: 'Give --repository owner/name.' });
      const config = await configOf(context);
      const ownerOf = await readOwners(context, options.owner.map(ownerRule));
      const store = await openHistory(options, context);
      if (store === undefined) return;
      const github = connect(repository, context);
      try {
        const issues = await github.issues(ISSUE_LABEL);
        const author = await github.login();
        const memories = new Map(
          issues.flatMap((issue) => {
            const memory = readMemory(issue.body);
            return memory === undefined || issue.state === 'closed' ? [] : [[memory.id, memory] as const];
          }),
        );
        const nowMs = Date.now();
        const tests = await readHealth(store, { repository, nowMs, memories, signal: context.signal });
        const { chartUrl } = options;
        const actions = decideIssues({
          repository,
          tests,
          issues,
          author,
          nowMs,
          policy: {
            openAt: options.openAt ?? config?.github.issues.openAt ?? 0.05,
            mostNew: options.mostNew,
            labels: options.label,
            ownerOf,
          },
          links: {
            repositoryUrl: repositoryUrlOf(repository, context.env),
            ...(chartUrl === undefined
              ? {}
              : { chart: (test, environment) => chartAddress(chartUrl, environment, test) }),
          },
        });
        const failed = options.dryRun === true ? 0 : await applyIssueActions(github, actions, context);
        await printActions(
          actions,
          { json: options.json === true, text: actions.map((action) => describe(action, options.dryRun === true)) },
          context,
        );
        if (failed > 0) context.exit(new MkCiError('GH_FAILED').exitCode);
      } catch (error) {
        if (!isMkCiError(error, 'GH_GONE')) throw error;
        context.log.warn('issues are switched off in this repository', { repository });
      } finally {
        await store.close();
      }
    });
}

function describe(action: IssueAction, isDryRun: boolean): string {
  const prefix = isDryRun ? 'would ' : '';
  switch (action.type) {
    case 'none':
      return `nothing for '${action.title}': ${action.why}`;
    case 'open':
      return `${prefix}open '${action.title}' (${action.why})\n\n${action.body}\n`;
    case 'update':
      return `${prefix}update #${action.number}: ${action.why}`;
    case 'comment':
    case 'close':
    case 'reopen':
      return `${prefix}${action.type} ${action.type === 'comment' ? 'on ' : ''}#${action.number}: ${action.why}\n  ${action.text}`;
    default:
      return action satisfies never;
  }
}

function ownerRule(text: string): OwnerRule {
  const at = text.lastIndexOf('=');
  if (at < 1)
    throw new MkCiError('CLI_USAGE', { message: `--owner ${text}`, advice: "Give it as 'TestStorage*=login'." });
  return { test: text.slice(0, at), owner: text.slice(at + 1) };
}

function rate(text: string): number {
  const value = Number(text);
  if (!(value >= 0 && value <= 1))
    throw new MkCiError('CLI_USAGE', { message: `--open-at ${text} is not between 0 and 1` });
  return value;
}
