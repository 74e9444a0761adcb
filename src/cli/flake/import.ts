import { createReadStream } from 'node:fs';
import { resolve } from 'node:path';
import { createInterface } from 'node:readline';

import { Command, Option } from 'commander';

import { MkCiError, messageOf } from '../../errors.js';
import type { ImportedRecords } from '../../flake/index.js';
import type { CliContext } from '../command.js';
import { databaseOption, printJson, withStore, type DatabaseOptions } from './options.js';

interface ImportOptions extends DatabaseOptions {
  readonly format: 'minikube-csv';
  readonly repository?: string;
  readonly json?: boolean;
}

export function importCommand(context: CliContext): Command {
  return new Command('import')
    .description('take in the history of another program')
    .argument('<input>', 'file; - is standard input')
    .addOption(databaseOption())
    .addOption(new Option('--format <format>', 'what the input is').choices(['minikube-csv']).makeOptionMandatory())
    .option('--repository <name>', 'repository that the tests belong to')
    .option('--json', 'print the summary as JSON')
    .addHelpText(
      'after',
      '\nExample:\n  mk-ci flake import data.csv --format minikube-csv --repository kubernetes/minikube',
    )
    .action(async (input: string, options: ImportOptions) => {
      const imported = await readInput(input, options, context);
      const summary = await withStore(
        options,
        context,
        'write',
        async (store) => await store.write(imported.records, { signal: context.signal }),
      );
      for (const { line, message, kept } of imported.problems.slice(0, 20)) {
        context.log.warn(kept ? 'row kept with a flaw' : 'row left out', { line, message });
      }
      if (imported.problems.length > 20) {
        context.log.warn('more such rows', { count: imported.problems.length - 20 });
      }
      const { runs, results, known, replaced } = summary;
      const leftOut = imported.problems.filter(({ kept }) => !kept).length;
      if (options.json === true) {
        await printJson(context, {
          rows: imported.rows,
          leftOut,
          runs,
          results,
          known,
          replaced,
          problems: imported.problems,
        });
      } else {
        context.stderr(
          `${imported.rows} rows: ${results} results of ${runs + replaced} runs stored, ${known} runs known before, ${leftOut} rows left out\n`,
        );
      }
    });
}

async function readInput(input: string, options: ImportOptions, context: CliContext): Promise<ImportedRecords> {
  const { parseMinikubeCsv } = await import('../../flake/index.js');
  const stream: NodeJS.ReadableStream = input === '-' ? context.stdin : createReadStream(resolve(context.cwd, input));
  const meta = options.repository === undefined ? {} : { repository: options.repository };
  // readline does not hand a read error on to its iterator.
  const failed = new Promise<never>((_resolve, reject) => {
    stream.once('error', (error: unknown) => {
      reject(new MkCiError('CLI_NO_INPUT', { message: `${input}: ${messageOf(error)}`, cause: error }));
    });
  });
  return await Promise.race([parseMinikubeCsv(createInterface({ input: stream, crlfDelay: Infinity }), meta), failed]);
}
