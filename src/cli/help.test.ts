import { Command } from 'commander';
import { describe, expect, it } from 'vitest';

import type { CliContext } from './command.js';
import { COMMANDS } from './commands.js';

const never = (): never => {
  throw new Error('a help text needs nothing');
};
const context: CliContext = {
  env: {},
  cwd: '/',
  stdout: never,
  stderr: never,
  stdin: process.stdin,
  isTerminal: false,
  columns: 80,
  size: () => ({ columns: 80, rows: 24 }),
  color: false,
  log: { debug: never, info: never, warn: never, error: never },
  signal: new AbortController().signal,
  exit: never,
};

/** The command and all below it that do something themselves. */
function leavesOf(command: Command): Command[] {
  return command.commands.length === 0 ? [command] : command.commands.flatMap(leavesOf);
}

function helpOf(command: Command): string {
  let text = '';
  command.configureOutput({
    writeOut: (piece) => {
      text += piece;
    },
  });
  command.outputHelp();
  return text;
}

function pathOf(command: Command): string {
  return command.parent === null ? command.name() : `${pathOf(command.parent)} ${command.name()}`;
}

describe('the help of every command', () => {
  it.each(COMMANDS)(
    '$name',
    async ({ load }) => {
      const program = new Command('mk-ci').addCommand((await load()).build(context));
      for (const leaf of leavesOf(program)) {
        const text = helpOf(leaf);
        const path = pathOf(leaf);
        expect(leaf.description(), `${path} says what it does`).not.toBe('');
        const [, examples = ''] = text.split(/^Examples?\b.*:$/m);
        expect(examples, `an example of ${path}`).toContain(path);
      }
    },
    300_000, // Loading every command takes long on a busy host.
  );
});
