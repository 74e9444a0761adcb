import { readFile, stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';

import { Command } from 'commander';
import { z } from 'zod';

import { loadConfig, type Config } from '../../config/index.js';
import { MkCiError, isMkCiError, systemErrorCode } from '../../errors.js';
import { openFlakeStore, parseQuarantine, type FlakeStore, type QuarantineFile } from '../../flake/index.js';
import { authOf, createGitHub, readEvidence, sectionOf, type CommentSection, type GitHub } from '../../github/index.js';
import { mergeRuns, type RunResult } from '../../results/index.js';
import { VERSION } from '../../version.js';
import type { CliContext } from '../command.js';
import { databaseOf, databaseOption, isDatabaseUrl } from '../flake/options.js';
import { readReport } from '../report/read-report.js';

/** Options that the commands about one run share. */
export interface RunOptions {
  readonly database?: string;
  readonly repository?: string;
  readonly sha?: string;
  readonly pullRequest?: number;
  readonly key: string;
  readonly expect?: string;
  readonly plan?: string;
  readonly maxInput: number;
  readonly environment: string;
  readonly reportUrl?: string;
  readonly chartUrl?: string;
  readonly quarantine?: string;
  readonly dryRun?: boolean;
  readonly json?: boolean;
}

export function withRunOptions(command: Command): Command {
  return command
    .argument('<input...>', 'run folders, test outputs of any format, folders or globs')
    .addOption(databaseOption())
    .option('--repository <owner/name>', 'default: GITHUB_REPOSITORY')
    .option('--sha <commit>', 'commit that was tested (default: from the run, the event or GITHUB_SHA)')
    .option(
      '--pull-request <number>',
      'default: from the event, the run, or the open pull request of the commit',
      wholeNumber,
    )
    .option('--key <name>', 'names this job among those that report on one commit', 'mk-ci')
    .option('--expect <environments>', 'environments that must be there, with commas')
    .option('--plan <file>', 'what mk-ci matrix printed: its cells must be there')
    .option('--max-input <MiB>', 'largest input in all, after unpacking; more is refused', wholeNumber, 256)
    .option('--environment <name>', 'environment of files that name none', 'default')
    .option('--report-url <url>', 'where report.html is published; failures link into it')
    .option('--chart-url <url>', 'where the charts are published (mk-ci flake chart, mk-ci serve)')
    .option('--quarantine <file>', 'quarantine file')
    .option('--dry-run', 'print every action in place of acting')
    .option('--json', 'print actions as JSON');
}

export function wholeNumber(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1)
    throw new MkCiError('CLI_USAGE', { message: `${text} is not a whole number above 0` });
  return value;
}

/** What a run is about, from flags, then the event of GitHub Actions, then the run itself. */
export interface Subject {
  readonly repository: string;
  readonly sha: string;
  readonly pullRequest?: number;
  /** Where a commit of a fork comes from, to find its pull request. */
  readonly head?: { readonly owner: string; readonly branch: string };
}

const eventSchema = z.object({
  pull_request: z.object({ number: z.number(), head: z.object({ sha: z.string() }) }).optional(),
  issue: z.object({ number: z.number(), pull_request: z.unknown() }).optional(),
  workflow_run: z
    .object({
      head_sha: z.string(),
      head_branch: z.string().nullish(),
      head_repository: z.object({ owner: z.object({ login: z.string() }) }).nullish(),
    })
    .optional(),
});

/** Of `GITHUB_EVENT_PATH`; empty outside of GitHub Actions. */
export async function readEvent(env: CliContext['env']): Promise<z.infer<typeof eventSchema>> {
  const path = env['GITHUB_EVENT_PATH'];
  if (!path) return {};
  try {
    return eventSchema.parse(JSON.parse(await readFile(path, 'utf8')));
  } catch (error) {
    throw new MkCiError('GH_USAGE', { message: `the event file ${path} can not be read`, cause: error });
  }
}

/**
 * Reads what was tested. In a workflow for forks it was written by a stranger: it is bounded in size, and what can not be
 * understood is an error and not a crash.
 */
export async function readInputs(
  inputs: readonly string[],
  options: Pick<RunOptions, 'environment' | 'maxInput'>,
  context: CliContext,
): Promise<RunResult> {
  const paths = inputs.map((input) => resolve(context.cwd, input));
  try {
    return await readRuns(paths, options, context);
  } catch (error) {
    if (!(error instanceof TypeError || error instanceof RangeError)) throw error;
    throw new MkCiError('RES_MALFORMED', { message: inputs.join(', '), cause: error });
  }
}

/** A packed file of a megabyte may hold a gigabyte: what is counted is what was unpacked. */
function limitBytes(mostMiB: number): (count: number) => void {
  let bytes = 0;
  return (count) => {
    bytes += count;
    if (bytes <= mostMiB * 1024 * 1024) return;
    throw new MkCiError('RES_TOO_LARGE', {
      message: `more than ${mostMiB} MiB after unpacking`,
      advice: 'Give a larger --max-input if you trust what wrote it.',
    });
  };
}

