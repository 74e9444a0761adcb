import { Command } from 'commander';

import type { CliContext } from './command.js';
import { chartCommand } from './flake/chart.js';
import { backtestCommand } from './flake/backtest.js';
import { historyCommand, incidentsCommand, showCommand, topCommand } from './flake/history.js';
import { importCommand } from './flake/import.js';
import { checkCommand, exportCommand, lintCommand, mergeCommand, pruneCommand } from './flake/maintain.js';
import { ratesCommand } from './flake/rates.js';
import { recordCommand } from './flake/record.js';

/** `mk-ci flake …`: the database of test results. */
export function build(context: CliContext): Command {
  const flake = new Command('flake')
    .description('history of every test: rates, evidence, verdicts')
    .addHelpText(
      'after',
      '\nExamples:\n  mk-ci flake rates --days 30\n  mk-ci flake record out/latest --branch main\n',
    );
  const commands = [
    recordCommand,
    ratesCommand,
    showCommand,
    topCommand,
    historyCommand,
    incidentsCommand,
    chartCommand,
    importCommand,
    exportCommand,
    pruneCommand,
    mergeCommand,
    lintCommand,
    backtestCommand,
    checkCommand,
  ];
  for (const command of commands) flake.addCommand(command(context));
  return flake;
}
