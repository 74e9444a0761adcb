import { createReadStream, existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { createInterface } from 'node:readline';

import { Command, Option } from 'commander';

import { MkCiError, messageOf } from '../../errors.js';
import type { ImportedRecords } from '../../flake/index.js';
import type { CliContext } from '../command.js';
import { databaseOption, isDatabaseUrl, printJson, withStore, type DatabaseOptions } from './options.js';

interface ImportOptions extends DatabaseOptions {
  readonly format: 'minikube-csv' | 'gopogh-db' | 'ndjson';
  readonly repository?: string;
  readonly json?: boolean;
}

export function importCommand(context: CliContext): Command {
  return new Command('import')
    .description('take in the history of another program')
    .argument('<input>', 'file, - for standard input, or the postgres:// URL of gopogh')
    .addOption(databaseOption())
    .addOption(
      new Option('--format <format>', 'what the input is')
        .choices(['minikube-csv', 'gopogh-db', 'ndjson'])
        .makeOptionMandatory(),
    )
    .option('--repository <name>', 'repository that the tests belong to')
    .option('--json', 'print the summary as JSON')
    .addHelpText(
      'after',
      '\nExample:\n  mk-ci flake import data.csv --format minikube-csv --repository kubernetes/minikube',
    )
    .action(async (input: string, options: ImportOptions) => {
      if (options.format !== 'minikube-csv') {
        await importRuns(input, options, context);
        return;
      }
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

/** Formats that give whole runs, one after the other. */
async function importRuns(input: string, options: ImportOptions, context: CliContext): Promise<void> {
  // Before the database is made.
  if (input !== '-' && !isDatabaseUrl(input) && !existsSync(resolve(context.cwd, input))) {
    throw new MkCiError('CLI_NO_INPUT', { message: input });
  }
  const { parseNdjson, readGopoghDatabase } = await import('../../flake/index.js');
  const summary = await withStore(options, context, 'write', async (store) => {
    if (options.format === 'ndjson') {
      const { lines, failed } = linesOf(input, context);
      return await Promise.race([store.write(parseNdjson(lines), { signal: context.signal }), failed]);
    }
    const source = isDatabaseUrl(input) ? input : resolve(context.cwd, input);
    const meta = options.repository === undefined ? {} : { repository: options.repository };
    return await store.write(readGopoghDatabase(source, meta), { signal: context.signal });
  });
  const { runs, results, known, replaced } = summary;
  if (options.json === true) await printJson(context, { runs, results, known, replaced });
  else context.stderr(`${results} results of ${runs + replaced} runs stored, ${known} runs known before\n`);
}

async function readInput(input: string, options: ImportOptions, context: CliContext): Promise<ImportedRecords> {
  const { parseMinikubeCsv } = await import('../../flake/index.js');
  const meta = options.repository === undefined ? {} : { repository: options.repository };
  const { lines, failed } = linesOf(input, context);
  return await Promise.race([parseMinikubeCsv(lines, meta), failed]);
}

/** readline does not hand a read error on to its iterator: `failed` rejects in its place. */
function linesOf(
  input: string,
  context: CliContext,
): { readonly lines: AsyncIterable<string>; readonly failed: Promise<never> } {
  const stream: NodeJS.ReadableStream = input === '-' ? context.stdin : createReadStream(resolve(context.cwd, input));
  const failed = new Promise<never>((_resolve, reject) => {
    stream.once('error', (error: unknown) => {
      reject(new MkCiError('CLI_NO_INPUT', { message: `${input}: ${messageOf(error)}`, cause: error }));
    });
  });
  return { lines: createInterface({ input: stream, crlfDelay: Infinity }), failed };
}
