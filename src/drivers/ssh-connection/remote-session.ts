import { randomBytes } from 'node:crypto';
import type { Readable, Writable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';

import { MkCiError } from '../../errors.js';
import { exitCodeOfSignal } from '../../process.js';
import type { SshConnection } from './connection.js';
import { renderCommand } from './remote-command.js';
import type { RemoteExecOptions } from './remote-exec.js';
import type { SshMachine } from './ssh-machine.js';

/** Standard streams, which may be a terminal. */
export interface SessionStreams {
  readonly stdin: Readable & { readonly setRawMode?: (mode: boolean) => unknown };
  readonly stdout: Writable & { readonly columns?: number; readonly rows?: number };
  readonly stderr: Writable;
}

/** After a command ended, something that it left behind may keep the channel open for ever. */
const DRAIN_MS = 2000;

/** Commands for somebody who sits before this process. @param streams @default those of this process */
export function createRemoteSession(
  connection: SshConnection,
  remote: RemoteExecOptions = {},
  { stdin, stdout, stderr }: SessionStreams = process,
): SshMachine['session'] {
  return async (argv, { terminalType, signal } = {}) => {
    const call = randomBytes(8).toString('hex');
    const command = renderCommand({ argv, call, env: remote.env, asRoot: remote.asRoot });
    const size = () => ({ columns: stdout.columns ?? 80, rows: stdout.rows ?? 24 });
    const terminal = terminalType === undefined ? undefined : { type: terminalType, ...size() };
    using opened = await connection.open(command, signal, terminal);
    const { channel, exited, closed } = opened;
    const end = (): void => {
      channel.close();
    };
    const resize = (): void => {
      const { columns, rows } = size();
      channel.setWindow(rows, columns, 0, 0);
    };
    signal?.addEventListener('abort', end, { once: true });
    // Not ended with the channel: they are ours.
    channel.pipe(stdout, { end: false });
    channel.stderr.pipe(stderr, { end: false });
    channel.on('error', () => undefined); // a command need not read its input to the end
    stdin.pipe(channel);
    if (terminal !== undefined) {
      stdin.setRawMode?.(true);
      stdout.on('resize', resize);
    }
    try {
      const { exitCode, signal: endedBy } = await exited;
      await Promise.race([closed, delay(DRAIN_MS, undefined, { ref: false })]);
      signal?.throwIfAborted();
      if (exitCode !== undefined) return exitCode;
      if (endedBy !== undefined) return exitCodeOfSignal(endedBy);
      throw new MkCiError('NET_UNREACHABLE', {
        message: `the connection to ${connection.target.host}:${connection.target.port} was lost while ${argv[0]} ran`,
        details: { argv },
      });
    } finally {
      signal?.removeEventListener('abort', end);
      channel.unpipe(stdout);
      channel.stderr.unpipe(stderr);
      stdin.unpipe(channel);
      stdin.pause();
      if (terminal !== undefined) {
        stdin.setRawMode?.(false);
        stdout.off('resize', resize);
      }
    }
  };
}
