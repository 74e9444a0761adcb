import { createWriteStream, existsSync, readFileSync, statSync } from 'node:fs';
import { rename, rm } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { pipeline } from 'node:stream/promises';

import { Command, Option } from 'commander';

import { MkCiError, hostErrorOf, messageOf } from '../../errors.js';
import { makeFolder } from '../../files.js';
import type { FlakeStore, PlannedMerge, RunRecord } from '../../flake/index.js';
import type { CliContext } from '../command.js';
import {
  databaseOf,
  databaseOption,
  isDatabaseUrl,
  locationOf,
  positive,
  printJson,
  windowOf,
  windowOptions,
  withStore,
  type DatabaseOptions,
  type WindowOptions,
} from './options.js';

const DAY_MS = 86_400_000;

const EXPORTS = ['ndjson', 'csv', 'parquet', 'ctrf'] as const;

interface ExportOptions extends DatabaseOptions, WindowOptions {
  readonly format: (typeof EXPORTS)[number];
  readonly out?: string;
}

/** `flake export`: the history in forms that other programs read. */
export function exportCommand(context: CliContext): Command {
  const command = new Command('export')
    .description(
      'print the history: ndjson has one run a line and can be imported again, csv and parquet one attempt a row, ctrf all tests of the window in one document',
    )
    .addOption(databaseOption())
    .addOption(new Option('--format <format>', 'form of the output').choices([...EXPORTS]).default('ndjson'))
    .option('--out <file>', 'write to this file (parquet needs one)')
    .addHelpText('after', '\nExample:\n  mk-ci flake export --format parquet --days 30 --out history.parquet');
  for (const option of windowOptions()) command.addOption(option);
  return command.action(async (options: ExportOptions) => {
    const sinceMs = options.days === undefined ? undefined : windowOf(options, options.days).sinceMs;
    const path = options.out === undefined ? undefined : resolve(context.cwd, options.out);
    await withStore(options, context, 'read', async (store) => {
      const runs = store.readRuns(sinceMs === undefined ? {} : { sinceMs });
      if (options.format === 'parquet') {
        if (path === undefined) throw new MkCiError('CLI_USAGE', { message: '--format parquet needs --out FILE' });
        const { writeParquet } = await import('../../flake/index.js');
        await writeTo(path, async (file) => {
          await writeParquet(file, runs, context.signal);
        });
        return;
      }
      const pieces = exportText(options.format, runs);
      if (path === undefined) {
        for await (const piece of pieces) {
          context.signal.throwIfAborted();
          await context.stdout(piece);
        }
      } else {
        await writeTo(path, async (file) => {
          await pipeline(pieces, createWriteStream(file), { signal: context.signal });
        });
      }
    });
  });
}

/**
 * Has a file written beside the one that is asked for, which takes its place when it is whole. What is no file, such as
 * `/dev/null`, is written to as it is.
 */
async function writeTo(path: string, write: (file: string) => Promise<void>): Promise<void> {
  await makeFolder(dirname(path));
  const old = statSync(path, { throwIfNoEntry: false });
  if (old?.isDirectory() === true) throw new MkCiError('HOST_PERMISSION', { message: `${path} is a folder` });
  const file = old === undefined || old.isFile() ? `${path}.${process.pid}.tmp` : path;
  try {
    await write(file);
    if (file !== path) await rename(file, path);
  } catch (error) {
    if (file !== path) await rm(file, { force: true });
    throw hostErrorOf(error, path) ?? error;
  }
}

async function* exportText(
  format: Exclude<ExportOptions['format'], 'parquet'>,
  runs: AsyncIterable<RunRecord>,
): AsyncGenerator<string> {
  const { RESULT_COLUMNS, csvLine, resultRows, runOfRecords } = await import('../../flake/index.js');
  if (format === 'ctrf') {
    const { renderCtrf } = await import('../../results/writers/index.js');
    const records: RunRecord[] = [];
    for await (const run of runs) records.push(run);
    yield* renderCtrf(runOfRecords(records));
    return;
  }
  if (format === 'csv') yield `${csvLine(RESULT_COLUMNS)}\n`;
  for await (const run of runs) {
    if (format === 'ndjson') yield `${JSON.stringify(run)}\n`;
    else
      yield resultRows(run)
        .map((row) => `${csvLine(row)}\n`)
        .join('');
  }
}

/** `flake merge`: runs of other databases into this one. */
export function mergeCommand(context: CliContext): Command {
  return new Command('merge')
    .description('take over the runs of other databases; runs that are known change nothing')
    .addHelpText('after', '\nExample:\n  mk-ci flake merge shard-1.db shard-2.db\n')
    .argument('<database...>', 'files or postgres:// URLs to read')
    .addOption(databaseOption())
    .option('--dry-run', 'say what would be taken over')
    .option('--json', 'print the summary as JSON')
    .action(async (sources: readonly string[], options: ChangeOptions) => {
      const isDry = options.dryRun === true;
      const totals = isDry ? await planOfMerge(sources, options, context) : await merge(sources, options, context);
      const { runs, results, known, replaced } = totals;
      if (options.json === true) await printJson(context, { ...totals, ...(isDry ? { dryRun: true } : {}) });
      else
        context.stderr(
          `${results} results of ${runs + replaced} runs ${isDry ? 'would be ' : ''}taken over, ${known} runs known before\n`,
        );
    });
}

