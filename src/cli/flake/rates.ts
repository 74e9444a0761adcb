import { Command, Option } from 'commander';

import type { CliContext } from '../command.js';
import {
  databaseOption,
  filterOf,
  filterOptions,
  olderHistory,
  printJson,
  wantsColor,
  windowOf,
  windowOptions,
  withStore,
  type DatabaseOptions,
  type FilterOptions,
  type WindowOptions,
} from './options.js';

interface RatesOptions extends DatabaseOptions, WindowOptions, FilterOptions {
  readonly format: 'table' | 'json' | 'csv' | 'minikube-csv';
  readonly json?: boolean;
  readonly all?: boolean;
}

/** minikube's script asks for 15 days; 30 is what our own statements rest on. */
const DEFAULT_DAYS = { table: 30, json: 30, csv: 30, 'minikube-csv': 15 } as const;

export function ratesCommand(context: CliContext): Command {
  const command = new Command('rates')
    .description('failed of all attempts for each test and environment, with intervals')
    .addOption(databaseOption())
    .addOption(
      new Option('--format <format>', 'form of the output')
        .choices(['table', 'json', 'csv', 'minikube-csv'])
        .default('table'),
    )
    .option('--json', 'the same as --format json')
    .option('--all', 'list tests that never failed too (table only)')
    .addHelpText(
      'after',
      `
The window is 30 days, and 15 for minikube-csv as in minikube's own script.

Example:
  mk-ci flake rates --environment 'docker-*' --days 14`,
    );
  for (const option of [...windowOptions(), ...filterOptions()]) command.addOption(option);
  return command.action(async (options: RatesOptions) => {
    const format = options.json === true ? 'json' : options.format;
    const window = windowOf(options, DEFAULT_DAYS[format]);
    const filter = filterOf(options, window.sinceMs);
    await withStore(options, context, 'read', async (store) => {
      const flake = await import('../../flake/index.js');
      if (format === 'minikube-csv') {
        await context.stdout(flake.formatMinikubeRates(flake.minikubeRates(await store.attempts(filter))));
        return;
      }
      const rates = await flake.readRates(store, filter);
      if (format === 'json') await printJson(context, rates);
      else if (format === 'csv') await context.stdout(flake.ratesCsv(rates));
      else {
        const table = { color: wantsColor(context), all: options.all === true, window: window.text };
        await context.stdout(flake.ratesTable(rates, table));
        if (rates.length === 0) await context.stdout(await olderHistory(store, window));
      }
    });
  });
}
