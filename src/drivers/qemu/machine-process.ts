import { readFile, rm } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';

import { MkCiError, isMkCiError } from '../../errors.js';
import { lastLines, type Exec } from '../../exec.js';
import { writeFileAtomically } from '../../files.js';
import {
  formatIdentity,
  identifyProcess,
  isAlive,
  listLabelledProcesses,
  parseIdentity,
  signalProcess,
  type Labels,
  type ProcessIdentity,
} from '../../process.js';
import type { MachineState } from '../driver.js';
import { machineArguments, type MachinePlan } from './arguments.js';
import type { MachinePaths } from './machine-folder.js';
import { connectQmp } from './qmp.js';

/** Labels of a QEMU process beside those of its machine: which machine it is, and whose folder it uses. */
const NAME_LABEL = 'mk-ci.machine';
const FOLDER_LABEL = 'mk-ci.machine-folder';

/** Starting QEMU, not the guest. Loading gigabytes of a snapshot is part of it. */
const LAUNCH_MS = 60_000;
const QUIT_MS = 5000;

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

/**
 * Starts QEMU in the background. When this returns it runs, with a monitor.
 *
 * @throws {MkCiError} `HOST_MISSING_TOOL`, `HOST_RESOURCES` without memory, `DRV_FAILED` with QEMU's words
 */
export async function launchMachine(
  plan: MachinePlan,
  options: {
    readonly exec: Exec;
    readonly paths: MachinePaths;
    readonly machinesFolder: string;
    readonly labels: Labels;
    readonly signal: AbortSignal;
  },
): Promise<ProcessIdentity> {
  const { exec, paths, machinesFolder, labels, signal } = options;
  await rm(paths.qmpSocket, { force: true });
  await rm(paths.pidFile, { force: true });
  try {
    await exec(machineArguments(plan), {
      labels: { ...labels, [NAME_LABEL]: plan.name, [FOLDER_LABEL]: machinesFolder },
      timeoutMs: LAUNCH_MS,
      signal,
    });
  } catch (error) {
    throw launchError(plan, error);
  }
  const pid = Number((await readFile(paths.pidFile, 'utf8').catch(() => '')).trim());
  const identity = pid > 1 ? identifyProcess(pid) : undefined;
  if (identity === undefined) {
    throw new MkCiError('DRV_FAILED', { message: `QEMU of ${plan.name} ended as soon as it ran` });
  }
  await writeFileAtomically(paths.process, `${formatIdentity(identity)}\n`, { mode: 0o600 });
  return identity;
}

function launchError(plan: MachinePlan, error: unknown): unknown {
  if (!isMkCiError(error, 'HOST_COMMAND_FAILED')) return error;
  const output = typeof error.details['output'] === 'string' ? error.details['output'] : '';
  const said = (lastLines(output, 1)[0] ?? error.message).replace(/^qemu-system-\S+: /, '');
  const isMemory = /cannot (?:set up guest memory|allocate memory)/i.test(output);
  return new MkCiError(isMemory ? 'HOST_RESOURCES' : 'DRV_FAILED', {
    message: `QEMU does not start ${plan.name}: ${said}`,
    cause: error,
    details: { output },
  });
}

/** Ends a machine at once: asked by its monitor, then by force. */
export async function endMachine(identity: ProcessIdentity, paths: MachinePaths): Promise<void> {
  try {
    using qmp = await connectQmp(paths.qmpSocket, { timeoutMs: QUIT_MS });
    await qmp.execute('quit', undefined, { timeoutMs: QUIT_MS }).catch(() => undefined); // it may end before it answers
  } catch {
    // no monitor any more: by force, then
  }
  if (await hasEnded(identity, QUIT_MS, undefined)) return;
  signalProcess(identity, 'SIGKILL');
  if (!(await hasEnded(identity, QUIT_MS, undefined))) {
    throw new MkCiError('DRV_FAILED', { message: `QEMU (process ${identity.pid}) can not be ended` });
  }
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

/** State of a machine that has a process, from what its monitor says. Pure. @see QEMU's `RunState` */
export function stateOfRun(status: string): MachineState {
  switch (status) {
    case 'paused':
    case 'suspended':
      return 'paused';
    case 'guest-panicked':
    case 'internal-error':
    case 'io-error':
    case 'shutdown':
    case 'watchdog':
      return 'broken';
    default:
      return 'running';
  }
}

/** Asks the monitor. One that is busy, as while it saves a snapshot, belongs to a machine that runs. */
export async function readRunState(paths: MachinePaths, signal: AbortSignal): Promise<MachineState> {
  try {
    using qmp = await connectQmp(paths.qmpSocket, { signal });
    const answer = await qmp.execute('query-status', undefined, { signal });
    const isStatus = typeof answer === 'object' && answer !== null && 'status' in answer;
    return stateOfRun(isStatus ? String(answer.status) : '');
  } catch {
    signal.throwIfAborted();
    return 'running';
  }
}
