import { Readable } from 'node:stream';

import type { Command } from 'commander';

import { isMkCiError } from '../errors.js';
import { createLogger } from '../log.js';
import type { CliContext, CommandModule } from './command.js';

/** What a command did to the outside. */
export interface Observed {
  stdout: string;
  /** Text for people, then lines of the log, as they came. */
  stderr: string;
  logged: readonly string[];
  exitCode: number;
}

/** A context that nobody else sees, in a folder. */
export function createTestContext(
  cwd: string,
  { env = {}, stdin = '' }: { readonly env?: CliContext['env']; readonly stdin?: string } = {},
): { readonly context: CliContext; readonly observed: Observed } {
  const logged: string[] = [];
  const observed: Observed = { stdout: '', stderr: '', logged, exitCode: 0 };
  const context: CliContext = {
    env,
    cwd,
    stdout: async (text) => {
      observed.stdout += text;
    },
    stderr: (text) => {
      observed.stderr += text;
    },
    stdin: Readable.from(stdin === '' ? [] : [Buffer.from(stdin)]),
    isTerminal: false,
    columns: 80,
    size: () => ({ columns: 80, rows: 24 }),
    color: false,
    log: createLogger({
      write: (line) => {
        logged.push(line);
        observed.stderr += line;
      },
    }),
    signal: new AbortController().signal,
    exit: (code) => {
      observed.exitCode = code;
    },
  };
  return { context, observed };
}

/** Calls a command as the command line would. @returns also `code`, of the error that ended it, or that error itself */
export async function callCommand(
  build: CommandModule['build'],
  args: readonly string[],
  { context, observed }: ReturnType<typeof createTestContext>,
): Promise<Observed & { readonly error: unknown; readonly code: unknown }> {
  const command = build(context);
  for (const each of withChildren(command)) each.exitOverride().configureOutput({ writeErr: () => undefined });
  try {
    await command.parseAsync([...args], { from: 'user' });
    return { ...observed, error: undefined, code: undefined };
  } catch (error) {
    return { ...observed, error, code: isMkCiError(error) ? error.code : error };
  }
}

function withChildren(command: Command): Command[] {
  return [command, ...command.commands.flatMap(withChildren)];
}
