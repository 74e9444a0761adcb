import type { CommandEntry } from './command.js';

/** Every top-level command, in the order of `mk-ci --help`. A module is loaded when its command is called. */
export const COMMANDS: readonly CommandEntry[] = [
  {
    name: 'flake',
    summary: 'history of every test: rates, evidence, verdicts',
    load: async () => await import('./flake.js'),
  },
];
