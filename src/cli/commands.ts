import type { CommandEntry } from './command.js';

/** Every top-level command, in the order of `mk-ci --help`. A module is loaded when its command is called. */
export const COMMANDS: readonly CommandEntry[] = [
  { name: 'report', summary: 'Read run folders and test outputs, write reports', load: () => import('./report.js') },
  { name: 'flake', summary: 'History of every test: rates, evidence, verdicts', load: () => import('./flake.js') },
];
