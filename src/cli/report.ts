import { createHash } from 'node:crypto';

import { Command, Option } from 'commander';

import { FORMATS, type Format } from '../results/index.js';
import { VERSION } from '../version.js';
import type { CliContext } from './command.js';
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
  for (const output of REPORT_OUTPUTS) command.option(`--${output.option} <file>`, output.description);
  command.addHelpText(
    'after',
    '\nWithout an output, the files of a run that was killed are completed in its folder.\n' +
      '\nExamples:\n  go test -json ./... | mk-ci report - --junit junit.xml --json\n  mk-ci report .mk-ci/runs/latest\n',
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
      outputs.push(await open(path, { signal: context.signal }));
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
      onError: (path, error) => {
        context.log.warn('an input was left out', { path, code: error.code, message: error.message });
      },
    });
    await context.stdout(
      options.json === true ? `${JSON.stringify(read.summary, null, 2)}\n` : formatReport(read.summary),
    );
    if (outputs.length === 0) await finishRuns(inputs, context);
    const [error] = read.errors;
    if (error !== undefined) context.exit(error.exitCode);
    else if (options.failOnFailed === true && read.hasFailed) context.exit(1);
  } finally {
    for (const output of outputs) await output[Symbol.asyncDispose]();
  }
}

async function* stdinBytes(stdin: NodeJS.ReadableStream): AsyncGenerator<Uint8Array> {
  for await (const piece of stdin) yield typeof piece === 'string' ? Buffer.from(piece) : piece;
}
