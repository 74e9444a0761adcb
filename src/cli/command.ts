import type { Command } from 'commander';

import type { Logger } from '../log.js';

/** What a command is given from outside; tests give their own. */
export interface CliContext {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
  /** Data: one piece of text, written as it is. Returns when the reader has taken it. */
  readonly stdout: (text: string) => Promise<void>;
  /** Everything for people. */
  readonly stderr: (text: string) => void;
  readonly stdin: NodeJS.ReadableStream;
  /** Whether standard error is a terminal: progress may redraw lines, else one plain line per phase. */
  readonly isTerminal: boolean;
  readonly columns: number;
  /** Of the terminal now; changes when its window is resized. */
  readonly size: () => { readonly columns: number; readonly rows: number };
  readonly color: boolean;
  readonly log: Logger;
  /** Aborted by the first SIGINT or SIGTERM; the reason is an {@link Interrupt}. The second one ends the process at once. */
  readonly signal: AbortSignal;
  /** Sets the exit code of an action that did its work, such as 1 for failed tests. */
  readonly exit: (code: number) => void;
}

/** Why `CliContext.signal` was aborted. */
export class Interrupt extends Error {
  override readonly name = 'Interrupt';
  readonly signalName: NodeJS.Signals;
  constructor(signalName: NodeJS.Signals) {
    super(`interrupted by ${signalName}`);
    this.signalName = signalName;
  }
}

/** A top-level command: `build` makes its commander tree and is loaded only when the command is called. */
export interface CommandModule {
  readonly build: (context: CliContext) => Command;
}

export interface CommandEntry {
  readonly name: string;
  readonly summary: string;
  readonly load: () => Promise<CommandModule>;
}
