import { MkCiError } from '../errors.js';
import { writeFileAtomically } from '../files.js';
import type { RunResult } from '../results/model.js';
import type { RunFolder } from '../results/run-folder.js';
import { renderCtrf, renderGopoghSummary, renderJunit, renderMarkdown } from '../results/writers/index.js';
import { READERS } from '../results/readers/registry.js';
import { FORMATS } from '../results/reader.js';
import { clusterLoad, type Formats } from '../runner/index.js';
import type { CliContext } from './command.js';
import type { Finisher, RunDeps } from './run.js';

/** The real parts of `mk-ci run`. */
export function composeRun(_context: CliContext): RunDeps {
  return {
    createClusters: async () => {
      throw new MkCiError('DRV_UNSUPPORTED', { message: 'clusters' });
    },
    clusterLoad: (environment) =>
      clusterLoad(environment.driver === 'existing' ? 'attach' : 'processes', environment.nodes),
    formats: registeredFormats,
    finishers: async (_config, folder) => resultFiles(folder),
    now: () => new Date(),
  };
}

/** The files of DESIGN section 6 that are made from the result alone. */
function resultFiles(folder: RunFolder): readonly Finisher[] {
  const file = (name: string, path: string, render: (run: RunResult) => string): Finisher => ({
    name,
    finish: async (run) => {
      await writeFileAtomically(path, render(run));
      return path;
    },
  });
  return [
    file('junit', folder.junit, (run) => [...renderJunit(run)].join('')),
    file('ctrf', folder.ctrf, (run) => [...renderCtrf(run)].join('')),
    file('summary', folder.summaryMarkdown, (run) => renderMarkdown(run)),
    file('gopogh', folder.summaryJson, (run) => renderGopoghSummary(run)),
  ];
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
