import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, dirname, isAbsolute, normalize, sep } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

import type { Driver } from '../../drivers/driver.js';
import { MkCiError, messageOf } from '../../errors.js';
import { isAlive, signalProcess, type ProcessIdentity } from '../../process.js';
import type { Journal } from '../journal.js';
import type { GcAction } from './plan.js';

export interface ActOptions {
  readonly journal: Journal;
  readonly drivers: readonly Driver[];
  /** Removes what is noted under a name that is no driver's, such as the Job of a run on somebody's cluster. */
  readonly removers?: Readonly<Record<string, (name: string, signal: AbortSignal) => Promise<void>>>;
  /** Folders below these may be removed, and temporary folders of mk-ci; nothing else, whatever a note says. */
  readonly roots: readonly string[];
  /** @default os.tmpdir() */
  readonly temporaryFolder?: string;
  readonly signal: AbortSignal;
  /** From SIGTERM to SIGKILL. @default 5000 */
  readonly graceMs?: number;
}

export interface GcOutcome {
  readonly action: GcAction;
  /** What went wrong; absent when it is done. */
  readonly error?: string;
}

/**
 * Does what a plan says: first all processes at once, then what is left of them. One failure does not stop the rest.
 */
export async function actOnPlan(actions: readonly GcAction[], options: ActOptions): Promise<GcOutcome[]> {
  const ended = await endProcesses(actions, options);
  const outcomes: GcOutcome[] = [...ended];
  for (const action of actions) {
    if (action.kind === 'end-process') continue;
    options.signal.throwIfAborted();
    try {
      await actOne(action, options);
      outcomes.push({ action });
    } catch (error) {
      options.signal.throwIfAborted();
      outcomes.push({ action, error: messageOf(error) });
    }
  }
  return outcomes;
}

async function actOne(action: Exclude<GcAction, { kind: 'end-process' }>, options: ActOptions): Promise<void> {
  switch (action.kind) {
    case 'remove-resource': {
      const driver = options.drivers.find(({ info }) => info.name === action.driver);
      const remover = options.removers?.[action.driver];
      if (driver?.machines !== undefined) await driver.machines.remove(action.name, options.signal);
      else if (remover !== undefined) await remover(action.name, options.signal);
      else throw new MkCiError('DRV_UNKNOWN', { message: action.driver });
      for (const id of action.entryIds) await options.journal.done(id);
      break;
    }
    case 'remove-folder':
      if (!isOurs(action.path, options.roots, options.temporaryFolder ?? tmpdir())) {
        throw new MkCiError('HOST_PERMISSION', {
          message: `${action.path} lies outside the folders of mk-ci`,
          advice: 'Remove it by hand when it is not needed.',
        });
      }
      await rm(action.path, { recursive: true, force: true, maxRetries: 5, retryDelay: 50 });
      break;
    case 'release-port':
      await rm(action.path, { force: true });
      break;
    case 'forget':
      await options.journal.done(action.id);
      break;
  }
}

/** Strictly below one of the roots, or a `mk-ci-…` folder directly in the one for temporary files. */
export function isOurs(path: string, roots: readonly string[], temporaryFolder: string): boolean {
  if (!isAbsolute(path) || normalize(path) !== path) return false;
  if (dirname(path) === temporaryFolder && basename(path).startsWith('mk-ci-')) return true;
  return roots.some((root) => path.startsWith(`${root}${sep}`) && path.length > root.length + 1);
}

type EndAction = Extract<GcAction, { kind: 'end-process' }>;

async function endProcesses(actions: readonly GcAction[], options: ActOptions): Promise<GcOutcome[]> {
  const wanted = actions.filter((action): action is EndAction => action.kind === 'end-process');
  const refused = new Map<EndAction, string>();
  const send = (action: EndAction, signal: NodeJS.Signals): void => {
    try {
      signalProcess(action.identity, signal);
    } catch (error) {
      refused.set(action, messageOf(error)); // EPERM: of another user
    }
  };
  for (const action of wanted) {
    send(action, 'SIGTERM');
    send(action, 'SIGCONT'); // a frozen cluster acts on SIGTERM only once it continues
  }
  const mine = (): EndAction[] => wanted.filter((action) => !refused.has(action));
  if (!(await areGone(mine(), options.graceMs ?? 5000, options.signal))) {
    for (const action of mine()) send(action, 'SIGKILL');
    await areGone(mine(), 2000, options.signal);
  }
  return wanted.map((action) => {
    const error = refused.get(action) ?? (isAlive(action.identity) ? 'it is still there after SIGKILL' : undefined);
    return { action, ...(error === undefined ? {} : { error }) };
  });
}

async function areGone(
  actions: readonly { readonly identity: ProcessIdentity }[],
  withinMs: number,
  signal: AbortSignal,
): Promise<boolean> {
  const deadline = performance.now() + withinMs;
  for (;;) {
    if (actions.every(({ identity }) => !isAlive(identity))) return true;
    if (performance.now() >= deadline) return false;
    await delay(20, undefined, { signal });
  }
}
