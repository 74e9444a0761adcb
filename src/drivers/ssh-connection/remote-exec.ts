import { randomBytes } from 'node:crypto';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';

import type { ClientChannel } from 'ssh2';

import { MkCiError } from '../../errors.js';
import {
  commandError,
  formatArgv,
  openInput,
  type Argv,
  type Exec,
  type ExecOptions,
  type ExecResult,
} from '../../exec.js';
import type { ChannelEnd, OpenChannel, SshConnection } from './connection.js';
import { quoteForShell, renderCommand, renderEndCall } from './remote-command.js';

/** `Exec` on another host, and the same with streams at its ends. */
export interface RemoteExec {
  readonly exec: Exec;
  /** With `source` as standard input and `sink` for standard output, which is then not collected. */
  readonly stream: (
    argv: Argv,
    ends: { readonly source?: Readable; readonly sink?: NodeJS.WritableStream },
    options?: ExecOptions,
  ) => Promise<ExecResult>;
}

const DEFAULT_MAX_BYTES = 64 * 1024 * 1024;
/**
 * After a command ended, what it wrote may still be on its way; something that it left behind may keep the channel open
 * for ever. A slow guest may be silent for longer than a pipe of this host.
 */
const DRAIN_MS = 2000;
/** For ending what a call left behind, beyond its grace time. */
const END_CALL_MS = 15_000;

/** At most these at a time: hosts allow ten channels on one connection by default, and one has to be left for ending calls. */
const MAX_CHANNELS = 8;

export interface RemoteExecOptions {
  /** Commands run as root by way of `sudo -n`. @default false */
  readonly asRoot?: boolean;
  /** In the environment of each command, before its own. @default none */
  readonly env?: Readonly<Record<string, string>>;
}

export function createRemoteExec(connection: SshConnection, remote: RemoteExecOptions = {}): RemoteExec {
  const turns = createTurns(MAX_CHANNELS);

  const stream: RemoteExec['stream'] = async (argv, ends, options = {}) => {
    options.signal?.throwIfAborted();
    const startedAt = performance.now();
    const limit = createLimit(options);
    const call = randomBytes(8).toString('hex');
    let mayRun = false;
    try {
      await using _turn = await turns.take(limit.signal);
      mayRun = true;
      const env = { ...remote.env, ...options.env };
      const command = renderCommand({ argv, call, cwd: options.cwd, env, asRoot: remote.asRoot });
      using opened = await connection.open(command, limit.signal);
      const { channel } = opened;
      const stdout = ends.sink === undefined ? collect(channel, options, 'stdout') : pipeline(channel, ends.sink);
      const stderr = collect(channel.stderr, options, 'stderr');
      // Failures of these are those of the channel, except that of a full disk at this end.
      const fed = feed(channel, ends.source, options.input);
      fed.catch(() => undefined);
      stdout.catch(() => undefined);
      const end = await Promise.race([waitForEnd(opened, options.drainMs ?? DRAIN_MS), limit.reached]);
      if (end === undefined) {
        if (!(await endCall(call, options.graceMs ?? 5000))) channel.close();
        await Promise.race([waitForEnd(opened, 200), new Promise((resolve) => setTimeout(resolve, 1000).unref())]);
      }
      // A slow reader at this end is waited for: what is on its way to it must not be cut off.
      if (end?.exitCode === 0 && ends.sink !== undefined) await Promise.race([stdout, limit.reached]);
      channel.destroy();
      if (end !== undefined && end.exitCode === undefined && end.signal === undefined) {
        throw new MkCiError('NET_UNREACHABLE', {
          message: `the connection to ${connection.target.host}:${connection.target.port} was lost while ${argv[0]} ran`,
          details: { argv },
        });
      }
      if (ends.source !== undefined && end?.exitCode === 0) await fed;
      const text = await stdout.catch((error: unknown) => {
        if (end === undefined) return '';
        throw error;
      });
      const result: ExecResult = {
        argv,
        stdout: typeof text === 'string' ? text : '',
        stderr: await stderr.catch(() => ''),
        exitCode: end?.exitCode,
        signal: end === undefined ? 'SIGTERM' : end.signal,
        timedOut: limit.timedOut(),
        aborted: end === undefined && !limit.timedOut(),
        leftChildren: false,
        durationMs: performance.now() - startedAt,
      };
      return finish(result, options);
    } catch (error) {
      if (!limit.signal.aborted) throw error;
      options.signal?.throwIfAborted();
      if (!limit.timedOut()) throw error;
      const stderr = mayRun ? '' : `${formatArgv(argv.slice(0, 3))} waited for other calls`;
      const durationMs = performance.now() - startedAt;
      const ended = {
        exitCode: undefined,
        signal: 'SIGTERM',
        timedOut: true,
        aborted: false,
        leftChildren: false,
      } as const;
      return finish({ argv, stdout: '', stderr, ...ended, durationMs }, options);
    } finally {
      limit[Symbol.dispose]();
    }
  };

  /** @returns false when the other end could not be told */
  const endCall = async (call: string, graceMs: number): Promise<boolean> => {
    const signal = AbortSignal.timeout(graceMs + END_CALL_MS);
    try {
      const script = renderEndCall(call, graceMs);
      const line = remote.asRoot === true ? `exec sudo -n -- sh -c ${quoteForShell(script)}` : script;
      using opened = await connection.open(line, signal);
      opened.channel.resume().stderr.resume();
      opened.channel.end();
      const late = new Promise<undefined>((resolve) => {
        signal.addEventListener('abort', () => {
          resolve(undefined);
        });
      });
      return (await Promise.race([waitForEnd(opened, 0), late])) !== undefined;
    } catch {
      return false; // the connection is lost; the one who asked gets to know that or the time limit
    }
  };

  const exec: Exec = async (argv, options = {}) => {
    const { inputFile } = options;
    return await stream(argv, inputFile === undefined ? {} : { source: await openInput(inputFile) }, options);
  };
  return { exec, stream };
}

