import { MkCiError } from '../errors.js';
import { READERS } from '../results/readers/registry.js';
import { FORMATS } from '../results/reader.js';
import { clusterLoad, type Formats } from '../runner/index.js';
import type { CliContext } from './command.js';
import type { RunDeps } from './run.js';

/** The real parts of `mk-ci run`. */
export function composeRun(_context: CliContext): RunDeps {
  return {
    createClusters: async () => {
      throw new MkCiError('DRV_UNSUPPORTED', { message: 'clusters' });
    },
    clusterLoad: (environment) =>
      clusterLoad(environment.driver === 'existing' ? 'attach' : 'processes', environment.nodes),
    formats: registeredFormats,
    finishers: async () => [],
    now: () => new Date(),
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