interface ChangeOptions extends DatabaseOptions {
  readonly dryRun?: boolean;
  readonly json?: boolean;
}

async function merge(sources: readonly string[], options: DatabaseOptions, context: CliContext): Promise<PlannedMerge> {
  const totals = { runs: 0, results: 0, known: 0, replaced: 0 };
  await withStore(options, context, 'write', async (target) => {
    for await (const from of openSources(sources, context)) {
      const summary = await target.write(from.readRuns(), { signal: context.signal });
      for (const key of ['runs', 'results', 'known', 'replaced'] as const) totals[key] += summary[key];
    }
  });
  return totals;
}

/** A database that is not there yet is not made. */
async function planOfMerge(
  sources: readonly string[],
  options: DatabaseOptions,
  context: CliContext,
): Promise<PlannedMerge> {
  const { openFlakeStore, planMerge } = await import('../../flake/index.js');
  const location = await databaseOf(options, context);
  if (!isDatabaseUrl(location) && !existsSync(location)) {
    return await planMerge(undefined, openSources(sources, context));
  }
  await using target = await openFlakeStore(location, { readonly: true });
  return await planMerge(target, openSources(sources, context));
}

/** One after the other, each closed before the next. */
async function* openSources(sources: readonly string[], context: CliContext): AsyncGenerator<FlakeStore> {
  const { openFlakeStore } = await import('../../flake/index.js');
  for (const source of sources) {
    context.signal.throwIfAborted();
    await using from = await openFlakeStore(locationOf(source, context.cwd), { readonly: true });
    yield from;
  }
}

/** `flake prune`: raw results go, sums stay. */
export function pruneCommand(context: CliContext): Command {
  return new Command('prune')
    .description('drop single results of old runs; their daily sums stay')
    .addHelpText('after', '\nExample:\n  mk-ci flake prune --days 180 --dry-run\n')
    .addOption(databaseOption())
    .option('--days <n>', 'keep this many days', positive('--days'), 90)
    .option('--dry-run', 'say what would be dropped')
    .option('--json', 'print the summary as JSON')
    .action(async (options: ChangeOptions & { readonly days: number }) => {
      const beforeMs = Date.now() - options.days * DAY_MS;
      const before = new Date(beforeMs).toISOString().slice(0, 10);
      if (options.dryRun === true) {
        const { openFlakeStore, planPrune } = await import('../../flake/index.js');
        await using store = await openFlakeStore(await databaseOf(options, context), { readonly: true });
        const { runs, results } = await planPrune(store, beforeMs);
        if (options.json === true) await printJson(context, { pruned: runs, results, before, dryRun: true });
        else context.stderr(`${results} results of ${runs} runs from before ${before} would be dropped\n`);
        return;
      }
      const pruned = await withStore(options, context, 'write', async (store) => await store.prune(beforeMs));
      if (options.json === true) await printJson(context, { pruned, before });
      else context.stderr(`${pruned} runs from before ${before} pruned\n`);
    });
}

/** `flake lint`: the quarantine file. */
export function lintCommand(context: CliContext): Command {
  return new Command('lint')
    .description('check the quarantine file: form, expired entries, aliases')
    .addHelpText('after', '\nExample:\n  mk-ci flake lint --quarantine .mk-ci/quarantine.yaml\n')
    .option('--quarantine <file>', 'file to check', '.mk-ci/quarantine.yaml')
    .option('--json', 'print the problems as JSON')
    .action(async (options: { readonly quarantine: string; readonly json?: boolean }) => {
      const { lintQuarantine, parseQuarantine } = await import('../../flake/index.js');
      const path = resolve(context.cwd, options.quarantine);
      if (!existsSync(path)) throw new MkCiError('CLI_NO_INPUT', { message: path });
      let text: string;
      try {
        text = readFileSync(path, 'utf8');
      } catch (error) {
        throw new MkCiError('CLI_NO_INPUT', { message: `${path}: ${messageOf(error)}`, cause: error });
      }
      const problems = lintQuarantine(parseQuarantine(text, path), new Date().toISOString().slice(0, 10));
      if (options.json === true) await printJson(context, { problems });
      else for (const problem of problems) context.stderr(`${problem}\n`);
      if (problems.length > 0) context.exit(1);
    });
}

/** `flake check`: damage and sums that do not add up. */
export function checkCommand(context: CliContext): Command {
  return new Command('check')
    .description('look for damage in the database; exit code 1 when there is any')
    .addHelpText('after', '\nExample:\n  mk-ci flake check\n')
    .addOption(databaseOption())
    .option('--json', 'print the problems as JSON')
    .action(async (options: DatabaseOptions & { readonly json?: boolean }) => {
      const problems = await withStore(options, context, 'read', async (store) => await store.check());
      if (options.json === true) await printJson(context, { problems });
      else context.stderr(problems.length === 0 ? 'nothing is wrong\n' : `${problems.join('\n')}\n`);
      if (problems.length > 0) context.exit(1);
    });
}
