import { resolve } from 'node:path';

import { Command } from 'commander';

import { writeFileAtomically } from '../../files.js';
import type { CliContext } from '../command.js';
import {
  databaseOption,
  printJson,
  wantsColor,
  windowOf,
  windowOptions,
  withStore,
  type DatabaseOptions,
  type WindowOptions,
} from './options.js';

interface BacktestOptions extends DatabaseOptions, WindowOptions {
  readonly json?: boolean;
  readonly list?: boolean;
  readonly html?: string;
}

/** `flake backtest`: the verdicts' own score. */
export function backtestCommand(context: CliContext): Command {
  const command = new Command('backtest')
    .description('replay the history: what would have been said of each failure on a pull request, and what it was')
    .addOption(databaseOption())
    .option('--json', 'print as JSON')
    .option('--html <file>', 'write the score as a page with a chart of the calibration')
    .option('--list', 'with --json: every judgement with its evidence')
    .addHelpText(
      'after',
      `
Each verdict uses only what was known when the run ended. A failure was a flake when the test passed on the same commit
later, and caused when it failed at least three times there and the default branch passed; others stay open.

Example:
  mk-ci flake backtest --days 180`,
    );
  for (const option of windowOptions()) command.addOption(option);
  return command.action(async (options: BacktestOptions) => {
    const { backtest, backtestPage, backtestText, readSeries, scoreOf } = await import('../../flake/index.js');
    const window = windowOf(options, 90);
    const series = await withStore(
      options,
      context,
      'read',
      async (store) =>
        await readSeries(store, {
          ...(window.sinceMs === undefined ? {} : { sinceMs: window.sinceMs }),
          signal: context.signal,
        }),
    );
    const judgements = backtest(series);
    const score = scoreOf(judgements);
    if (options.html !== undefined) {
      await writeFileAtomically(resolve(context.cwd, options.html), backtestPage(score, { window: window.text }));
    }
    if (options.json === true) await printJson(context, options.list === true ? { ...score, list: judgements } : score);
    else await context.stdout(backtestText(score, { color: wantsColor(context), window: window.text }));
  });
}
