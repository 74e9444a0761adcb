import { createHash } from 'node:crypto';

import { Command, Option } from 'commander';

import { compareRuns, FORMATS, type Format, type RunResult } from '../results/index.js';
import { VERSION } from '../version.js';
import type { CliContext } from './command.js';
import { locationOf } from './flake/options.js';
import { historyFor, type Background } from './report/background.js';
import { comparisonJson, formatComparison } from './report/comparison-text.js';
import { finishRuns } from './report/finish-run.js';
import { formatReport } from './report/input-summary.js';
import { REPORT_OUTPUTS, type OpenOutput } from './report/outputs.js';
import { readReport } from './report/read-report.js';

interface ReportOptions {
  readonly format?: Format | 'auto';
  readonly environment: string;
  readonly title?: string;
  readonly json?: boolean;
  readonly failOnFailed?: boolean;
  /** Absent: by size. */
  readonly singleFile?: boolean;
  /** Earlier runs, as inputs. */
  readonly against: readonly string[];
  readonly database?: string;
  /** Paths of the outputs, by option. */
  readonly [output: string]: unknown;
}

/** `mk-ci report INPUT…`: reads run folders and test outputs of any known format, writes reports and a summary. */
export function build(context: CliContext): Command {
  const command = new Command('report')
    .description('Read run folders and test outputs, write reports')
    .argument('<input...>', 'run folders, files, folders, globs, or - for standard input')
    .addOption(new Option('--format <format>', 'format of the inputs').choices(['auto', ...FORMATS]).default('auto'))
    .option('--environment <name>', 'environment that files without one belong to', 'default')
    .option('--title <title>', 'title of the report')
    .option('--json', 'print counts as JSON')
    .option('--fail-on-failed', 'exit with 1 when a test or package did not pass');
  command
    .option('--against <input>', 'earlier run to compare with: folder, file or glob; may be repeated', collect, [])
    .option('--database <file>', 'flake database, file or postgres:// URL: history of each failure');
  for (const output of REPORT_OUTPUTS) command.option(`--${output.option} <file>`, output.description);
  command
    .option('--single-file', 'logs into the page, whatever its size (by default when it stays under 20 MB)')
    .option('--no-single-file', 'logs always beside the page, in log/');
  command.addHelpText(
    'after',
    '\nWithout an output, the files of a run that was killed are completed in its folder.\n' +
      '\nExamples:\n  go test -json ./... | mk-ci report - --junit junit.xml --json\n  mk-ci report .mk-ci/runs/latest\n' +
      '  mk-ci report junit.xml --against main/junit.xml --database flake.db --html report.html\n',
  );
  command.action(async (inputs: string[], options: ReportOptions) => {
    await report(inputs, options, context);
  });
  return command;
}

async function report(inputs: readonly string[], options: ReportOptions, context: CliContext): Promise<void> {
  const outputs: OpenOutput[] = [];
  try {
    for (const { option, load } of REPORT_OUTPUTS) {
      const path = options[option];
      if (typeof path !== 'string') continue;
      const open = await load();
      outputs.push(await open(path, { signal: context.signal, singleFile: options.singleFile }));
    }
    const read = await readReport({
      inputs,
      format: options.format === 'auto' ? undefined : options.format,
      environment: options.environment,
      title: options.title,
      outputs,
      stdin: stdinBytes(context.stdin),
      signal: context.signal,
      toolVersion: VERSION,
      runId: `report-${createHash('sha256').update(inputs.join('\0')).digest('hex').slice(0, 12)}`,
      now: new Date(),
      background: (run) => readBackground(run, options, context),
      onError: (path, error) => {
        context.log.warn('an input was left out', { path, code: error.code, message: error.message });
      },
    });
    const { against } = read.background;
    const comparison = against === undefined ? undefined : compareRuns(read.run, against);
    await context.stdout(
      options.json === true
        ? `${JSON.stringify({ ...read.summary, ...(comparison === undefined ? {} : { against: comparisonJson(comparison) }) }, null, 2)}\n`
        : `${formatReport(read.summary)}${comparison === undefined ? '' : formatComparison(comparison)}`,
    );
    if (outputs.length === 0) await finishRuns(inputs, context, { database: databaseLocation(options, context) });
    const [error] = read.errors;
    if (error !== undefined) context.exit(error.exitCode);
    else if (options.failOnFailed === true && read.hasFailed) context.exit(1);
  } finally {
    for (const output of outputs) await output[Symbol.asyncDispose]();
  }
}

function collect(value: string, before: readonly string[]): readonly string[] {
  return [...before, value];
}

async function readBackground(run: RunResult, options: ReportOptions, context: CliContext): Promise<Background> {
  const database = databaseLocation(options, context);
  return {
    ...(options.against.length === 0 ? {} : { against: await readEarlierRun(options, context) }),
    ...(database === undefined ? {} : { history: await historyFor(run, database) }),
  };
}

async function readEarlierRun(options: ReportOptions, context: CliContext): Promise<RunResult> {
  const { run, errors } = await readReport({
    inputs: options.against,
    format: options.format === 'auto' ? undefined : options.format,
    environment: options.environment,
    title: options.against.length === 1 ? options.against[0] : undefined,
    outputs: [],
    stdin: stdinBytes(context.stdin),
    signal: context.signal,
    toolVersion: VERSION,
    runId: 'against',
    now: new Date(),
    onError: () => undefined,
  });
  // Half of an earlier run would make the other half look new.
  if (errors[0] !== undefined) throw errors[0];
  return run;
}

function databaseLocation({ database }: ReportOptions, context: CliContext): string | undefined {
  return database === undefined ? undefined : locationOf(database, context.cwd);
}

async function* stdinBytes(stdin: NodeJS.ReadableStream): AsyncGenerator<Uint8Array> {
  for await (const piece of stdin) yield typeof piece === 'string' ? Buffer.from(piece) : piece;
}
