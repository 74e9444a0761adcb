import { open, stat } from 'node:fs/promises';
import { PassThrough, type Readable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';

import { execa } from 'execa';

import { MkCiError, hostErrorOf, messageOf, systemErrorCode } from './errors.js';
import { LABEL_VARIABLE, formatLabels, groupIsAlive, signalGroup, type Labels } from './process.js';

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
  /** How long a pipe that something still holds open may be silent, after the group ended, before it is closed. @default 200 */
  readonly drainMs?: number;
  /** Text for standard input; without it standard input is empty. */
  readonly input?: string | Uint8Array;
  /** File of this host for standard input, in place of {@link input}. */
  readonly inputFile?: string;
}

/** A file that is read as standard input; it closes itself at its end. @throws what tells why it can not be read */
export async function openInput(path: string): Promise<Readable> {
  try {
    return (await open(path)).createReadStream();
  } catch (error) {
    throw hostErrorOf(error, path) ?? error;
  }
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
   * Settles when the process and its group are gone and all that they wrote is in the streams, which then end. Never
   * rejects. The streams must be read, or a full pipe holds the process up.
   */
  readonly ended: Promise<ProcessEnd>;
  /** SIGTERM to the group, SIGKILL after the grace time; done when it is gone. Idempotent. */
  end(): Promise<ProcessEnd>;
}

/**
 * Starts a program as leader of a new process group.
 *
 * Whatever way it ends, its group ends with it: children that outlive their parent get SIGTERM and SIGKILL. Everything
 * the group wrote is read; pipes that a daemon outside the group keeps open are then closed, so nothing hangs on them.
 *
 * @throws {MkCiError} `HOST_MISSING_TOOL` when the program is not there or not executable, `HOST_COMMAND_FAILED` when
 *   the working folder is not there, `HOST_PERMISSION` when the input file can not be read
 */
export async function startProcess(argv: Argv, options: ProcessOptions = {}): Promise<RunningProcess> {
  options.signal?.throwIfAborted();
  const { graceMs = 5000, drainMs = 200 } = options;
  const startedAt = performance.now();
  const env = { ...(options.env ?? process.env) };
  if (options.labels) env[LABEL_VARIABLE] = formatLabels(options.labels);
  const input = options.inputFile === undefined ? options.input : await openInput(options.inputFile);
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
    ...(input === undefined ? { stdin: 'ignore' } : { stdin: 'pipe', input }),
  });
  const { pid } = child;
  if (pid === undefined) {
    const failure = await child;
    throw (await workingFolderError(argv, options.cwd)) ?? startError(argv, failure.cause ?? failure);
  }
  const stdout = child.stdout.pipe(new PassThrough());
  const stderr = child.stderr.pipe(new PassThrough());

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
    const leftChildren = ending === undefined && groupIsAlive(pid);
    if (leftChildren) await endGroup();
    else await ending;
    await Promise.all([drain(child.stdout, stdout, drainMs), drain(child.stderr, stderr, drainMs)]);
    return { ...exit, timedOut, aborted, leftChildren, durationMs: performance.now() - startedAt };
  })();

  return {
    pid,
    argv,
    stdout,
    stderr,
    ended,
    end: async () => {
      void endGroup();
      return await ended;
    },
  };
}

/** More than a pipe can hold (`/proc/sys/fs/pipe-max-size`): what comes after it was not written by the group. */
const PIPE_BYTES = 1024 * 1024;

/** Time without waiting for the reader, in multiples of `silentMs`, in which a pipe that was full is read many times over. */
const FLOWING_LIMIT = 5;

/**
 * Reads on until all is read that the group wrote before it ended: the pipe ends, is silent for `silentMs`, has given
 * more than a pipe holds, or was read freely for `FLOWING_LIMIT` times `silentMs` (a daemon may write a little for ever). Then
 * closes it. A slow reader of `target` is waited for: what is in between is not lost.
 */
