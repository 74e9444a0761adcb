import { createHash } from 'node:crypto';

import { Command, Option } from 'commander';

import { MkCiError } from '../../errors.js';
import type { CiSource, RecordMeta } from '../../flake/index.js';
import { FORMATS, type Format, type RunResult } from '../../results/index.js';
import { VERSION } from '../../version.js';
import type { CliContext } from '../command.js';
import { readReport } from '../report/read-report.js';
import { databaseOption, printJson, withStore, type DatabaseOptions } from './options.js';

interface RecordOptions extends DatabaseOptions {
  readonly format?: Format;
  readonly repository?: string;
  readonly commit?: string;
  readonly tree?: string;
  readonly branch?: string;
  readonly pullRequest?: number;
  readonly environment?: string;
  readonly at?: string;
  readonly url?: string;
  readonly dryRun?: boolean;
  readonly json?: boolean;
}

export function recordCommand(context: CliContext): Command {
  return new Command('record')
    .description('add runs: run folders, or test outputs of any format')
    .argument('<input...>', 'run folders, files, folders or globs; - is standard input')
    .addOption(databaseOption())
    .addOption(new Option('--format <format>', 'read foreign files as this format').choices([...FORMATS]))
    .option('--repository <name>', 'owner/name')
    .option('--commit <sha>', 'commit under test')
    .option('--tree <sha>', 'tree of that commit')
    .option('--branch <name>', 'branch under test')
    .option('--pull-request <number>', 'pull request under test', wholeNumber)
    .option('--environment <name>', 'environment of foreign files (default: unknown)')
    .option('--at <time>', 'when the run began, ISO 8601 (default: as in the input, else now)')
    .option('--url <url>', 'page of the CI job')
    .option('--dry-run', 'say what would be recorded')
    .option('--json', 'print the summary as JSON')
    .addHelpText(
      'after',
      `
What the flags leave open comes from the run itself, then from the variables of GitHub Actions, Prow, GitLab,
Buildkite, CircleCI, Azure Pipelines or Jenkins. A run that is recorded already changes nothing.

Example:
  mk-ci flake record out/20260131-120000-ab12cd
  go test -json ./... | mk-ci flake record - --environment laptop --commit "$(git rev-parse HEAD)"`,
    )
    .action(async (inputs: readonly string[], options: RecordOptions) => {
      const runs: { readonly run: RunResult; readonly meta: RecordMeta }[] = [];
      for (const input of inputs) {
        const run = await readRun(input, options, context);
        runs.push({ run, meta: await metaOf(run, options, context) });
      }
      if (options.dryRun === true) {
        const { recordsOfRun } = await import('../../flake/index.js');
        const records = runs.flatMap(({ run, meta }) => recordsOfRun(run, meta));
        await printJson(
          context,
          records.map(({ results, ...record }) => ({ ...record, results: results.length })),
        );
        return;
      }
      const totals = { runs: 0, results: 0, known: 0, replaced: 0 };
      const excluded: { readonly uid: string; readonly reason: string }[] = [];
      await withStore(options, context, 'write', async (store) => {
        for (const { run, meta } of runs) {
          context.signal.throwIfAborted();
          const summary = await store.recordRun(run, meta);
          for (const key of ['runs', 'results', 'known', 'replaced'] as const) totals[key] += summary[key];
          excluded.push(...summary.excluded);
        }
      });
      for (const { uid, reason } of excluded) context.log.warn('run left out of rates', { run: uid, reason });
      if (options.json === true) await printJson(context, { ...totals, excluded });
      else {
        context.stderr(
          `${totals.results} results of ${totals.runs + totals.replaced} runs recorded, ${totals.known} runs known before\n`,
        );
      }
    });
}

/** Standard input without an encoding set gives bytes; one that has it gives text. */
async function* bytesOf(stream: NodeJS.ReadableStream): AsyncGenerator<Uint8Array> {
  for await (const piece of stream) yield typeof piece === 'string' ? Buffer.from(piece) : piece;
}

/** Marks what no input said, so that it can be told from what one did. */
export const UNKNOWN_RUN = 'foreign';

async function readRun(input: string, options: RecordOptions, context: CliContext): Promise<RunResult> {
  const { run, errors } = await readReport({
    inputs: [input],
    format: options.format,
    environment: options.environment ?? 'unknown',
    outputs: [],
    stdin: bytesOf(context.stdin),
    signal: context.signal,
    toolVersion: VERSION,
    runId: UNKNOWN_RUN,
    now: new Date(),
    onError: (path, error) => {
      context.log.warn('input not read', { path, code: error.code, message: error.message });
    },
  });
  if (errors[0] !== undefined) throw errors[0];
  if (run.cells.every(({ tests }) => tests.length === 0)) throw new MkCiError('RUN_NO_TESTS', { message: input });
  return run;
}

async function metaOf(run: RunResult, options: RecordOptions, context: CliContext): Promise<RecordMeta> {
  const { ciSourceOf } = await import('../../flake/index.js');
  const ci: Partial<CiSource> = ciSourceOf(context.env) ?? {};
  const { source } = run;
  const given = {
    repository: options.repository ?? source.repository ?? ci.repository,
    commit: options.commit ?? (source.dirty === true ? undefined : (source.commit ?? ci.commit)),
    treeSha: options.tree,
    branch: options.branch ?? source.branch ?? ci.branch,
    pullRequest: options.pullRequest ?? source.pullRequest ?? ci.pullRequest,
    url: options.url ?? source.jobUrl ?? ci.url,
    environment: options.environment,
    startedAtMs: options.at === undefined ? undefined : timeOf(options.at),
    ciRun: run.runId === UNKNOWN_RUN ? identityOf(run, options, ci.ciRun) : undefined,
  };
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
}

/**
 * A foreign file has no run id: its content and what was said of it are its identity. Not its name, which is
 * `junit.xml` in every job, and not the time of reading.
 */
export function identityOf(
  run: RunResult,
  { commit, environment, at }: { readonly [K in 'commit' | 'environment' | 'at']?: string | undefined },
  ciRun = 'file',
): string {
  const content = run.cells.map(({ id, tests }) => [id, tests]);
  const hash = createHash('sha256').update(JSON.stringify([content, commit, environment, at]));
  return `${ciRun}:${hash.digest('hex').slice(0, 16)}`;
}

function timeOf(text: string): number {
  const time = Date.parse(text);
  if (Number.isNaN(time))
    throw new MkCiError('CLI_USAGE', { message: `--at ${text} is not a time as 2026-01-31T12:00:00Z` });
  return time;
}

function wholeNumber(text: string): number {
  if (!/^\d+$/.test(text)) throw new MkCiError('CLI_USAGE', { message: `--pull-request ${text} is not a number` });
  return Number(text);
}
