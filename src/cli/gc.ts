import { join, resolve } from 'node:path';

import { Command } from 'commander';

import { clusterFolderAt, readClusterRecord } from '../cluster/folder.js';
import { collectGarbage, listLeftovers, type CollectOptions, type GcAction, type GcPlan } from '../cluster/gc/index.js';
import { createJournal } from '../cluster/journal.js';
import { createDriverRegistry } from '../drivers/index.js';
import { isMkCiError, messageOf } from '../errors.js';
import { exec } from '../exec.js';
import { foldersOf } from '../files.js';
import type { CliContext } from './command.js';
import { ENGINE_DRIVER } from './engine-driver.js';

export function build(context: CliContext): Command {
  return new Command('gc')
    .summary('find and remove what dead runs left')
    .description(
      'Finds processes, containers, folders and ports whose run or command has ended, from their labels and from the\n' +
        'journal; either is enough. Lists what it found; removes it only with --yes.',
    )
    .option('--yes', 'remove what is listed', false)
    .option('--dry-run', 'only list, also with --yes', false)
    .option('--kept', 'also list what is marked as made by mk-ci and stays, with the reason', false)
    .option('--json', 'print data', false)
    .addHelpText('after', '\nExample:\n  mk-ci gc\n  mk-ci gc --yes')
    .action(async (flags: GcFlags) => {
      const options = gcOptions(context);
      if (flags.yes && !flags.dryRun) await remove(options, flags, context);
      else await list(options, flags, context);
    });
}

interface GcFlags {
  readonly yes: boolean;
  readonly dryRun: boolean;
  readonly kept: boolean;
  readonly json: boolean;
}

function gcOptions({ env, signal, log }: CliContext): CollectOptions {
  const folders = foldersOf(env);
  const state = resolve(folders.state);
  const registry = createDriverRegistry({ exec, folders });
  return {
    journal: createJournal({ folder: join(state, 'journal') }),
    clustersFolder: join(state, 'clusters'),
    portsFolder: join(state, 'ports'),
    readFolder: async (path) => {
      const record = await readClusterRecord(clusterFolderAt(path));
      if (record === undefined) return undefined;
      const { runId, owner, machines } = record;
      return {
        ownership: { ...(runId === undefined ? {} : { runId }), ...(owner === undefined ? {} : { owner }) },
        ...(machines === undefined ? {} : { machines: machines.map(({ name }) => name) }),
      };
    },
    drivers: registry.names.map((name) => registry.get(name)),
    removers: {
      [ENGINE_DRIVER]: async (name, limit) => {
        const { removeEngineJob } = await import('./engine-jobs.js');
        await removeEngineJob(name, limit);
      },
    },
    roots: [state, resolve(folders.cache)],
    signal,
    onDriverError: (driver, error) => {
      // What is not installed holds nothing.
      if (isMkCiError(error, 'HOST_MISSING_TOOL')) return;
      log.warn('a driver could not be asked for leftovers', { driver, error: messageOf(error) });
    },
  };
}

async function list(options: CollectOptions, flags: GcFlags, context: CliContext): Promise<void> {
  const plan = await listLeftovers(options);
  if (flags.json) {
    await context.stdout(`${JSON.stringify({ leftovers: plan.actions, kept: plan.kept }, undefined, 2)}\n`);
    return;
  }
  await context.stdout(renderPlan(plan, flags.kept));
  if (plan.actions.length > 0) context.stderr('Remove them with mk-ci gc --yes\n');
}

async function remove(options: CollectOptions, flags: GcFlags, context: CliContext): Promise<void> {
  const outcomes = await collectGarbage(options);
  const failed = outcomes.filter((outcome) => outcome.error !== undefined);
  if (flags.json) {
    const leftovers = outcomes.map(({ action, error }) => ({ ...action, removed: error === undefined, error }));
    await context.stdout(`${JSON.stringify({ leftovers }, undefined, 2)}\n`);
  } else if (outcomes.length === 0) {
    await context.stdout('nothing to remove\n');
  } else {
    const line = ({ action, error }: (typeof outcomes)[number]): string =>
      `${error === undefined ? 'removed' : 'FAILED '}  ${describeAction(action)}: ${error ?? action.why}\n`;
    await context.stdout(outcomes.map(line).join(''));
  }
  if (failed.length > 0) context.exit(30);
}

/** One line a thing; `nothing to remove` when there is none. */
export function renderPlan(plan: GcPlan, withKept: boolean): string {
  const lines = plan.actions.map((action) => `${describeAction(action)}: ${action.why}`);
  if (lines.length === 0) lines.push('nothing to remove');
  if (withKept) lines.push(...plan.kept.map(({ what, why }) => `kept  ${what}: ${why}`));
  return `${lines.join('\n')}\n`;
}

/** Kind, name, and cluster where it is known. */
export function describeAction(action: GcAction): string {
  const where = action.cluster === undefined ? '' : ` of cluster ${action.cluster}`;
  switch (action.kind) {
    case 'end-process':
      return `process ${action.identity.pid}${where} (${shorten(action.command)})`;
    case 'remove-resource':
      return `${action.driver} ${action.type} ${action.name}${where}`;
    case 'remove-folder':
      return `folder ${action.path}`;
    case 'release-port':
      return `port ${action.port}`;
    case 'forget':
      return `note of ${action.what}`;
  }
}

function shorten(command: string): string {
  const words = command.split(' ').slice(0, 3).join(' ');
  return words.length > 60 ? `${words.slice(0, 59)}…` : words;
}
