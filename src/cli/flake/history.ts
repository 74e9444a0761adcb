import { Command } from 'commander';

import type { CliContext } from '../command.js';
import {
  databaseOption,
  filterOf,
  filterOptions,
  olderHistory,
  printJson,
  readOwners,
  wantsColor,
  wholeNumber,
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
    .option('--limit <n>', 'most rows', wholeNumber('--limit'), limit);
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
    await withStore(options, context, 'read', async (store) => {
      const rows = await store.history(filter, options.limit);
      if (options.json === true) await printJson(context, rows);
      else {
        await context.stdout(historyTable(rows, { color: wantsColor(context) }));
        if (rows.length === 0) await context.stdout(await olderHistory(store, window));
      }
    });
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
    const ownerOf = await readOwners(context);
    await withStore(options, context, 'read', async (store) => {
      const reports = (await readTestReports(store, filter, options.limit)).map((report) => {
        const owner = ownerOf(report.rate);
        return owner === undefined ? report : { ...report, owner };
      });
      if (options.json === true) await printJson(context, reports);
      else {
        await context.stdout(testReportText(reports, { color: wantsColor(context), window: window.text }));
        if (reports.length === 0) await context.stdout(await olderHistory(store, window));
      }
    });
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
    const ownerOf = await readOwners(context);
    await withStore(options, context, 'read', async (store) => {
      const rates = await readRates(store, filterOf(options, window.sinceMs));
      // By what is certain of a rate: 1 of 1 does not come before 20 of 60.
      const failing = rates
        .filter(({ failed }) => failed > 0)
        .sort((left, right) => right.interval.low - left.interval.low);
      const top = failing.slice(0, options.limit);
      if (options.json === true) {
        await printJson(
          context,
          top.map((rate) => ({ ...rate, owner: ownerOf(rate) })),
        );
        return;
      }
      const summary = `${top.length} of ${failing.length} tests × environments that failed ${window.text}; ${rates.length} in all.`;
      const table = { color: wantsColor(context), all: true, window: window.text, ownerOf, summary };
      await context.stdout(ratesTable(top, table));
      if (rates.length === 0) await context.stdout(await olderHistory(store, window));
    });
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
