import { cp, mkdir, rename, rm, stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';

import { Command } from 'commander';

import { openEventLog, readEventLog } from '../results/event-log.js';
import type { RunEvent } from '../results/events.js';
import { mergeEvents, type ShardRun } from '../results/merge-events.js';
import { runFolderAt } from '../results/run-folder.js';
import { loadRun } from '../runner/index.js';
import type { CliContext } from './command.js';
import { finishRuns } from './report/finish-run.js';

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
      const root = join(resolve(context.cwd, options.out), merged.runId);
      for (const problem of merged.problems) context.log.warn('merged with a gap or conflict', { what: problem });
      if (options.dryRun !== true) {
        await writeRun(root, merged, shards);
        await finishRuns([root], context);
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

/** Beside first and then in place, so that a merge that is cut off leaves no half folder under the name. */
async function writeRun(
  root: string,
  merged: ReturnType<typeof mergeEvents>,
  shards: readonly ShardRun[],
): Promise<void> {
  const temporary = `${root}.part`;
  await rm(temporary, { recursive: true, force: true });
  await mkdir(temporary, { recursive: true });
  const folder = runFolderAt(temporary);
  const log = openEventLog(folder.events);
  try {
    for (const event of merged.events) log.append(event);
  } finally {
    log.close();
  }
  for (const { id, sourceId, folder: source } of merged.cells)
    await copyFolder(runFolderAt(source).cell(sourceId), folder.cell(id));
  for (const { folder: source } of shards) await copyFolder(runFolderAt(source).clusters, folder.clusters);
  await rm(root, { recursive: true, force: true });
  await rename(temporary, root);
}

async function copyFolder(from: string, to: string): Promise<void> {
  const exists = await stat(from).then(
    () => true,
    () => false,
  );
  if (exists) await cp(from, to, { recursive: true });
}
