import { Command, CommanderError } from 'commander';

import { Interrupt, type CliContext } from './cli/command.js';
import { COMMANDS, INTERNAL_COMMANDS } from './cli/commands.js';
import { printError } from './cli/print-error.js';
import { MkCiError, systemErrorCode } from './errors.js';
import { createLogger } from './log.js';
import { exitCodeOfSignal } from './process.js';
import { VERSION } from './version.js';

/**
 * The program. It makes the context that commands work in, loads the one command that was called, and is the only place
 * that sets the exit code.
 */
async function main(): Promise<void> {
  const verbose = process.argv.includes('--verbose') || process.env['MK_CI_DEBUG'] === '1';
  const interrupts = new AbortController();
  catchSignals(interrupts);
  outliveReaders(interrupts);

  const stderr = (text: string): void => {
    process.stderr.write(text);
  };
  const context: CliContext = {
    env: process.env,
    cwd: process.cwd(),
    stdout: writeToStdout,
    stderr,
    stdin: process.stdin,
    isTerminal: process.stderr.isTTY && process.env['TERM'] !== 'dumb' && !process.env['CI'],
    columns: process.stderr.columns || 80,
    size: () => ({ columns: process.stderr.columns || 80, rows: process.stderr.rows || 24 }),
    color: process.stderr.isTTY && !process.env['NO_COLOR'],
    log: createLogger({
      write: (line) => {
        stderr(`${line}\n`);
      },
      level: verbose ? 'debug' : 'info',
    }),
    signal: interrupts.signal,
    exit: (code) => {
      process.exitCode = code;
    },
  };

  try {
    await run(process.argv.slice(2), context);
    if (interrupts.signal.aborted) process.exitCode = exitCodeOfInterrupt(interrupts.signal);
  } catch (error) {
    if (error instanceof CommanderError) {
      // Help and version come as errors with exit code 0; commander has printed everything.
      process.exitCode = error.exitCode === 0 ? 0 : new MkCiError('CLI_USAGE').exitCode;
    } else if (interrupts.signal.aborted) {
      process.exitCode = exitCodeOfInterrupt(interrupts.signal);
      if (!(error instanceof Interrupt)) printError(error, context, verbose);
    } else {
      process.exitCode = printError(error, context, verbose);
    }
  }
}

async function run(args: readonly string[], context: CliContext): Promise<void> {
  const program = new Command('mk-ci')
    .description('Kubernetes integration tests on many cluster drivers and container runtimes')
    .version(VERSION, '-V, --version', 'print the version')
    .option('--verbose', 'log what is done and show the origin of errors')
    .showHelpAfterError('(run with --help for usage)')
    .configureHelp({ showGlobalOptions: true });
  const name = args.find((arg) => !arg.startsWith('-'));
  const wanted = name === 'help' ? args.filter((arg) => !arg.startsWith('-'))[1] : name;
  const internal = INTERNAL_COMMANDS.filter((command) => command.name === wanted);
  const commands = [...COMMANDS, ...internal];
  const entry = commands.find((command) => command.name === wanted);
  for (const command of commands) {
    if (command === entry) program.addCommand((await command.load()).build(context));
    else program.command(command.name).description(command.summary);
  }
  if (wanted !== undefined && entry === undefined) {
    throw new MkCiError('CLI_UNKNOWN_COMMAND', {
      message: `'${wanted}'`,
      advice: `Known commands: ${COMMANDS.map((command) => command.name).join(', ')}.`,
    });
  }
  settle(program, context);
  if (args.length === 0) {
    program.outputHelp();
    return;
  }
  await program.parseAsync(args, { from: 'user' });
}

/** Makes commander throw instead of exiting and write through the context, down to the last subcommand. */
function settle(command: Command, context: CliContext): void {
  command.exitOverride().configureOutput({
    writeOut: (text) => void context.stdout(text),
    writeErr: context.stderr,
  });
  for (const child of command.commands) settle(child, context);
}

function exitCodeOfInterrupt(signal: AbortSignal): number {
  return signal.reason instanceof Interrupt ? exitCodeOfSignal(signal.reason.signalName) : 130;
}

function catchSignals(interrupts: AbortController): void {
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(name, () => {
      if (interrupts.signal.aborted) process.exit(exitCodeOfSignal(name));
      process.stderr.write(`\nmk-ci: ${name}: ending what runs and writing the report; once more to leave at once\n`);
      interrupts.abort(new Interrupt(name));
    });
  }
}

/**
 * What is left open when the reader of a pipe ends: without its messages a command goes to its end, without a reader of what it was
 * asked for it ends early, as by a signal, with everything it holds given back.
 */
function outliveReaders(interrupts: AbortController): void {
  const onClosed = (stream: NodeJS.WriteStream, act: () => void): void => {
    stream.on('error', (error) => {
      if (systemErrorCode(error) !== 'EPIPE') throw error;
      act();
    });
  };
  onClosed(process.stderr, () => undefined);
  onClosed(process.stdout, () => {
    interrupts.abort(new Interrupt('SIGPIPE'));
  });
}

async function writeToStdout(text: string): Promise<void> {
  await new Promise<void>((resolve) => {
    process.stdout.write(text, () => {
      resolve();
    });
  });
}

await main();
