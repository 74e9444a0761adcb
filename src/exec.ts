import type { Readable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';

import { execa } from 'execa';

import { MkCiError, messageOf, systemErrorCode } from './errors.js';
import { LABEL_VARIABLE, formatLabels, signalGroup, type Labels } from './process.js';

/** Program and arguments. There is no shell in between unless the program is one. */
export type Argv = readonly [string, ...string[]];

export interface ProcessOptions {
  readonly cwd?: string;
  /** The whole environment of the child. @default process.env */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Written into the environment as `MK_CI_LABELS`, so that `gc` can find the process. */
  readonly labels?: Labels;
  /** Ends the process group when aborted. */
  readonly signal?: AbortSignal | undefined;
  /** Time limit. Reaching it ends the process group. @default none */
  readonly timeoutMs?: number | undefined;
  /** From SIGTERM to SIGKILL. @default 5000 */
  readonly graceMs?: number;
  /** How long output that children still hold open is read after the process itself ended. @default 500 */
  readonly drainMs?: number;
  /** Text for standard input; without it standard input is empty. */
  readonly input?: string | Uint8Array;
}

/** How a process ended. Exactly one of `exitCode` and `signal` is set. */
export interface ProcessEnd {
  readonly exitCode: number | undefined;
  readonly signal: NodeJS.Signals | undefined;
  /** Ended by us because the time limit was reached. */
  readonly timedOut: boolean;
  /** Ended by us because the signal was aborted. */
  readonly aborted: boolean;
  /** Members of its process group were still there after it ended, and were ended. */
  readonly leftChildren: boolean;
  readonly durationMs: number;
}

/** A started process that leads a group of its own. */
export interface RunningProcess {
  readonly pid: number;
  readonly argv: Argv;
  readonly stdout: Readable;
  readonly stderr: Readable;
  /**
   * Settles when the process and its group are gone and both streams ended. Never rejects.
   * The streams must be read, or a full pipe holds the process up.
   */
  readonly ended: Promise<ProcessEnd>;
  /** SIGTERM to the group, SIGKILL after the grace time; done when it is gone. Idempotent. */
  end(): Promise<ProcessEnd>;
}

/**
 * Starts a program as leader of a new process group.
 *
 * Whatever way it ends, its group ends with it: children that outlive their parent get SIGTERM and SIGKILL, and pipes
 * that a daemon outside the group keeps open are closed after `drainMs`, so nothing hangs on them.
 *
 * @throws {MkCiError} `HOST_MISSING_TOOL` when the program is not there or not executable
 */
export async function startProcess(argv: Argv, options: ProcessOptions = {}): Promise<RunningProcess> {
  options.signal?.throwIfAborted();
  const { graceMs = 5000, drainMs = 500 } = options;
  const startedAt = performance.now();
  const env = { ...(options.env ?? process.env) };
  if (options.labels) env[LABEL_VARIABLE] = formatLabels(options.labels);
  const child = execa(argv[0], argv.slice(1), {
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    env,
    extendEnv: false,
    detached: true,
    cleanup: false,
    buffer: false,
    reject: false,
    stripFinalNewline: false,
    encoding: 'buffer',
    stdin: options.input === undefined ? 'ignore' : 'pipe',
    ...(options.input === undefined ? {} : { input: options.input }),
  });
  const { pid } = child;
  if (pid === undefined) {
    const failure = await child;
    throw startError(argv, failure.cause ?? failure);
  }

  let timedOut = false;
  let aborted = false;
  let ending: Promise<void> | undefined;
  const endGroup = (): Promise<void> => (ending ??= terminateGroup(pid, graceMs));

  const onAbort = (): void => {
    aborted = true;
    void endGroup();
  };
  options.signal?.addEventListener('abort', onAbort, { once: true });
  const timer =
    options.timeoutMs === undefined
      ? undefined
      : setTimeout(() => {
          timedOut = true;
          void endGroup();
        }, options.timeoutMs);

  const exited = new Promise<{ exitCode: number | undefined; signal: NodeJS.Signals | undefined }>((resolve) => {
    child.once('exit', (code, signal) => {
      resolve({ exitCode: code ?? undefined, signal: signal ?? undefined });
    });
  });

  const ended = (async (): Promise<ProcessEnd> => {
    const exit = await exited;
    clearTimeout(timer);
    options.signal?.removeEventListener('abort', onAbort);
    const leftChildren = ending === undefined && signalGroup(pid, 'SIGTERM');
    if (leftChildren) await endGroup();
    else await ending;
    await Promise.race([child.catch(() => undefined), delay(drainMs)]);
    child.stdout.destroy();
    child.stderr.destroy();
    return { ...exit, timedOut, aborted, leftChildren, durationMs: performance.now() - startedAt };
  })();

  return {
    pid,
    argv,
    stdout: child.stdout,
    stderr: child.stderr,
    ended,
    end: async () => {
      void endGroup();
      return await ended;
    },
  };
}

/** SIGTERM, then SIGKILL after `graceMs`; returns when the group is empty. */
async function terminateGroup(pid: number, graceMs: number): Promise<void> {
  const deadline = performance.now() + graceMs;
  if (!signalGroup(pid, 'SIGTERM')) return;
  // A stopped process acts on SIGTERM only once it continues.
  signalGroup(pid, 'SIGCONT');
  for (let pauseMs = 5; performance.now() < deadline; pauseMs = Math.min(pauseMs * 2, 100)) {
    await delay(pauseMs);
    if (!groupExists(pid)) return;
  }
  signalGroup(pid, 'SIGKILL');
  for (let tries = 0; tries < 100 && groupExists(pid); tries += 1) await delay(10);
}

function groupExists(pid: number): boolean {
  try {
    process.kill(-pid, 0);
    return true;
  } catch (error) {
    return systemErrorCode(error) !== 'ESRCH';
  }
}

export interface ExecOptions extends ProcessOptions {
  /** Return failures as values instead of throwing. @default false */
  readonly allowFailure?: boolean;
  /** Most bytes kept of each stream; older ones are dropped. @default 64 MiB */
  readonly maxBytes?: number;
  /** Called with each piece of output as it comes. */
  readonly onOutput?: (piece: string, stream: 'stdout' | 'stderr') => void;
}

export interface ExecResult extends ProcessEnd {
  readonly argv: Argv;
  readonly stdout: string;
  readonly stderr: string;
}

/**
 * Runs a command to its end. Most of mk-ci takes this as an argument and never starts a process by itself.
 *
 * @throws {MkCiError} `HOST_MISSING_TOOL`, `HOST_COMMAND_FAILED`, `HOST_COMMAND_TIMEOUT`, with argv, exit code or
 *   signal, duration and the last lines of output; the signal's reason when aborted
 */
export type Exec = (argv: Argv, options?: ExecOptions) => Promise<ExecResult>;

const DEFAULT_MAX_BYTES = 64 * 1024 * 1024;

export const exec: Exec = async (argv, options = {}) => {
  const running = await startProcess(argv, options);
  const maxBytes = options.maxBytes ?? DEFAULT_MAX_BYTES;
  const stdout = collect(running.stdout, maxBytes, (piece) => options.onOutput?.(piece, 'stdout'));
  const stderr = collect(running.stderr, maxBytes, (piece) => options.onOutput?.(piece, 'stderr'));
  const end = await running.ended;
  const result: ExecResult = { ...end, argv, stdout: stdout(), stderr: stderr() };
  if (end.aborted) options.signal?.throwIfAborted();
  if (options.allowFailure !== true && (end.timedOut || end.exitCode !== 0)) throw commandError(result, options);
  return result;
};

function collect(stream: Readable, maxBytes: number, onPiece: (piece: string) => void): () => string {
  const pieces: Buffer[] = [];
  let bytes = 0;
  const decoder = new TextDecoder();
  stream.on('data', (piece: Buffer) => {
    pieces.push(piece);
    bytes += piece.length;
    while (bytes > maxBytes && pieces.length > 1) bytes -= pieces.shift()?.length ?? 0;
    onPiece(decoder.decode(piece, { stream: true }));
  });
  return () => Buffer.concat(pieces).toString('utf8');
}

/** Shell-like form of a command for messages; not for running. */
export function formatArgv(argv: readonly string[]): string {
  return argv.map((part) => (/^[\w@%+=:,./-]+$/.test(part) ? part : `'${part.replaceAll("'", `'\\''`)}'`)).join(' ');
}

/** The last `count` lines of a text that are not blank. */
export function lastLines(text: string, count: number): string[] {
  return text
    .split(/\r?\n/)
    .filter((line) => line.trim() !== '')
    .slice(-count);
}

function commandError(result: ExecResult, options: ExecOptions): MkCiError {
  const tail = lastLines(result.stderr.trim() === '' ? result.stdout : result.stderr, 20);
  const outcome = result.timedOut
    ? `no end after ${((options.timeoutMs ?? 0) / 1000).toFixed(1)} s`
    : result.signal === undefined
      ? `exit code ${result.exitCode ?? 'unknown'}`
      : `ended by ${result.signal}`;
  const lastLine = tail.at(-1);
  return new MkCiError(result.timedOut ? 'HOST_COMMAND_TIMEOUT' : 'HOST_COMMAND_FAILED', {
    message: `${formatArgv(result.argv.slice(0, 6))}${result.argv.length > 6 ? ' …' : ''} (${outcome})${lastLine === undefined ? '' : `: ${lastLine.slice(0, 300)}`}`,
    details: {
      argv: result.argv,
      exitCode: result.exitCode,
      signal: result.signal,
      durationMs: Math.round(result.durationMs),
      output: tail.join('\n'),
    },
  });
}

function startError(argv: Argv, cause: unknown): MkCiError {
  const code = systemErrorCode(cause);
  const why = code === 'ENOENT' ? 'not found' : code === 'EACCES' ? 'not executable' : (code ?? messageOf(cause));
  return new MkCiError('HOST_MISSING_TOOL', {
    message: `${argv[0]} (${why})`,
    cause,
    details: { argv, systemCode: code },
  });
}
