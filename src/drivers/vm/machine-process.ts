import { readFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';

import { writeFileAtomically } from '../../files.js';
import {
  formatIdentity,
  isAlive,
  listLabelledProcesses,
  parseIdentity,
  type Labels,
  type ProcessIdentity,
} from '../../process.js';
import type { MachinePaths } from './machine-folder.js';

/** Machines that are a process of this host. */

/** Labels of the process of a machine beside those of its machine: which machine it is, and whose folder it uses. */
const NAME_LABEL = 'mk-ci.machine';
const FOLDER_LABEL = 'mk-ci.machine-folder';

/** Labels with which the process of a machine is started. */
export function processLabels(machinesFolder: string, name: string, labels: Labels): Labels {
  return { ...labels, [NAME_LABEL]: name, [FOLDER_LABEL]: machinesFolder };
}

/** Writes down which process a machine is. */
export async function noteProcess(paths: Pick<MachinePaths, 'process'>, identity: ProcessIdentity): Promise<void> {
  await writeFileAtomically(paths.process, `${formatIdentity(identity)}\n`, { mode: 0o600 });
}

/** Machines of a folder that have a process, with the labels that it carries. Without files of ours. */
export function listMachineProcesses(
  machinesFolder: string,
): { readonly name: string; readonly labels: Labels; readonly identity: ProcessIdentity }[] {
  return listLabelledProcesses().flatMap(({ labels, pid, startedAt }) => {
    const { [NAME_LABEL]: name, [FOLDER_LABEL]: folder, ...own } = labels;
    return name === undefined || folder !== machinesFolder ? [] : [{ name, labels: own, identity: { pid, startedAt } }];
  });
}

/** The process of a machine: as noted when it was started, else by its labels. */
export async function findMachineProcess(
  machinesFolder: string,
  name: string,
  paths: MachinePaths,
): Promise<ProcessIdentity | undefined> {
  const noted = parseIdentity((await readFile(paths.process, 'utf8').catch(() => '')).trim());
  if (noted !== undefined && isAlive(noted)) return noted;
  return listMachineProcesses(machinesFolder).find((found) => found.name === name)?.identity;
}

/** Waits for the end of a process. @returns whether it came in time */
export async function hasEnded(
  identity: ProcessIdentity,
  limitMs: number,
  signal: AbortSignal | undefined,
): Promise<boolean> {
  const deadline = performance.now() + limitMs;
  while (isAlive(identity)) {
    if (performance.now() >= deadline) return false;
    await delay(50, undefined, signal === undefined ? {} : { signal });
  }
  return true;
}