async function drain(
  source: Readable & { readonly bytesRead?: number },
  target: PassThrough,
  silentMs: number,
): Promise<void> {
  const bytesAtEnd = source.bytesRead ?? 0;
  let bytes = bytesAtEnd;
  let looked = performance.now();
  let quietMs = 0;
  let flowingMs = 0;
  const ended = new Promise<void>((resolve) => {
    source.once('end', resolve).once('close', resolve);
  });
  while (!source.readableEnded && !source.destroyed && !target.destroyed) {
    await Promise.race([ended, delay(5)]);
    // A host too busy to run this loop has not read either: a long gap counts as one short look.
    const sinceMs = Math.min(performance.now() - looked, 20);
    looked = performance.now();
    const read = source.bytesRead ?? 0;
    const isHeldUp = source.readableLength > 0 || target.writableNeedDrain;
    quietMs = isHeldUp || read !== bytes ? 0 : quietMs + sinceMs;
    bytes = read;
    if (isHeldUp) continue;
    flowingMs += sinceMs;
    if (read - bytesAtEnd > PIPE_BYTES || quietMs > silentMs || flowingMs > FLOWING_LIMIT * silentMs) break;
  }
  source.unpipe(target);
  source.destroy();
  target.end();
}

/** SIGTERM, then SIGKILL after `graceMs`; returns when the group is empty, or can not be ended by us. */
async function terminateGroup(pid: number, graceMs: number): Promise<void> {
  const deadline = performance.now() + graceMs;
  const send = (signal: NodeJS.Signals): boolean => {
    try {
      return signalGroup(pid, signal);
    } catch (error) {
      // A member that belongs to another user (sudo): the others got the signal.
      if (systemErrorCode(error) === 'EPERM') return true;
      throw error;
    }
  };
  if (!send('SIGTERM')) return;
  // A stopped process acts on SIGTERM only once it continues.
  send('SIGCONT');
  for (let pauseMs = 5; performance.now() < deadline; pauseMs = Math.min(pauseMs * 2, 100)) {
    await delay(pauseMs);
    if (!groupIsAlive(pid)) return;
  }
  send('SIGKILL');
  for (let tries = 0; tries < 100 && groupIsAlive(pid); tries += 1) await delay(10);
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
  const result: ExecResult = { ...end, argv, stdout: await stdout, stderr: await stderr };
  if (end.aborted) options.signal?.throwIfAborted();
  if (options.allowFailure !== true && (end.timedOut || end.exitCode !== 0)) throw commandError(result, options);
  return result;
};

/** The last `maxBytes` of a stream, when it has ended. */
async function collect(stream: Readable, maxBytes: number, onPiece: (piece: string) => void): Promise<string> {
  const pieces: Buffer[] = [];
  let bytes = 0;
  const decoder = new TextDecoder();
  for await (const piece of stream as AsyncIterable<Buffer>) {
    pieces.push(piece);
    bytes += piece.length;
    while (bytes > maxBytes && pieces.length > 1) bytes -= pieces.shift()?.length ?? 0;
    onPiece(decoder.decode(piece, { stream: true }));
  }
  return Buffer.concat(pieces).toString('utf8');
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

/** `HOST_COMMAND_FAILED` or `HOST_COMMAND_TIMEOUT` for a command that ended badly, also one on another host. */
export function commandError(result: ExecResult, options: Pick<ExecOptions, 'timeoutMs'>): MkCiError {
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

/** Starting in a folder that is not there fails with the ENOENT of a missing program: tell the two apart. */
async function workingFolderError(argv: Argv, cwd: string | undefined): Promise<MkCiError | undefined> {
  if (cwd === undefined) return undefined;
  const isFolder = await stat(cwd).then(
    (info) => info.isDirectory(),
    () => false,
  );
  if (isFolder) return undefined;
  return new MkCiError('HOST_COMMAND_FAILED', {
    message: `the working folder ${cwd} of ${argv[0]} is not there`,
    advice: 'Check the working folder.',
    details: { argv, cwd },
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
