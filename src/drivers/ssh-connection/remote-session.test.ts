import { PassThrough } from 'node:stream';

import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { isMkCiError } from '../../errors.js';
import { createSshConnection, type SshConnection } from './connection.js';
import { generateKeyPair } from './keys.js';
import { createRemoteSession } from './remote-session.js';
import { startTestServer, type TestServer } from './testing/server.js';

const hostKeys = await generateKeyPair('host');
const userKeys = await generateKeyPair('user');

describe('a session on a host that is reached by ssh', () => {
  let server: TestServer;
  let connection: SshConnection;
  beforeEach(async () => {
    server = await startTestServer({ hostKeys, userKeys });
    connection = createSshConnection({ target: server.target });
  });
  afterEach(async () => {
    connection.close();
    await server[Symbol.asyncDispose]();
  });

  /** Streams of our own in place of those of this process. */
  const streams = () => {
    const modes: boolean[] = [];
    const stdin = Object.assign(new PassThrough(), { setRawMode: (mode: boolean) => modes.push(mode) });
    const stdout = Object.assign(new PassThrough(), { columns: 100, rows: 30 });
    const stderr = new PassThrough();
    const text = (stream: PassThrough): string => String((stream.read() as Buffer | null) ?? '');
    return { stdin, stdout, stderr, modes, text };
  };

  it('reads and writes our streams, leaves them open, and hands on how the command ended', async () => {
    const { stdin, stdout, stderr, modes, text } = streams();
    const session = createRemoteSession(connection, {}, { stdin, stdout, stderr });
    stdin.write('a line\n');
    expect(await session(['sh', '-c', 'read line; echo "got $line"; echo oops >&2; exit 5'])).toBe(5);
    expect(text(stdout)).toBe('got a line\n');
    expect(text(stderr)).toBe('oops\n');
    expect([stdin.destroyed, stdout.writable, stderr.writable, modes]).toEqual([false, true, true, []]);
    expect(await session(['sh', '-c', 'kill -KILL $$'])).toBe(137);
  });

  it('has a terminal of the size of ours, which is raw only meanwhile', async () => {
    const { stdin, stdout, stderr, modes } = streams();
    const session = createRemoteSession(connection, {}, { stdin, stdout, stderr });
    expect(await session(['true'], { terminalType: 'xterm-256color' })).toBe(0);
    expect(server.terminals).toEqual([{ term: 'xterm-256color', cols: 100, rows: 30 }]);
    expect(modes).toEqual([true, false]);
  });

  it('ends when the caller is told to stop', async () => {
    const controller = new AbortController();
    const session = createRemoteSession(connection, {}, streams());
    const running = session(['sh', '-c', 'while :; do sleep 0.1; done'], { signal: controller.signal });
    controller.abort(new Error('stopped'));
    await expect(running).rejects.toThrow('stopped');
  });

  it('says when the connection is lost', async () => {
    const { stdin, stdout, stderr } = streams();
    const session = createRemoteSession(connection, {}, { stdin, stdout, stderr });
    stdout.once('data', () => {
      for (const each of server.connections) each.end();
    });
    const error = await session(['sh', '-c', 'echo here; read line']).catch((thrown: unknown) => thrown);
    expect(isMkCiError(error, 'NET_UNREACHABLE')).toBe(true);
  });
});
