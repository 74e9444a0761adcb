import { appendFile, stat } from 'node:fs/promises';

import { Command } from 'commander';

import { MkCiError } from '../../errors.js';
import {
  annotationsOf,
  decideCheck,
  publishCheck,
  renderStepSummary,
  renderWorkflowCommands,
} from '../../github/index.js';
import type { CliContext } from '../command.js';
import {
  buildSection,
  connect,
  jobUrlOf,
  readInputs,
  repositoryUrlOf,
  subjectOf,
  withRunOptions,
  type RunOptions,
} from './options.js';

export function checkCommand(context: CliContext): Command {
  return withRunOptions(new Command('check').description('a check run with annotations, else a commit status'))
    .option('--name <name>', 'name of the check', 'mk-ci')
    .addHelpText('after', '\nExample:\n  mk-ci github check out/latest --name e2e\n')
    .action(async (inputs: readonly string[], options: RunOptions & { readonly name: string }) => {
      const run = await readInputs(inputs, options, context);
      const subject = await subjectOf(run, options, context);
      const section = await buildSection(run, subject, options, context);
      const detailsUrl = options.reportUrl ?? jobUrlOf(subject.repository, context.env);
      const check = decideCheck(run, {
        name: options.name,
        section,
        repositoryUrl: repositoryUrlOf(subject.repository, context.env),
        ...(detailsUrl === undefined ? {} : { detailsUrl }),
      });
      if (options.dryRun !== true) {
        const outcome = await publishCheck(connect(subject.repository, context), check);
        if (outcome.type === 'status')
          context.log.info('the token may make no check runs: a commit status says it in one line');
      }
      await context.stdout(
        options.json === true
          ? `${JSON.stringify(check, null, 2)}\n`
          : `${options.dryRun === true ? 'would publish' : 'published'} ${check.name} for ${check.sha}: ${check.conclusion}, ${check.title}; ${check.annotations.length} annotations\n`,
      );
    });
}

export function summaryCommand(context: CliContext): Command {
  return withRunOptions(
    new Command('summary').description('the summary of a GitHub Actions step, and ::error annotations'),
  )
    .option('--no-annotations', 'write no ::error lines')
    .addHelpText('after', '\nExample:\n  mk-ci github summary out/latest\n')
    .action(async (inputs: readonly string[], options: RunOptions & { readonly annotations: boolean }) => {
      const run = await readInputs(inputs, options, context);
      const subject = await subjectOf(run, options, context);
      const section = await buildSection(run, subject, options, context);
      const path = context.env['GITHUB_STEP_SUMMARY'];
      if (path === undefined && options.dryRun !== true) {
        throw new MkCiError('GH_USAGE', {
          message: 'GITHUB_STEP_SUMMARY is not set',
          advice: 'Run it in a step of GitHub Actions, or with --dry-run.',
        });
      }
      const writtenBytes = path === undefined ? 0 : await sizeOf(path);
      const text = renderStepSummary(section, {
        writtenBytes,
        repositoryUrl: repositoryUrlOf(subject.repository, context.env),
      });
      if (text === '') context.log.warn('the summary of this step is full', { bytes: writtenBytes });
      if (options.dryRun === true || path === undefined) await context.stdout(text);
      else await appendFile(path, text);
      if (options.annotations) await context.stdout(renderWorkflowCommands(annotationsOf(run)));
    });
}

async function sizeOf(path: string): Promise<number> {
  try {
    return (await stat(path)).size;
  } catch {
    return 0; // the runner makes the file when something is written to it
  }
}
