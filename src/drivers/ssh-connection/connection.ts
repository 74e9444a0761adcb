import { connect as connectSocket } from 'node:net';
import type { Duplex } from 'node:stream';

import type { Client, ClientChannel, ConnectConfig, KnownPublicKeys, ServerHostKeyAlgorithm } from 'ssh2';

import { MkCiError, isMkCiError, messageOf, systemErrorCode } from '../../errors.js';
import { wireFormOf } from './keys.js';

/** With what one logs in: a key, or the agent that has it. */
export interface SshLogin {
  readonly privateKey?: string;
  /** Of the key, where it has one. */
  readonly passphrase?: string;
  readonly agent?: {
    /** Path of its socket. */
    readonly socket: string;
    /** The one key to log in with, as it goes over the wire: hosts refuse who tries many. @default all that it has */
    readonly publicKey?: Buffer;
  };
}

export interface SshTarget extends SshLogin {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  /** The only key that the host may show: `ssh-ed25519 AAAA…`. */
  readonly hostKey: string;
}

export interface SshConnectionOptions {
  readonly target: SshTarget;
  /** A way to the host other than a socket of this one. @default a TCP connection */
  readonly dial?: (signal: AbortSignal) => Promise<Line>;
  /** From the first packet to the login. @default 20000 */
  readonly connectMs?: number;
  /** A connection without a call is closed after this time, so that nothing holds the process. @default 500 */
  readonly idleMs?: number;
  /** Between questions whether the other end is there; it may leave four of them without an answer. @default 15000 */
  readonly keepAliveMs?: number;
}

/** Bytes to and from a host. */
export interface Line {
  readonly stream: Duplex;
  /** Whether it keeps this process alive. */
  ref(): void;
  unref(): void;
  destroy(): void;
}

/** How a command ended; both `undefined` when the channel closed without saying. */
export interface ChannelEnd {
  readonly exitCode: number | undefined;
  readonly signal: NodeJS.Signals | undefined;
}

/** A channel with what is told of it only once, maybe before anybody asks. */
interface WatchedChannel {
  readonly channel: ClientChannel;
  /** Settles when the command has ended, or the channel closed before; output may follow. */
  readonly exited: Promise<ChannelEnd>;
  readonly closed: Promise<void>;
}

/** A channel that is to be given back. */
export interface OpenChannel extends WatchedChannel, Disposable {}

/** What a command at the other end gets in place of plain streams. */
export interface Terminal {
  /** Such as `xterm`. */
  readonly type: string;
  readonly columns: number;
  readonly rows: number;
}

/** A way to one host, made when it is needed and made again when it was lost. Calls share one connection. */
export interface SshConnection {
  readonly target: SshTarget;
  /**
   * Starts a command.
   *
   * @throws {MkCiError} `NET_UNREACHABLE`, `NET_SSH_AUTH`, `NET_SSH_HOST_KEY`; the signal's reason when aborted
   */
  open(command: string, signal?: AbortSignal, terminal?: Terminal): Promise<OpenChannel>;
  /**
   * A line to a port that the host reaches: a way to hosts behind it.
   *
   * @throws {MkCiError} as {@link open}
   */
  forward(host: string, port: number, signal?: AbortSignal): Promise<Line>;
  /** Closes what is there; the next call connects anew. */
  close(): void;
}

interface Session {
  readonly client: Client;
  readonly socket: Line;
  calls: number;
}

/** A session that may still be in the making, for all calls that wait for it. */
interface Attempt {
  readonly session: Promise<Session>;
  /** No new call takes it any more; it ends when no call has it. */
  readonly giveUp: () => void;
  waiting: number;
}

