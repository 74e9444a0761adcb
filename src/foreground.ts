import { spawn } from 'node:child_process';

import { MkCiError } from './errors.js';
import type { Argv } from './exec.js';
import { exitCodeOfSignal } from './process.js';

export interface ForegroundOptions {
  readonly cwd?: string;
  /** The whole environment of the child. @default process.env */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Ends the command when aborted. */
  readonly signal?: AbortSignal | undefined;
  /** What the command gets when `signal` is aborted. @default SIGTERM */
  readonly killSignal?: () => NodeJS.Signals;
}

/**
 * Runs a command with the streams of this process and in its process group, so that it reads our standard input, sees our
 * terminal and gets the interrupts of that by itself.
 *
 * @returns its exit code; 128 + n when signal n ended it
 * @throws {MkCiError} `HOST_MISSING_TOOL`
 */
export async function runInForeground([program, ...args]: Argv, options: ForegroundOptions = {}): Promise<number> {
  const { cwd, env = process.env, signal, killSignal = () => 'SIGTERM' } = options;
  signal?.throwIfAborted();
  const child = spawn(program, args, { ...(cwd === undefined ? {} : { cwd }), stdio: 'inherit', env: { ...env } });
  const passOn = (): void => {
    child.kill(killSignal());
  };
  signal?.addEventListener('abort', passOn, { once: true });
  try {
    return await new Promise<number>((resolve, reject) => {
      child.once('error', (error) => {
        reject(new MkCiError('HOST_MISSING_TOOL', { message: program, cause: error }));
      });
      child.once('close', (exitCode, endedBy) => {
        resolve(endedBy === null ? (exitCode ?? 1) : exitCodeOfSignal(endedBy));
      });
    });
  } finally {
    signal?.removeEventListener('abort', passOn);
  }
}