function finish(result: ExecResult, options: ExecOptions): ExecResult {
  if (result.aborted) options.signal?.throwIfAborted();
  if (options.allowFailure !== true && (result.timedOut || result.exitCode !== 0)) throw commandError(result, options);
  return result;
}

/** A signal that fires when the caller's does or the time is over. */
function createLimit({ signal, timeoutMs }: ExecOptions): Disposable & {
  readonly signal: AbortSignal;
  readonly reached: Promise<undefined>;
  readonly timedOut: () => boolean;
} {
  const controller = new AbortController();
  let timedOut = false;
  const onAbort = (): void => {
    controller.abort(signal?.reason);
  };
  signal?.addEventListener('abort', onAbort, { once: true });
  const timer =
    timeoutMs === undefined
      ? undefined
      : setTimeout(() => {
          if (controller.signal.aborted) return;
          timedOut = true;
          controller.abort(new Error(`no end after ${timeoutMs} ms`));
        }, timeoutMs);
  return {
    signal: controller.signal,
    reached: new Promise((resolve) => {
      controller.signal.addEventListener('abort', () => {
        resolve(undefined);
      });
    }),
    timedOut: () => timedOut,
    [Symbol.dispose]: () => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', onAbort);
    },
  };
}

/** How the command ended, when its output has come or nothing more has come for a while. */
async function waitForEnd({ channel, exited, closed }: OpenChannel, drainMs: number): Promise<ChannelEnd> {
  const end = await exited;
  let timer: NodeJS.Timeout | undefined;
  const silent = new Promise<void>((resolve) => {
    const wait = (): void => {
      clearTimeout(timer);
      timer = setTimeout(resolve, drainMs);
    };
    wait();
    channel.on('data', wait);
    channel.stderr.on('data', wait);
  });
  await Promise.race([closed, silent]);
  clearTimeout(timer);
  return end;
}

async function feed(channel: ClientChannel, source: Readable | undefined, input: ExecOptions['input']): Promise<void> {
  // A command that does not read its input to the end closes it: how it ends is what counts.
  channel.on('error', () => undefined);
  if (source !== undefined) await pipeline(source, channel, { end: true });
  else if (input === undefined) channel.end();
  else channel.end(typeof input === 'string' ? Buffer.from(input) : Buffer.from(input));
}

/** The last `maxBytes` of a stream. */
async function collect(stream: Readable, options: ExecOptions, name: 'stdout' | 'stderr'): Promise<string> {
  const { maxBytes = DEFAULT_MAX_BYTES, onOutput } = options;
  const pieces: Buffer[] = [];
  let bytes = 0;
  const decoder = new TextDecoder();
  return await new Promise((resolve) => {
    stream.on('data', (piece: Buffer) => {
      pieces.push(piece);
      bytes += piece.length;
      while (bytes > maxBytes && pieces.length > 1) bytes -= pieces.shift()?.length ?? 0;
      onOutput?.(decoder.decode(piece, { stream: true }), name);
    });
    const done = (): void => {
      resolve(Buffer.concat(pieces).toString('utf8'));
    };
    stream.once('end', done).once('close', done).once('error', done);
  });
}

/** Lets so many in at a time, in the order in which they came. */
function createTurns(most: number): { take(signal: AbortSignal): Promise<AsyncDisposable> } {
  let taken = 0;
  const waiting: (() => void)[] = [];
  return {
    take: async (signal) => {
      while (taken >= most) {
        signal.throwIfAborted(); // a listener of one that was aborted before is never called
        await new Promise<void>((resolve, reject) => {
          const onAbort = (): void => {
            waiting.splice(waiting.indexOf(go), 1);
            reject(signal.reason instanceof Error ? signal.reason : new Error('aborted'));
          };
          const go = (): void => {
            signal.removeEventListener('abort', onAbort);
            resolve();
          };
          signal.addEventListener('abort', onAbort, { once: true });
          waiting.push(go);
        });
      }
      taken += 1;
      return {
        [Symbol.asyncDispose]: async () => {
          taken -= 1;
          waiting.shift()?.();
        },
      };
    },
  };
}