export function createSshConnection(options: SshConnectionOptions): SshConnection {
  const { target, idleMs = 500 } = options;
  let current: Attempt | undefined;
  let idle: NodeJS.Timeout | undefined;

  const forget = (attempt: Attempt): void => {
    if (current === attempt) current = undefined;
  };
  const begin = (): Attempt => {
    const stop = new AbortController();
    const attempt: Attempt = {
      session: connect(options, stop.signal, () => {
        forget(attempt);
      }),
      giveUp: () => {
        forget(attempt);
        stop.abort();
        attempt.session.then(
          (held) => {
            if (held.calls === 0) end(held);
          },
          () => undefined,
        );
      },
      waiting: 0,
    };
    attempt.session.catch(() => {
      forget(attempt);
    });
    return attempt;
  };
  /** The session, made when there is none. One that nobody waits for any more is given up: it may be silent for ever. */
  const join = async (signal: AbortSignal | undefined): Promise<readonly [Session, Attempt]> => {
    const attempt = (current ??= begin());
    attempt.waiting += 1;
    try {
      const held = await orAborted(attempt.session, signal);
      held.calls += 1;
      return [held, attempt];
    } catch (error) {
      if (attempt.waiting === 1) attempt.giveUp();
      throw error;
    } finally {
      attempt.waiting -= 1;
    }
  };
  const release = (held: Session, attempt: Attempt): void => {
    held.calls -= 1;
    if (held.calls > 0) return;
    held.socket.unref();
    clearTimeout(idle);
    idle = setTimeout(() => {
      if (held.calls > 0) return;
      // At once and not when the other end has closed it: a call in between would find it closed.
      forget(attempt);
      held.client.end();
    }, idleMs).unref();
  };

  return {
    target,
    open: async (command, signal, terminal) => {
      signal?.throwIfAborted();
      const [held, attempt] = await join(signal);
      held.socket.ref();
      try {
        const watched = await orAborted(openOn(held.client, { command, terminal }, target), signal, (late) => {
          late.channel.close();
        });
        let isGivenBack = false;
        return {
          ...watched,
          [Symbol.dispose]: () => {
            if (isGivenBack) return;
            isGivenBack = true;
            watched.channel.close();
            release(held, attempt);
          },
        };
      } catch (error) {
        release(held, attempt);
        throw error;
      }
    },
    forward: async (host, port, signal) => {
      signal?.throwIfAborted();
      const [held, attempt] = await join(signal);
      held.socket.ref();
      try {
        const forwarded = forwardOn(held.client, { host, port }, target);
        const channel = await orAborted(forwarded, signal, (late) => {
          late.destroy();
        });
        channel.once('close', () => {
          release(held, attempt);
        });
        return {
          stream: channel,
          ref: () => {
            held.socket.ref();
          },
          unref: () => {
            held.socket.unref();
          },
          destroy: () => {
            channel.destroy();
          },
        };
      } catch (error) {
        release(held, attempt);
        throw error;
      }
    },
    close: () => {
      clearTimeout(idle);
      const closing = current;
      current = undefined;
      closing?.session.then(end, () => undefined);
    },
  };
}

function end({ client, socket }: Session): void {
  client.end();
  socket.destroy();
}

/** @param stop ends it before it is made */
async function connect(options: SshConnectionOptions, stop: AbortSignal, onClose: () => void): Promise<Session> {
  const { target, connectMs = 20_000, keepAliveMs = 15_000 } = options;
  const expected = wireFormOf(target.hostKey);
  if (expected === undefined) {
    throw new MkCiError('NET_SSH_HOST_KEY', { message: `${target.hostKey.slice(0, 40)} is no public key` });
  }
  // Loaded by the first connection and not at the start of the program.
  const { default: ssh2 } = await import('ssh2');
  const client = new ssh2.Client();
  client.setMaxListeners(0); // one for each call that waits
  const { dial = dialTcp(target) } = options;
  const socket = await dial(stop);
  let isOtherKey = false;
  try {
    stop.throwIfAborted();
    return await new Promise<Session>((resolve, reject) => {
      stop.addEventListener('abort', () => {
        reject(unreachable(target, 'nobody waits for it any more'));
      });
      client.on('ready', () => {
        resolve({ client, socket, calls: 0 });
      });
      // Stays for as long as the client lives: an error without a listener would end the process.
      client.on('error', (error) => {
        reject(connectionError(target, isOtherKey, error));
      });
      client.on('close', () => {
        onClose();
        reject(unreachable(target, 'the connection was closed'));
      });
      client.connect({
        sock: socket.stream,
        username: target.user,
        ...loginOf(ssh2, target),
        readyTimeout: connectMs,
        keepaliveInterval: keepAliveMs,
        keepaliveCountMax: 4,
        // Another kind of key would be another key, even if the host has both.
        algorithms: { serverHostKey: [hostKeyAlgorithm(target.hostKey)] },
        hostVerifier: (key: Buffer) => {
          isOtherKey = !key.equals(expected);
          return !isOtherKey;
        },
      });
    });
  } catch (error) {
    client.end();
    socket.destroy();
    // A key that can not be read is thrown and not told by an event.
    throw isMkCiError(error) || !(error instanceof Error) ? error : connectionError(target, false, error);
  }
}

function loginOf(
  ssh2: typeof import('ssh2'),
  { privateKey, passphrase, agent }: SshLogin,
): Pick<ConnectConfig, 'privateKey' | 'passphrase' | 'agent'> {
  if (agent === undefined) {
    return {
      ...(privateKey === undefined ? {} : { privateKey }),
      ...(passphrase === undefined ? {} : { passphrase }),
    };
  }
  const all = ssh2.createAgent(agent.socket);
  const { publicKey } = agent;
  if (publicKey === undefined) return { agent: all };
  const ask = all.getIdentities.bind(all);
  all.getIdentities = (answer) => {
    ask((error, keys) => {
      const wanted = keys?.filter((key) => wireFormOfIdentity(key)?.equals(publicKey) === true);
      answer(error ?? undefined, wanted);
    });
  };
  return { agent: all };
}

function wireFormOfIdentity(key: KnownPublicKeys[number]): Buffer | undefined {
  if (typeof key === 'string') return wireFormOf(key);
  if (Buffer.isBuffer(key)) return key;
  return 'getPublicSSH' in key ? key.getPublicSSH() : undefined;
}

