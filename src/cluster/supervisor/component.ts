import { spawn, spawnSync } from 'node:child_process';
import { closeSync, copyFileSync, openSync, statSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

import { messageOf, systemErrorCode } from '../../errors.js';
import { LABEL_VARIABLE, formatLabels, identifyProcess, signalGroup, type ProcessIdentity } from '../../process.js';
import type { ComponentPlan } from './plan.js';

/** A started component, leader of a process group of its own. */
export interface Component {
  readonly identity: ProcessIdentity;
  /** Settles with `exit code 1` or `ended by SIGKILL`; never rejects. */
  readonly exited: Promise<string>;
}

/**
 * Starts a component with its output appended to `<logs>/<name>.log`. The file is handed to the process itself: what it
 * wrote last is there whatever happens to the supervisor, and no byte of it passes through here.
 *
 * @param parentDeath argv in front of the program that makes the kernel kill it together with the supervisor
 * @throws {Error} when the program can not be started
 */
export async function startComponent(
  plan: ComponentPlan,
  logsFolder: string,
  parentDeath: readonly string[],
): Promise<Component> {
  const log = openSync(logPath(logsFolder, plan.name), 'a', 0o600);
  const [program, ...args] = [...parentDeath, ...plan.argv];
  const child = spawn(program ?? plan.argv[0], args, {
    detached: true,
    stdio: ['ignore', log, log],
    env: { ...plan.environment, ...process.env, [LABEL_VARIABLE]: formatLabels(plan.labels) },
  });
  closeSync(log);
  const exited = new Promise<string>((resolve) => {
    child.once('exit', (code, signal) => {
      resolve(signal === null ? `exit code ${code ?? 'unknown'}` : `ended by ${signal}`);
    });
  });
  await new Promise<void>((resolve, reject) => {
    child.once('spawn', resolve);
    child.once('error', (error) => {
      reject(new Error(`${plan.argv[0]}: ${messageOf(error)}`));
    });
  });
  const pid = child.pid ?? 0;
  return { identity: identifyProcess(pid) ?? { pid, startedAt: '' }, exited };
}

/** SIGTERM to the group, SIGKILL after `stopTimeoutMs`; returns when the process is gone. */
export async function endComponent(component: Component, stopTimeoutMs: number): Promise<void> {
  const { pid } = component.identity;
  signalGroup(pid, 'SIGTERM');
  signalGroup(pid, 'SIGCONT'); // a paused process acts on SIGTERM only once it continues
  const limit = new AbortController();
  const gone = await Promise.race([
    component.exited.then(() => true),
    delay(stopTimeoutMs, false, { signal: limit.signal }).catch(() => false),
  ]);
  limit.abort();
  signalGroup(pid, 'SIGKILL'); // also children that are left of a group whose leader ended
  if (!gone) await component.exited;
}

/**
 * `setpriv --pdeathsig KILL --` where it works: it is in util-linux; other programs of that name do not know the option.
 */
export function findParentDeathCommand(): readonly string[] {
  if (process.platform !== 'linux') return [];
  const command = ['setpriv', '--pdeathsig', 'KILL', '--'] as const;
  const check = spawnSync(command[0], [...command.slice(1), 'true'], { stdio: 'ignore', timeout: 5000 });
  return check.status === 0 ? command : [];
}

export function logPath(logsFolder: string, name: string): string {
  return join(logsFolder, `${name}.log`);
}

/**
 * Bounds a log that another process holds open for appending: its content is copied to `.1` and the file is emptied. Lines
 * written between the two steps are lost; they are at most some milliseconds' worth.
 */
export function rotateLog(logsFolder: string, name: string, maxBytes: number): void {
  const path = logPath(logsFolder, name);
  try {
    if (statSync(path).size < maxBytes) return;
    copyFileSync(path, `${path}.1`);
    truncateSync(path, 0);
  } catch (error) {
    if (systemErrorCode(error) === 'ENOSPC')
      truncateSync(path, 0); // a running cluster is worth more than its old log
    else if (systemErrorCode(error) !== 'ENOENT') throw error;
  }
}
