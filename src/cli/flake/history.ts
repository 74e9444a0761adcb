import { Command } from 'commander';

import type { CliContext } from '../command.js';
import {
  databaseOption,
  filterOf,
  filterOptions,
  positive,
  printJson,
  readOwners,
  wantsColor,
  windowOf,
  windowOptions,
  withStore,
  type DatabaseOptions,
  type FilterOptions,
  type WindowOptions,
} from './options.js';

interface ListOptions extends DatabaseOptions, WindowOptions, FilterOptions {
  readonly json?: boolean;
  readonly limit: number;
}

function withListOptions(command: Command, limit: number): Command {
  command
    .addOption(databaseOption())
    .option('--json', 'print as JSON')
    .option('--limit <n>', 'most rows', positive('--limit'), limit);
  for (const option of [...windowOptions(), ...filterOptions()]) command.addOption(option);
  return command;
}

/** `flake history TEST`: attempts, newest first. */
export function historyCommand(context: CliContext): Command {
  const command = new Command('history')
    .description('attempts of a test, newest first')
    .addHelpText('after', "\nExample:\n  mk-ci flake history 'TestMount*' --limit 20\n")
    .argument('<test>', 'name; * stands for any text');
  return withListOptions(command, 100).action(async (test: string, options: ListOptions) => {
    const { historyTable } = await import('../../flake/index.js');
    const window = windowOf(options, 30);
    const filter = filterOf({ ...options, test }, window.sinceMs);
    const rows = await withStore(options, context, 'read', async (store) => await store.history(filter, options.limit));
    if (options.json === true) await printJson(context, rows);
    else await context.stdout(historyTable(rows, { color: wantsColor(context) }));
  });
}

/** `flake show TEST`: all there is to know of a test. */
export function showCommand(context: CliContext): Command {
  const command = new Command('show')
    .description('rate, trend, changepoints and failure signatures of a test in each environment')
    .addHelpText('after', '\nExample:\n  mk-ci flake show TestMount --days 30\n')
    .argument('<test>', 'name; * stands for any text');
  return withListOptions(command, 5000).action(async (test: string, options: ListOptions) => {
    const { readTestReports, testReportText } = await import('../../flake/index.js');
    const window = windowOf(options, 30);
    const filter = filterOf({ ...options, test }, window.sinceMs);
    const reports = await withStore(
      options,
      context,
      'read',
      async (store) => await readTestReports(store, filter, options.limit),
    );
    if (options.json === true) await printJson(context, reports);
    else await context.stdout(testReportText(reports, { color: wantsColor(context), window: window.text }));
  });
}

/** `flake top`: the worst tests. */
export function topCommand(context: CliContext): Command {
  const command = new Command('top')
    .description('tests with the highest lower bound of their rate')
    .addHelpText('after', '\nExample:\n  mk-ci flake top --limit 5\n');
  return withListOptions(command, 10).action(async (options: ListOptions) => {
    const { ratesTable, readRates } = await import('../../flake/index.js');
    const window = windowOf(options, 30);
    const rates = await withStore(
      options,
      context,
      'read',
      async (store) => await readRates(store, filterOf(options, window.sinceMs)),
    );
    // By what is certain of a rate: 1 of 1 does not come before 20 of 60.
    const top = rates
      .filter(({ failed }) => failed > 0)
      .sort((left, right) => right.interval.low - left.interval.low)
      .slice(0, options.limit);
    const ownerOf = await readOwners(context);
    if (options.json === true) {
      await printJson(
        context,
        top.map((rate) => ({ ...rate, owner: ownerOf(rate) })),
      );
    } else {
      const table = { color: wantsColor(context), all: true, window: window.text, ownerOf };
      await context.stdout(ratesTable(top, table));
    }
  });
}

/** `flake incidents`: one cause, many tests. */
export function incidentsCommand(context: CliContext): Command {
  const command = new Command('incidents')
    .description('failures that many tests share: one cause, not many flakes')
    .addHelpText('after', '\nExample:\n  mk-ci flake incidents --days 7\n');
  return withListOptions(command, 20).action(async (options: ListOptions) => {
    const { incidentsOf, incidentsTable } = await import('../../flake/index.js');
    const window = windowOf(options, 30);
    const rows = await withStore(
      options,
      context,
      'read',
      async (store) => await store.signatures(filterOf(options, window.sinceMs)),
    );
    const incidents = incidentsOf(rows).slice(0, options.limit);
    if (options.json === true) await printJson(context, incidents);
    else await context.stdout(incidentsTable(incidents, { color: wantsColor(context), window: window.text }));
  });
}
