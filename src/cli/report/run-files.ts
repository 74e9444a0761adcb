import { existsSync } from 'node:fs';

import { messageOf } from '../../errors.js';
import type { RunResult } from '../../results/index.js';
import type { RunFolder } from '../../results/run-folder.js';
import { VERSION } from '../../version.js';
import type { CliContext } from '../command.js';
import { isDatabaseUrl } from '../flake/options.js';
import type { Finisher } from '../run.js';
import { historyFor, type Background } from './background.js';
import { REPORT_OUTPUTS, type ReportOutput } from './outputs.js';
import { readReport } from './read-report.js';

/** Where each output of `mk-ci report` lies in a run folder. */
const OUTPUT_PATHS: Readonly<Record<string, (folder: RunFolder) => string>> = {
  html: (folder) => folder.html,
  junit: (folder) => folder.junit,
  ctrf: (folder) => folder.ctrf,
  markdown: (folder) => folder.summaryMarkdown,
  summary: (folder) => folder.summaryJson,
};

export interface RunFilesOptions {
  /** Database with the history of tests: path or URL; none when absent. */
  readonly database?: string | undefined;
}

/**
 * The same outputs as those of `mk-ci report`, so that a killed run can be finished by it. A database that can not be read
 * is said and costs the history, not the files.
 */
export function runFiles(
  folder: RunFolder,
  context: Pick<CliContext, 'log'>,
  { database }: RunFilesOptions = {},
): readonly Finisher[] {
  let asked: Promise<Background> | undefined;
  const background = (run: RunResult): Promise<Background> => (asked ??= readBackground(run, database, context));
  return REPORT_OUTPUTS.flatMap((output): Finisher[] => {
    const path = OUTPUT_PATHS[output.option]?.(folder);
    return path === undefined
      ? []
      : [
          {
            name: output.option,
            isFile: true,
            finish: async (run) => await write({ output, path, run, folder, background, context }),
          },
        ];
  });
}

async function readBackground(
  run: RunResult,
  database: string | undefined,
  context: Pick<CliContext, 'log'>,
): Promise<Background> {
  if (database === undefined) return {};
  try {
    // Before the first run is recorded there is no file, and nothing to say of it.
    if (!isDatabaseUrl(database) && !existsSync(database)) return {};
    return { history: await historyFor(run, database) };
  } catch (error) {
    context.log.warn('the history of tests could not be read', { database, why: messageOf(error) });
    return {};
  }
}

interface WriteOptions {
  readonly output: ReportOutput;
  readonly path: string;
  readonly run: RunResult;
  readonly folder: RunFolder;
  readonly background: (run: RunResult) => Promise<Background>;
  readonly context: Pick<CliContext, 'log'>;
}

async function write({ output, path, run, folder, background, context }: WriteOptions): Promise<string> {
  // Not the run's signal: an interrupted run gets its report too. A second interrupt ends the process.
  const { signal } = new AbortController();
  const open = await output.load();
  await using opened = await open(path, { signal });
  if (opened.log === undefined) {
    await opened.finish(run, await background(run));
    return path;
  }
  await readReport({
    inputs: [folder.root],
    environment: 'default',
    title: run.title,
    outputs: [opened],
    stdin: (async function* () {})(),
    signal,
    toolVersion: VERSION,
    runId: run.runId,
    now: new Date(),
    background,
    onError: (input, error) => {
      context.log.warn('an input was left out', { path: input, code: error.code, message: error.message });
    },
  });
  return path;
}
