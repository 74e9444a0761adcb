import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';

import type { Config, Environment } from '../config/index.js';
import { createDriverRegistry } from '../drivers/index.js';
import { exec } from '../exec.js';
import { READERS } from '../results/readers/registry.js';
import { FORMATS } from '../results/reader.js';
import type { RunFolder } from '../results/run-folder.js';
import { clusterLoad, type Formats, type Load } from '../runner/index.js';
import { VERSION } from '../version.js';
import type { CliContext } from './command.js';
import { openRunClusters } from './compose.js';
import { isDatabaseUrl, locationOf } from './flake/options.js';
import { REPORT_OUTPUTS, type ReportOutput } from './report/outputs.js';
import { readReport } from './report/read-report.js';
import type { Finisher, RunDeps } from './run.js';

/** The real parts of `mk-ci run`. */
export function composeRun(context: CliContext): RunDeps {
  const drivers = createDriverRegistry({ exec });
  return {
    createClusters: async ({ runId }) => openRunClusters(context, runId),
    clusterLoad: (environment: Environment): Load =>
      clusterLoad(drivers.get(environment.driver).info.bootstrap, environment.nodes),
    formats: registeredFormats,
    finishers: async (config, folder) => [...reportFinishers(folder, context), flakeFinisher(config)],
    now: () => new Date(),
  };
}

/** Where each output of `mk-ci report` lies in a run folder. */
const OUTPUT_PATHS: Readonly<Record<string, (folder: RunFolder) => string>> = {
  html: (folder) => folder.html,
  junit: (folder) => folder.junit,
  ctrf: (folder) => folder.ctrf,
  markdown: (folder) => folder.summaryMarkdown,
  summary: (folder) => folder.summaryJson,
};

/** The same outputs as those of `mk-ci report`, so that a killed run can be finished by it. */
export function reportFinishers(folder: RunFolder, context: Pick<CliContext, 'log'>): readonly Finisher[] {
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

function flakeFinisher(config: Config): Finisher {
  return {
    name: 'flake database',
    finish: async (run) => {
      const { database } = config.flake;
      const location = locationOf(database, config.folder);
      if (!isDatabaseUrl(location)) await mkdir(dirname(location), { recursive: true });
      const { openFlakeStore } = await import('../flake/index.js');
      const store = await openFlakeStore(location);
      try {
        await store.recordRun(run);
        return store.location;
      } finally {
        await store.close();
      }
    },
  };
}

/** The readers of `src/results` as the runner uses them. */
export const registeredFormats: Formats = {
  detect: (head) => {
    let best: ReturnType<Formats['detect']>;
    for (const format of FORMATS) {
      const certainty = READERS[format]?.sniff(head) ?? 0;
      if (certainty > (best?.certainty ?? 0)) best = { format, certainty };
    }
    return best;
  },
  load: async (format) => await READERS[format]?.load(),
};
