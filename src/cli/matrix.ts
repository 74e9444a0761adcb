import { stat } from 'node:fs/promises';

import { Command } from 'commander';

import { loadConfig, selectEnvironments, type Config } from '../config/index.js';
import { planRun, type CellDurations } from '../runner/plan.js';
import { matrixJobs } from '../runner/matrix.js';
import type { CliContext } from './command.js';
import { isDatabaseUrl, locationOf, positive } from './flake/options.js';

const DAY_MS = 86_400_000;

/** `mk-ci matrix`: machines and their cells as the matrix of a GitHub Actions job. */
export function build(context: CliContext): Command {
  return new Command('matrix')
    .description('spread the cells of a run over machines, as a matrix for GitHub Actions')
    .argument('[suite...]', 'names or globs of suites')
    .option('--config <file>', 'configuration file')
    .option('--jobs <n>', 'most machines', positive('--jobs'), 20)
    .addHelpText(
      'after',
      '\nPrints {"include":[{"name","cells","drivers","expectedMinutes","timeoutMinutes"}]} on one line; a machine runs\nmk-ci run --cell "$CELLS".\n\nExample:\n  echo "matrix=$(mk-ci matrix --jobs 4)" >> "$GITHUB_OUTPUT"\n',
    )
    .action(async (suites: string[], options: { readonly config?: string; readonly jobs: number }) => {
      const config = await loadConfig({ cwd: context.cwd, file: options.config });
      const plan = planRun(
        { environments: selectEnvironments(config.environments, {}), suites: config.suites },
        { suites },
        await recordedDurations(config, context),
      );
      for (const warning of plan.warnings) context.log.warn(warning);
      await context.stdout(`${JSON.stringify({ include: matrixJobs(plan.cells, Math.floor(options.jobs)) })}\n`);
    });
}

/** Mean time of whole suites (all shards) in the last 14 days; nothing without a database. */
async function recordedDurations(config: Config, context: CliContext): Promise<CellDurations> {
  const location = locationOf(config.flake.database, config.folder);
  const isThere =
    isDatabaseUrl(location) ||
    (await stat(location).then(
      () => true,
      () => false,
    ));
  if (!isThere) return () => undefined;
  const { openFlakeStore } = await import('../flake/index.js');
  const store = await openFlakeStore(location, { readonly: true });
  const sums = new Map<string, { ms: number; runs: number }>();
  try {
    for await (const { environment, suite, durationMs } of store.readRuns({ sinceMs: Date.now() - 14 * DAY_MS })) {
      context.signal.throwIfAborted();
      if (durationMs === undefined) continue;
      const [, name = suite, total = '1'] = /^(.*) \d+\/(\d+)$/.exec(suite) ?? [];
      const key = `${environment}\0${name}`;
      const sum = sums.get(key) ?? { ms: 0, runs: 0 };
      sums.set(key, sum);
      sum.ms += durationMs * Number(total);
      sum.runs += 1;
    }
  } finally {
    await store.close();
  }
  return (environment, suite) => {
    const sum = sums.get(`${environment}\0${suite}`);
    return sum === undefined ? undefined : sum.ms / sum.runs;
  };
}
