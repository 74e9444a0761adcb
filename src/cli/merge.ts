import { cp, lstat, readlink, realpath } from 'node:fs/promises';
import { isAbsolute, join, resolve, sep } from 'node:path';

import { Command } from 'commander';

import { MkCiError } from '../errors.js';
import { replaceFolder } from '../files.js';
import { openEventLog, readEventLog } from '../results/event-log.js';
import type { RunEvent } from '../results/events.js';
import { mergeEvents, type MergedRun, type ShardRun } from '../results/merge-events.js';
import { runFolderAt, type RunFolder } from '../results/run-folder.js';
import { loadRun } from '../runner/index.js';
import type { CliContext } from './command.js';
import { completeRun } from './report/finish-run.js';

interface MergeOptions {
  readonly out: string;
  readonly json?: boolean;
  readonly dryRun?: boolean;
}

/** `mk-ci merge FOLDER…`: one run folder from those of several machines. */
export function build(context: CliContext): Command {
  return new Command('merge')
    .description('join the run folders of several machines into one')
    .argument('<folder...>', 'run folders')
    .option('--out <dir>', 'folder for runs', join('.mk-ci', 'runs'))
    .option('--json', 'print what was merged as JSON')
    .option('--dry-run', 'say what would be merged')
    .addHelpText(
      'after',
      '\nThe order makes no difference, and a folder given twice counts once.\n\nExample:\n  mk-ci merge shards/*/* --out out\n',
    )
    .action(async (inputs: readonly string[], options: MergeOptions) => {
      const shards: ShardRun[] = [];
      for (const input of inputs) {
        context.signal.throwIfAborted();
        shards.push(await readShard(resolve(context.cwd, input)));
      }
      const merged = mergeEvents(shards);
      for (const name of [merged.runId, ...merged.cells.flatMap(({ id, sourceId }) => [id, sourceId])]) {
        // Shards may come from a fork: what they call themselves must not lead out of the folder.
        if (!isFolderName(name))
          throw new MkCiError('RES_MALFORMED', { message: `'${name.slice(0, 100)}' is no name of a run or cell` });
      }
      const root = join(resolve(context.cwd, options.out), merged.runId);
      for (const problem of merged.problems) context.log.warn('merged with a gap or conflict', { what: problem });
      if (options.dryRun !== true) {
        await replaceFolder(root, async (temporary) => {
          await writeRun(runFolderAt(temporary), merged, shards);
          await completeRun(runFolderAt(temporary), context);
        });
      }
      await context.stdout(
        options.json === true
          ? `${JSON.stringify({ folder: root, runId: merged.runId, cells: merged.cells.map(({ id }) => id), problems: merged.problems }, null, 2)}\n`
          : `${root}\n`,
      );
    });
}

async function readShard(folder: string): Promise<ShardRun> {
  const run = await loadRun(folder);
  const events: RunEvent[] = [];
  for await (const event of readEventLog(runFolderAt(folder).events, { onSkipped: () => undefined }))
    events.push(event);
  return { folder, run, events };
}

async function writeRun(folder: RunFolder, merged: MergedRun, shards: readonly ShardRun[]): Promise<void> {
  const log = openEventLog(folder.events);
  try {
    for (const event of merged.events) log.append(event);
  } finally {
    log.close();
  }
  for (const { id, sourceId, folder: source } of merged.cells)
    await copyFolder(runFolderAt(source).cell(sourceId), folder.cell(id));
  for (const { folder: source } of shards) await copyFolder(runFolderAt(source).clusters, folder.clusters);
}

async function copyFolder(from: string, to: string): Promise<void> {
  const root = await realpath(from).catch(() => undefined);
  if (root === undefined) return;
  await cp(root, to, {
    recursive: true,
    verbatimSymlinks: true,
    // A link that leads out of the shard would show files of this host in the report.
    filter: async (path) => !(await lstat(path)).isSymbolicLink() || (await leadsInside(path, root)),
  });
}

async function leadsInside(link: string, root: string): Promise<boolean> {
  const target = await realpath(link).catch(() => undefined);
  return target?.startsWith(`${root}${sep}`) === true && !isAbsolute(await readlink(link));
}

function isFolderName(name: string): boolean {
  return /^(?!\.*$)[\w.+~-]{1,255}$/.test(name);
}