function dialTcp({ host, port }: SshTarget): () => Promise<Line> {
  return async () => {
    // Not waited for: that it fails is told to the client as an event.
    const socket = connectSocket({ host, port, noDelay: true });
    return {
      stream: socket,
      ref: () => socket.ref(),
      unref: () => socket.unref(),
      destroy: () => socket.destroy(),
    };
  };
}

function hostKeyAlgorithm(hostKey: string): ServerHostKeyAlgorithm {
  const type = hostKey.split(' ', 1)[0] ?? '';
  // Keys of this kind sign with a hash that is named in the algorithm.
  if (type === 'ssh-rsa') return 'rsa-sha2-512';
  return type as ServerHostKeyAlgorithm;
}

async function openOn(
  client: Client,
  { command, terminal }: { readonly command: string; readonly terminal: Terminal | undefined },
  target: SshTarget,
): Promise<WatchedChannel> {
  return await new Promise((resolve, reject) => {
    const onClose = (): void => {
      reject(unreachable(target, 'the connection was lost'));
    };
    client.once('close', onClose);
    try {
      const pty = terminal && { term: terminal.type, cols: terminal.columns, rows: terminal.rows };
      client.exec(command, pty === undefined ? {} : { pty }, (error, channel) => {
        client.off('close', onClose);
        // Watched from here on: the end of a short command comes in the same packet as the channel.
        if (error === undefined) resolve(watch(channel));
        else reject(unreachable(target, messageOf(error), error));
      });
    } catch (error) {
      client.off('close', onClose);
      reject(unreachable(target, messageOf(error), error)); // lost between two calls
    }
  });
}

async function forwardOn(
  client: Client,
  to: { readonly host: string; readonly port: number },
  target: SshTarget,
): Promise<ClientChannel> {
  return await new Promise((resolve, reject) => {
    const onClose = (): void => {
      reject(unreachable(target, 'the connection was lost'));
    };
    client.once('close', onClose);
    client.forwardOut('127.0.0.1', 0, to.host, to.port, (error, channel) => {
      client.off('close', onClose);
      if (error === undefined) resolve(channel);
      else reject(unreachable(target, `no way from there to ${to.host}:${to.port}: ${messageOf(error)}`, error));
    });
  });
}

function watch(channel: ClientChannel): WatchedChannel {
  const closed = new Promise<void>((resolve) => {
    channel.once('close', resolve);
  });
  const exited = new Promise<ChannelEnd>((resolve) => {
    channel.once('exit', (code: number | null, signal?: NodeJS.Signals) => {
      resolve({ exitCode: code ?? undefined, signal });
    });
    void closed.then(() => {
      resolve({ exitCode: undefined, signal: undefined });
    });
  });
  return { channel, exited, closed };
}

/** Names what went wrong while connecting. Pure. */
export function connectionError(
  target: SshTarget,
  isOtherKey: boolean,
  error: Error & { readonly level?: string },
): MkCiError {
  const where = `${target.user}@${target.host}:${target.port}`;
  if (isOtherKey || /host (?:key )?verif|host denied/i.test(error.message)) {
    return new MkCiError('NET_SSH_HOST_KEY', { message: where, cause: error });
  }
  if (/no matching host key/i.test(error.message)) {
    return new MkCiError('NET_SSH_HOST_KEY', { message: `${where} has no key of this kind`, cause: error });
  }
  if (error.level === 'client-authentication' || /Cannot parse privateKey|^Agent|agent/i.test(error.message)) {
    return new MkCiError('NET_SSH_AUTH', { message: where, cause: error });
  }
  const why =
    systemErrorCode(error) === 'ECONNREFUSED'
      ? 'connection refused'
      : error.level === 'client-timeout'
        ? 'no answer in time'
        : error.message;
  return unreachable(target, why, error);
}

function unreachable(target: SshTarget, why: string, cause?: unknown): MkCiError {
  return new MkCiError('NET_UNREACHABLE', {
    message: `ssh ${target.user}@${target.host}:${target.port}: ${why}`,
    ...(cause === undefined ? {} : { cause }),
  });
}

/** What is awaited, or the signal's reason; what comes after that is handed to `discard`. */
async function orAborted<T>(
  awaited: Promise<T>,
  signal: AbortSignal | undefined,
  discard?: (late: T) => void,
): Promise<T> {
  if (signal === undefined) return await awaited;
  let onAbort: (() => void) | undefined;
  try {
    return await Promise.race([
      awaited,
      new Promise<never>((_resolve, reject) => {
        onAbort = () => {
          if (discard !== undefined) awaited.then(discard, () => undefined);
          else awaited.catch(() => undefined);
          reject(signal.reason instanceof Error ? signal.reason : new Error('aborted'));
        };
        if (signal.aborted) onAbort();
        else signal.addEventListener('abort', onAbort, { once: true });
      }),
    ]);
  } finally {
    if (onAbort !== undefined) signal.removeEventListener('abort', onAbort);
  }
}
