import { join } from 'node:path';

import { Command, Option } from 'commander';

import { MkCiError } from '../errors.js';
import type { CliContext } from './command.js';

const DAY_MS = 86_400_000;

/** `mk-ci flake …`: the database of test results. */
export function build(context: CliContext): Command {
  const flake = new Command('flake').description('history of every test: rates, evidence, verdicts');
  flake
    .command('rates')
    .description('k of n for each test and environment')
    .addOption(databaseOption())
    .addOption(new Option('--format <format>', 'form of the output').choices(['table', 'json']).default('table'))
    .option('--json', 'the same as --format json')
    .option('--days <n>', 'look back this many days', parseDays)
    .option('--all-time', 'look at everything there is')
    .option('--environment <pattern>', 'only these environments; * stands for any text')
    .option('--test <pattern>', 'only these tests')
    .action(async (options: RatesOptions) => {
      const { openFlakeStore, readRates } = await import('../flake/index.js');
      const store = await openFlakeStore(databaseOf(options, context), { readonly: true });
      try {
        const sinceMs = options.allTime === true ? undefined : Date.now() - (options.days ?? 30) * DAY_MS;
        const rates = await readRates(store, {
          ...(sinceMs === undefined ? {} : { sinceMs }),
          ...(options.environment === undefined ? {} : { environment: options.environment }),
          ...(options.test === undefined ? {} : { test: options.test }),
        });
        await context.stdout(`${JSON.stringify(rates, null, 2)}\n`);
      } finally {
        await store.close();
      }
    });
  return flake;
}

interface RatesOptions {
  readonly database?: string;
  readonly format: string;
  readonly json?: boolean;
  readonly days?: number;
  readonly allTime?: boolean;
  readonly environment?: string;
  readonly test?: string;
}

function databaseOption(): Option {
  return new Option('--database <file>', 'database file or postgres:// URL (default: .mk-ci/flake.db)');
}

function databaseOf({ database }: { readonly database?: string }, context: CliContext): string {
  return database ?? join(context.cwd, '.mk-ci', 'flake.db');
}

function parseDays(text: string): number {
  const days = Number(text);
  if (!(days > 0)) throw new MkCiError('CLI_USAGE', { message: `--days ${text} is not a positive number` });
  return days;
}