async function readRuns(
  inputs: readonly string[],
  options: Pick<RunOptions, 'environment' | 'maxInput'>,
  context: CliContext,
): Promise<RunResult> {
  const { run, errors } = await readReport({
    inputs,
    format: undefined,
    environment: options.environment,
    onBytes: limitBytes(options.maxInput),
    outputs: [],
    stdin: emptyStdin(),
    signal: context.signal,
    toolVersion: VERSION,
    runId:
      context.env['GITHUB_RUN_ID'] === undefined
        ? 'files'
        : `${context.env['GITHUB_RUN_ID']}.${context.env['GITHUB_RUN_ATTEMPT'] ?? '1'}`,
    now: new Date(),
    onError: (path, error) => {
      context.log.warn('an input was left out', { path, code: error.code, message: error.message });
    },
  });
  if (errors[0] !== undefined && run.cells.length === 0) throw errors[0];
  const shape = runShape.safeParse(run);
  if (!shape.success) {
    throw new MkCiError('RES_MALFORMED', {
      message: `${inputs.join(', ')}: ${z.prettifyError(shape.error).slice(0, 500)}`,
    });
  }
  return mergeRuns([run]);
}

const line = z.number().optional();
const someText = z.string().optional();
const named = z.looseObject({ package: z.string(), name: z.string() });
const failureShape = z
  .looseObject({ message: z.string(), text: someText, file: someText, line, kind: someText })
  .optional();
/** What the bot reads of a run; records of run folders are taken as they are written, and a stranger may have. */
const runShape = z.looseObject({
  runId: z.string(),
  startedAt: z.string(),
  environments: z.array(z.looseObject({ name: z.string() })),
  cells: z.array(
    z.looseObject({
      id: z.string(),
      environment: z.string(),
      suite: z.string(),
      tests: z.array(
        z.looseObject({
          id: named,
          file: someText,
          line,
          owner: someText,
          attempts: z.array(z.looseObject({ status: z.string(), failure: failureShape })),
        }),
      ),
      packages: z.array(z.looseObject({ package: z.string(), status: z.string(), failure: failureShape })),
    }),
  ),
  errors: z.array(z.looseObject({ code: z.string(), message: z.string(), cell: someText, environment: someText })),
  repairs: z.array(z.looseObject({ message: z.string() })),
});

async function* emptyStdin(): AsyncGenerator<Uint8Array> {
  // Results come from files: what comes through a pipe into a bot is not what was tested.
}

/** @throws {MkCiError} `GH_USAGE` when repository or commit stay unknown */
export async function subjectOf(run: RunResult, options: RunOptions, context: CliContext): Promise<Subject> {
  const event = await readEvent(context.env);
  const repository = options.repository ?? context.env['GITHUB_REPOSITORY'] ?? run.source.repository;
  // On pull_request events GITHUB_SHA is a merge commit that the pull request does not know.
  const sha =
    options.sha ??
    event.workflow_run?.head_sha ??
    event.pull_request?.head.sha ??
    run.source.commit ??
    context.env['MK_CI_HEAD_SHA'] ??
    context.env['GITHUB_SHA'];
  if (!repository)
    throw new MkCiError('GH_USAGE', { message: 'no repository', advice: 'Give --repository owner/name.' });
  if (!sha) throw new MkCiError('GH_USAGE', { message: 'no commit', advice: 'Give --sha.' });
  // The number that a run folder names is not believed in a workflow_run: a fork wrote it.
  const fromRun = event.workflow_run === undefined ? run.source.pullRequest : undefined;
  const pullRequest = options.pullRequest ?? event.pull_request?.number ?? fromRun;
  const branch = event.workflow_run?.head_branch;
  const owner = event.workflow_run?.head_repository?.owner.login;
  return {
    repository,
    sha,
    ...(pullRequest === undefined ? {} : { pullRequest }),
    ...(branch == null || owner === undefined ? {} : { head: { owner, branch } }),
  };
}

export function connect(repository: string, context: CliContext): GitHub {
  return createGitHub({
    repository,
    auth: authOf(context.env),
    baseUrl: context.env['GITHUB_API_URL'] ?? 'https://api.github.com',
    isActions: context.env['GITHUB_ACTIONS'] === 'true',
    log: context.log,
    signal: context.signal,
    // A tenth of a second in tests, which talk to a server of their own.
    secondMs: Number(context.env['MK_CI_GITHUB_SECOND_MS'] ?? 1_000),
  });
}

export function repositoryUrlOf(repository: string, env: CliContext['env']): string {
  return `${(env['GITHUB_SERVER_URL'] ?? 'https://github.com').replace(/\/+$/, '')}/${repository}`;
}

