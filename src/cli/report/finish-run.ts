import { stat } from 'node:fs/promises';
import { resolve } from 'node:path';

import { readOwnership } from '../../cluster/ownership.js';
import { isAlive, listLabelledProcesses } from '../../process.js';
import { runFolderAt, type RunFolder } from '../../results/run-folder.js';
import { finishRun, loadRun } from '../../runner/index.js';
import type { CliContext } from '../command.js';
import { runFiles, type RunFilesOptions } from './run-files.js';

/**
 * Completes the files of runs that were killed before they could write them. Folders of complete runs, and inputs that
 * are no runs, stay as they are; so does a run that is still going on.
 *
 * @param inputs as given on the command line
 */
export async function finishRuns(
  inputs: readonly string[],
  context: CliContext,
  options: RunFilesOptions = {},
): Promise<void> {
  for (const input of inputs) {
    const folder = runFolderAt(resolve(context.cwd, input));
    if (!(await exists(folder.events)) || (await isComplete(folder))) continue;
    const { runId } = await loadRun(folder.root);
    if (isGoingOn(runId)) {
      context.log.warn('the run is still going on; its files are written at its end', { run: runId });
      continue;
    }
    await completeRun(folder, context, options);
    context.log.info(`completed the files of run ${runId}`, { folder: folder.root });
  }
}

/** Writes the result of a run that has ended, and the files made from it. */
export async function completeRun(
  folder: RunFolder,
  context: CliContext,
  options: RunFilesOptions = {},
): Promise<void> {
  const { result } = await finishRun(folder.root);
  for (const file of runFiles(folder, context, options)) await file.finish(result, folder);
}

async function isComplete(folder: RunFolder): Promise<boolean> {
  const files = [folder.finished, folder.html, folder.junit, folder.ctrf, folder.summaryJson, folder.summaryMarkdown];
  return (await Promise.all(files.map(exists))).every(Boolean);
}

/** Whether the process that made the run lives: everything a run starts carries its owner. */
function isGoingOn(runId: string): boolean {
  return listLabelledProcesses().some(({ labels }) => {
    const { runId: run, owner } = readOwnership(labels);
    return run === runId && owner !== undefined && isAlive(owner);
  });
}

async function exists(path: string): Promise<boolean> {
  return await stat(path).then(
    () => true,
    () => false,
  );
}
