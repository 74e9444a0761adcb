import { spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { open, readFile } from 'node:fs/promises';
import { Socket } from 'node:net';
import { join } from 'node:path';
import type { Writable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

import { MkCiError, hostErrorOf, systemErrorCode } from '../../errors.js';
import { lastLines } from '../../exec.js';
import {
  LABEL_VARIABLE,
  formatLabels,
  identifyProcess,
  identifySelf,
  isAlive,
  listLabelledProcesses,
  signalGroup,
  signalProcess,
  type Labels,
  type ProcessIdentity,
} from '../../process.js';
import type { ClusterFolder } from '../folder.js';
import { parseSupervisorState, type SupervisedComponent, type SupervisorState } from '../supervisor/state.js';

export interface LaunchOptions {
  readonly paths: ClusterFolder;
  readonly labels: Labels;
  /** Ends when this process does. */
  readonly isTied: boolean;
  /** Compiled `supervisor-main.js`. */
  readonly entry: string;
}

/** The compiled supervisor beside this file; tests that run from sources name the one in `dist/`. */
export const SUPERVISOR_ENTRY = fileURLToPath(new URL('../supervisor-main.js', import.meta.url));

/**
 * Starts the supervisor in a session of its own. Returns at once; its state file tells the rest.
 *
 * @throws {MkCiError} `HOST_MISSING_TOOL`, `HOST_PERMISSION`, `HOST_DISK_FULL`
 */
export async function launchSupervisor({ paths, labels, isTied, entry }: LaunchOptions): Promise<ProcessIdentity> {
  const logFile = join(paths.logs, 'supervisor.log');
  let log: number;
  try {
    log = openSync(logFile, 'a', 0o600);
  } catch (error) {
    throw hostErrorOf(error, logFile) ?? error;
  }
  // Options for this process, such as a debugger's port, are not for the supervisor.
  const { NODE_OPTIONS: _options, ...env } = process.env;
  const child = spawn(process.execPath, [entry, paths.plan, ...(isTied ? ['tied'] : [])], {
    detached: true,
    cwd: '/',
    stdio: [isTied ? 'pipe' : 'ignore', log, log],
    env: { ...env, [LABEL_VARIABLE]: formatLabels(labels) },
  });
  closeSync(log);
  await new Promise<void>((resolve, reject) => {
    child.once('spawn', resolve);
    child.once('error', (error) => {
      reject(new MkCiError('HOST_MISSING_TOOL', { message: process.execPath, cause: error }));
    });
  });
  child.unref();
  if (child.stdin !== null) {
    // The supervisor may end before us: writing is never tried, but the pipe tells of it all the same.
    child.stdin.on('error', () => undefined);
    unrefStream(child.stdin);
  }
  const pid = child.pid ?? 0;
  return identifyProcess(pid) ?? { pid, startedAt: '' };
}

/** @returns `undefined` before the supervisor has written its first state */
export async function readSupervisorState(paths: ClusterFolder): Promise<SupervisorState | undefined> {
  try {
    return parseSupervisorState(await readFile(paths.supervisorState, 'utf8'));
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return undefined;
    throw hostErrorOf(error, paths.supervisorState) ?? error;
  }
}

/**
 * Ends supervisor and components: asks the supervisor, which ends them in reverse order; when there is none, or it takes
 * longer than `timeoutMs`, everything that belongs to the folder is killed. Returns when all of it is gone.
 */
export async function endSupervised(paths: ClusterFolder, timeoutMs: number): Promise<void> {
  const state = await readSupervisorState(paths);
  if (state !== undefined && signalProcess(state.supervisor, 'SIGTERM')) {
    signalProcess(state.supervisor, 'SIGCONT');
    const deadline = performance.now() + timeoutMs;
    while (isAlive(state.supervisor) && performance.now() < deadline) await delay(10);
  }
  for (let tries = 0; tries < 200; tries += 1) {
    const left = findProcesses(paths, state);
    if (left.length === 0) return;
    // Each leads a group of its own; the supervisor first, or it would start again what is killed.
    for (const identity of left) if (isAlive(identity)) signalGroup(identity.pid, 'SIGKILL');
    await delay(10);
  }
  throw new MkCiError('DRV_FAILED', {
    message: `processes of ${paths.folder} can not be ended: ${findProcesses(paths, state)
      .map(({ pid }) => pid)
      .join(', ')}`,
  });
}

/** Living processes of the cluster, the supervisor first: by label, and by what the supervisor wrote where labels can not be read. */
export function findProcesses(paths: ClusterFolder, state: SupervisorState | undefined): ProcessIdentity[] {
  const self = identifySelf();
  const labelled = listLabelledProcesses()
    .filter((process) => process.labels['folder'] === paths.folder && process.group === process.pid)
    .sort((left, right) => rank(left.labels) - rank(right.labels));
  const written =
    state === undefined ? [] : [state.supervisor, ...state.components.flatMap((component) => component.process ?? [])];
  const found = new Map<number, ProcessIdentity>();
  for (const { pid, startedAt } of [...labelled, ...written]) {
    if (pid !== self.pid && isAlive({ pid, startedAt })) found.set(pid, { pid, startedAt });
  }
  return [...found.values()];
}

/**
 * Stops the components where they are, those that ask before those that answer, so that nobody sees half an answer.
 * The supervisor itself goes on: it does nothing until a component ends, and must hear the end of its run.
 */
export function pauseComponents(components: readonly SupervisedComponent[]): void {
  for (const { process } of components.toReversed()) if (process !== undefined) signalIfAlive(process, 'SIGSTOP');
}

/** Continues them in the order of their start. */
export function unpauseComponents(components: readonly SupervisedComponent[]): void {
  for (const { process } of components) if (process !== undefined) signalIfAlive(process, 'SIGCONT');
}

/** Last lines of a component's log, at most 64 KiB of it; empty when there is none. */
export async function readLogTail(paths: ClusterFolder, component: string, count: number): Promise<string[]> {
  try {
    await using file = await open(join(paths.logs, `${component}.log`), 'r');
    const { size } = await file.stat();
    const length = Math.min(size, 65_536);
    const { buffer } = await file.read(Buffer.alloc(length), 0, length, size - length);
    return lastLines(buffer.toString('utf8'), count).map((line) => line.slice(0, 500));
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return [];
    throw error;
  }
}

function rank(labels: Labels): number {
  return labels['role'] === 'supervisor' ? 0 : 1;
}

function signalIfAlive(identity: ProcessIdentity, signal: NodeJS.Signals): void {
  if (isAlive(identity)) signalGroup(identity.pid, signal);
}

/** A pipe to a child is a socket, which can be kept from holding this process alive. */
function unrefStream(stream: Writable): void {
  if (stream instanceof Socket) stream.unref();
}
