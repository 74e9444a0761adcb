import type { CommandEntry } from './command.js';

/** Every top-level command, in the order of `mk-ci --help`. A module is loaded when its command is called. */
export const COMMANDS: readonly CommandEntry[] = [
  { name: 'cluster', summary: 'start, stop and look at named clusters', load: () => import('./cluster.js') },
  { name: 'doctor', summary: 'what works on this host, per driver', load: () => import('./doctor.js') },
  { name: 'gc', summary: 'find and remove what dead runs left', load: () => import('./gc.js') },
];
