import type { RunFolder } from '../../results/run-folder.js';
import { VERSION } from '../../version.js';
import type { CliContext } from '../command.js';
import type { Finisher } from '../run.js';
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

/** The same outputs as those of `mk-ci report`, so that a killed run can be finished by it. */
export function runFiles(folder: RunFolder, context: Pick<CliContext, 'log'>): readonly Finisher[] {
  return REPORT_OUTPUTS.flatMap((output): Finisher[] => {
    const path = OUTPUT_PATHS[output.option]?.(folder);
    return path === undefined
      ? []
      : [{ name: output.option, finish: async (run) => await write(output, path, run, folder, context) }];
  });
}

async function write(
  output: ReportOutput,
  path: string,
  run: Parameters<Finisher['finish']>[0],
  folder: RunFolder,
  context: Pick<CliContext, 'log'>,
): Promise<string> {
  // Not the run's signal: an interrupted run gets its report too. A second interrupt ends the process.
  const { signal } = new AbortController();
  const open = await output.load();
  await using opened = await open(path, { signal });
  if (opened.log === undefined) {
    await opened.finish(run);
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
    onError: (input, error) => {
      context.log.warn('an input was left out', { path: input, code: error.code, message: error.message });
    },
  });
  return path;
}
