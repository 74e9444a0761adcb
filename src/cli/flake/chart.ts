import { resolve } from 'node:path';

import { Command, Option } from 'commander';

import { VERSION } from '../../version.js';
import type { CliContext } from '../command.js';
import { databaseOption, positive, printJson, wholeNumber, withStore, type DatabaseOptions } from './options.js';

interface ChartOptions extends DatabaseOptions {
  readonly html: string;
  readonly repository?: string;
  readonly runs?: 'all' | 'base' | 'pull-requests';
  readonly days?: number;
  readonly maxTests: number;
  readonly json?: boolean;
}

export function chartCommand(context: CliContext): Command {
  return new Command('chart')
    .description('write the dashboard as a folder of pages that needs no server')
    .requiredOption('--html <folder>', 'folder for index.html and its data')
    .addOption(databaseOption())
    .option('--repository <name>', 'only this repository')
    .addOption(new Option('--runs <kind>', 'runs to count').choices(['all', 'base', 'pull-requests']))
    .addOption(
      new Option('--days <n>', 'look back this many days from the newest run (default: 90)').argParser(
        positive('--days'),
      ),
    )
    .addOption(
      new Option('--max-tests <n>', 'most tests that get a page').argParser(wholeNumber('--max-tests')).default(300),
    )
    .option('--json', 'print what was written as JSON')
    .addHelpText('after', '\nExample:\n  mk-ci flake chart --html out/charts && xdg-open out/charts/index.html')
    .action(async (options: ChartOptions) => {
      const { writeStaticSite } = await import('../../server/index.js');
      const { repository, runs, days } = options;
      const site = await withStore(
        options,
        context,
        'read',
        async (store) =>
          await writeStaticSite(store, {
            folder: resolve(context.cwd, options.html),
            query: { repository, runs, days: days === undefined ? undefined : Math.ceil(days) },
            toolVersion: VERSION,
            now: new Date(),
            maxTests: options.maxTests,
            signal: context.signal,
          }),
      );
      if (options.json === true) await printJson(context, site);
      else {
        const left = Object.entries(site.leftOut).map(([list, count]) => `, ${count} ${list} left out`);
        context.stderr(`${site.indexPath}: ${site.pages} pages, ${Math.ceil(site.bytes / 1000)} kB${left.join('')}\n`);
      }
    });
}