export function jobUrlOf(repository: string, env: CliContext['env']): string | undefined {
  const id = env['GITHUB_RUN_ID'];
  return id === undefined ? undefined : `${repositoryUrlOf(repository, env)}/actions/runs/${encodeURIComponent(id)}`;
}

export async function configOf(context: CliContext): Promise<Config | undefined> {
  try {
    return await loadConfig({ cwd: context.cwd });
  } catch (error) {
    if (isMkCiError(error, 'CFG_NOT_FOUND')) return undefined;
    throw error;
  }
}

/** Opens the database for reading; without one there is no history, which is no error on the first day. */
export async function openHistory(
  options: { readonly database?: string },
  context: CliContext,
): Promise<FlakeStore | undefined> {
  const location = await databaseOf(options, context);
  try {
    if (!isDatabaseUrl(location)) await readFile(location).catch((error: unknown) => Promise.reject(asMissing(error)));
    return await openFlakeStore(location, { readonly: true });
  } catch (error) {
    if (!(error instanceof MissingDatabase)) throw error;
    context.log.warn('there is no database yet: verdicts have no history', { database: location });
    return undefined;
  }
}

class MissingDatabase extends Error {
  override readonly name = 'MissingDatabase';
}

function asMissing(error: unknown): Error {
  return systemErrorCode(error) === 'ENOENT' ? new MissingDatabase() : new MkCiError('DB_OPEN', { cause: error });
}

/** The section that the comment, the check and the summary are made from. */
export async function buildSection(
  run: RunResult,
  subject: Subject,
  options: RunOptions,
  context: CliContext,
  changedFiles?: readonly string[],
): Promise<CommentSection> {
  const store = await openHistory(options, context);
  const quarantine = await readQuarantine(options.quarantine, context);
  try {
    const evidence = await readEvidence(run, store, {
      repository: subject.repository,
      sha: subject.sha,
      nowMs: Date.now(),
      signal: context.signal,
      ...(subject.pullRequest === undefined ? {} : { pullRequest: subject.pullRequest }),
      ...(changedFiles === undefined ? {} : { changedFiles }),
      ...(quarantine === undefined ? {} : { quarantine }),
    });
    const { testAnchor } = await import('../../report/index.js');
    const { reportUrl, chartUrl } = options;
    const jobUrl = jobUrlOf(subject.repository, context.env);
    return sectionOf(run, {
      key: options.key,
      sha: subject.sha,
      evidence,
      ...(options.expect === undefined
        ? {}
        : {
            expectedEnvironments: options.expect
              .split(',')
              .map((name) => name.trim())
              .filter((name) => name !== ''),
          }),
      ...(options.plan === undefined ? {} : { expectedCells: await readPlan(options.plan, context) }),
      links: {
        ...(jobUrl === undefined ? {} : { run: jobUrl }),
        ...(reportUrl === undefined ? {} : { report: ({ id }) => `${reportUrl}#${testAnchor(id)}` }),
        ...(chartUrl === undefined
          ? {}
          : {
              chart: ({ id, environment }) => chartAddress(chartUrl, environment, id.name),
              environment: (name) => chartAddress(chartUrl, name),
            }),
      },
    });
  } finally {
    await store?.close();
  }
}

const planSchema = z.object({ include: z.array(z.object({ cells: z.string().max(100_000) })).max(1_000) });

/** Ids of the cells in what `mk-ci matrix` printed. */
async function readPlan(path: string, context: CliContext): Promise<readonly string[]> {
  try {
    const file = resolve(context.cwd, path);
    if ((await stat(file)).size > 4 * 1024 * 1024) throw new RangeError('too large for a plan');
    const { include } = planSchema.parse(JSON.parse(await readFile(file, 'utf8')));
    return include.flatMap(({ cells }) => cells.split(','));
  } catch (error) {
    throw new MkCiError('CLI_NO_INPUT', { message: `--plan ${path} is not what mk-ci matrix prints`, cause: error });
  }
}

export function chartAddress(base: string, environment: string, test?: string): string {
  const query = new URLSearchParams({ env: environment, ...(test === undefined ? {} : { test }) });
  return `${base}${base.includes('?') ? '&' : '?'}${query.toString()}`;
}

async function readQuarantine(path: string | undefined, context: CliContext): Promise<QuarantineFile | undefined> {
  if (path === undefined) return undefined;
  try {
    return parseQuarantine(await readFile(join(context.cwd, path), 'utf8'), path);
  } catch (error) {
    if (isMkCiError(error)) throw error;
    throw new MkCiError('CLI_NO_INPUT', { message: path, cause: error });
  }
}

export async function printActions(
  actions: readonly { readonly type: string }[],
  { json, text }: { readonly json: boolean; readonly text: readonly string[] },
  context: CliContext,
): Promise<void> {
  await context.stdout(json ? `${JSON.stringify(actions, null, 2)}\n` : text.map((line) => `${line}\n`).join(''));
}
