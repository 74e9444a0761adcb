import type { CommandEntry } from './command.js';

/** Every top-level command, in the order of `mk-ci --help`. A module is loaded when its command is called. */
export const COMMANDS: readonly CommandEntry[] = [
  { name: 'run', summary: 'run suites on every environment', load: () => import('./run.js') },
  { name: 'cluster', summary: 'start, stop and look at named clusters', load: () => import('./cluster.js') },
  { name: 'report', summary: 'read run folders and test outputs, write reports', load: () => import('./report.js') },
  { name: 'flake', summary: 'history of every test: rates, evidence, verdicts', load: () => import('./flake.js') },
  { name: 'serve', summary: 'dashboard and API of the flake database', load: () => import('./serve.js') },
  { name: 'matrix', summary: 'spread the cells of a run over machines', load: () => import('./matrix.js') },
  { name: 'merge', summary: 'join the run folders of several machines', load: () => import('./merge.js') },
  { name: 'github', summary: 'comment, issues, check and summary on GitHub', load: () => import('./github.js') },
  { name: 'bundle', summary: 'programs that clusters run from: get, list, check', load: () => import('./bundle.js') },
  {
    name: 'node-image',
    summary: 'image of cluster nodes for docker and podman: build, list',
    load: () => import('./node-image.js'),
  },
  {
    name: 'engine-image',
    summary: 'image of the pods of run --engine=kubernetes',
    load: () => import('./engine-image.js'),
  },
  { name: 'doctor', summary: 'what works on this host, per driver', load: () => import('./doctor.js') },
  { name: 'gc', summary: 'find and remove what dead runs left', load: () => import('./gc.js') },
  { name: 'init', summary: 'write a commented mk-ci.yaml for this project', load: () => import('./init.js') },
];

/** Called by mk-ci itself in other places, not by people: no help lists them. */
export const INTERNAL_COMMANDS: readonly CommandEntry[] = [
  { name: 'engine-pod', summary: 'run one cell in a pod and send its results', load: () => import('./engine-pod.js') },
];
