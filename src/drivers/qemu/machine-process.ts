import { readFile, rm } from 'node:fs/promises';

import { MkCiError, isMkCiError } from '../../errors.js';
import { lastLines, type Exec } from '../../exec.js';
import { identifyProcess, signalProcess, type Labels, type ProcessIdentity } from '../../process.js';
import type { MachineState } from '../driver.js';
import { machineArguments, type MachinePlan } from './arguments.js';
import { hasEnded, noteProcess, processLabels, type MachinePaths } from '../vm/index.js';
import { connectQmp } from './qmp.js';

/** Starting QEMU, not the guest. Loading gigabytes of a snapshot is part of it. */
const LAUNCH_MS = 60_000;
const QUIT_MS = 5000;

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
  for (const path of [paths.monitorSocket, paths.clockSocket, paths.pidFile]) await rm(path, { force: true });
  try {
    await exec(machineArguments(plan), {
      labels: processLabels(machinesFolder, plan.name, labels),
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
  await noteProcess(paths, identity);
  return identity;
}

/** What QEMU says of a disk, or of what is below it, that is not as it was written. */
const DAMAGED_DISK =
  /not in qcow2 format|image is corrupt|corrupted|could not open backing file|(?:l1|l2|refcount|snapshot) table|unsupported qcow2 version/i;

const BRIDGE_ADVICE =
  'The bridge has to exist, and /etc/qemu/bridge.conf to have a line "allow" with its name; for others than root, qemu-bridge-helper has to be setuid root.';

/** The error of a start that failed, from QEMU's words. Pure. */
export function launchError(plan: Pick<MachinePlan, 'name' | 'disk'>, error: unknown): unknown {
  if (!isMkCiError(error, 'HOST_COMMAND_FAILED')) return error;
  const output = typeof error.details['output'] === 'string' ? error.details['output'] : '';
  const said = (lastLines(output, 1)[0] ?? error.message).replace(/^qemu-system-\S+: /, '');
  if (DAMAGED_DISK.test(output)) {
    return new MkCiError('DRV_FAILED', {
      message: `the disk of ${plan.name} is damaged: ${said}`,
      advice: `Look at it with qemu-img check ${plan.disk}; delete the cluster (mk-ci cluster delete) and start it again.`,
      cause: error,
      details: { output },
    });
  }
  const bridge = /(?:^|\n)([^\n]*)\n[^\n]*bridge helper failed/.exec(output.trim());
  if (bridge !== null) {
    return new MkCiError('DRV_FAILED', {
      message: `QEMU can not put ${plan.name} on the bridge: ${bridge[1] ?? said}`,
      advice: BRIDGE_ADVICE,
      cause: error,
      details: { output },
    });
  }
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
    using qmp = await connectQmp(paths.monitorSocket, { timeoutMs: QUIT_MS });
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
export async function readRunState(paths: MachinePaths, signal?: AbortSignal): Promise<MachineState> {
  try {
    using qmp = await connectQmp(paths.monitorSocket, { signal });
    const answer = await qmp.execute('query-status', undefined, { signal });
    const isStatus = typeof answer === 'object' && answer !== null && 'status' in answer;
    return stateOfRun(isStatus ? String(answer.status) : '');
  } catch {
    signal?.throwIfAborted();
    return 'running';
  }
}
