import { spawnSync } from 'node:child_process';
import { createPrivateKey } from 'node:crypto';
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';

import fc from 'fast-check';
import ssh2 from 'ssh2';
import { pack as createPack, type Header } from 'tar-stream';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { isMkCiError } from '../../errors.js';
import { exec as localExec } from '../../exec.js';
import { createTemporaryFolder, type TemporaryFolder } from '../../files.js';
import { createSshConnection, type SshConnection, type SshTarget } from './connection.js';
import { generateKeyPair, renderKeyPair, wireFormOf } from './keys.js';
import { quoteForShell, renderCommand, renderEndCall } from './remote-command.js';
import { createRemoteExec, type RemoteExec } from './remote-exec.js';
import { createSshMachine } from './ssh-machine.js';
import { startTestServer, type TestServer } from './testing/server.js';

const hostKeys = await generateKeyPair('host');
const userKeys = await generateKeyPair('user');
const startServer = async (): Promise<TestServer> => await startTestServer({ hostKeys, userKeys });

const failure = async (promise: Promise<unknown>): Promise<unknown> => await promise.catch((error: unknown) => error);

const linesOf = async (path: string): Promise<string[]> =>
  (await readFile(path, 'utf8').catch(() => '')).split('\n').filter((line) => line !== '');

describe('commands for a shell', () => {
  it('arrive as they were, whatever they hold', () => {
    const words = fc.array(
      fc.string({ unit: 'binary' }).filter((text) => !text.includes('\0')),
      { minLength: 1, maxLength: 100 },
    );
    fc.assert(
      fc.property(words, (args) => {
        const command = renderCommand({ argv: ['printf', '%s\\0', ...args], call: 'c1', cwd: '/' });
        const result = spawnSync('sh', ['-c', command], { encoding: 'utf8' });
        expect(result.stdout).toBe(args.map((text) => `${Buffer.from(text).toString('utf8')}\0`).join(''));
      }),
      { numRuns: 5 },
    );
  });

  it('leave plain words plain', () => {
    expect(quoteForShell('/usr/bin/x-1_2.3')).toBe('/usr/bin/x-1_2.3');
    expect(renderCommand({ argv: ['ls'], call: 'c', env: { A: "it's", B: undefined } })).toBe(
      "exec env 'A=it'\\''s' MK_CI_CALL=c ls",
    );
    expect(renderEndCall('c', 250)).toContain('$i -lt 3 ');
  });
});

describe('keys', () => {
  it('have the form that goes over the wire', () => {
    expect(wireFormOf(hostKeys.publicKey)?.toString('latin1', 4, 15)).toBe('ssh-ed25519');
    for (const bad of ['', 'ssh-ed25519', 'ssh-ed25519 AAAA', 'ssh-rsa ' + hostKeys.publicKey.split(' ')[1]!]) {
      expect(wireFormOf(bad)).toBeUndefined();
    }
  });

  it('can be read whatever they begin with, and whatever the comment', () => {
    const pkcs8 = Buffer.from('302e020100300506032b657004220420', 'hex');
    const starts = new Set<boolean>();
    for (let index = 0; starts.size < 2 || index < 20; index += 1) {
      const seed = Buffer.alloc(32, index % 251);
      seed.writeUInt32BE(index);
      const key = createPrivateKey({ key: Buffer.concat([pkcs8, seed]), format: 'der', type: 'pkcs8' });
      const publicKey = Buffer.from(key.export({ format: 'jwk' }).x ?? '', 'base64url');
      const pair = renderKeyPair({ seed, publicKey, check: Buffer.from('abcd'), comment: 'c'.repeat(index % 17) });
      starts.add(publicKey[0] === 0);
      for (const text of [pair.privateKey, pair.publicKey]) {
        const parsed = ssh2.utils.parseKey(text);
        if (parsed instanceof Error) throw parsed;
        expect(
          [parsed]
            .flat()[0]
            ?.getPublicSSH()
            .equals(wireFormOf(pair.publicKey) ?? Buffer.alloc(0)),
        ).toBe(true);
      }
    }
  });
});

describe('a host that is reached by ssh', () => {
  let server: TestServer;
  let connection: SshConnection;
  let remote: RemoteExec;
  let folder: TemporaryFolder;
  beforeEach(async () => {
    server = await startServer();
    connection = createSshConnection({ target: server.target });
    remote = createRemoteExec(connection);
    folder = await createTemporaryFolder();
  });
  afterEach(async () => {
    connection.close();
    await server[Symbol.asyncDispose]();
    await folder[Symbol.asyncDispose]();
  });

  it('runs commands with input, environment and folder, on one connection', async () => {
    const results = await Promise.all([
      remote.exec(['cat'], { input: 'some\0input' }),
      remote.exec(['sh', '-c', 'echo "$A"; pwd; echo err >&2'], { env: { A: 'a b' }, cwd: '/' }),
      ...Array.from({ length: 12 }, (_, index) => remote.exec(['echo', String(index)])),
    ]);
    expect(results[0]).toMatchObject({ stdout: 'some\0input', exitCode: 0, timedOut: false, aborted: false });
    expect(results[1]).toMatchObject({ stdout: 'a b\n/\n', stderr: 'err\n' });
    expect(results[13]?.stdout).toBe('11\n');
    expect(server.connections).toHaveLength(1);
  });

  it('runs a command with a file of this host as its input', async () => {
    const path = join(folder.path, 'input');
    await writeFile(path, 'of a file'.repeat(100_000));
    expect((await remote.exec(['wc', '-c'], { inputFile: path })).stdout.trim()).toBe('900000');
    await expect(remote.exec(['cat'], { inputFile: join(folder.path, 'none'), timeoutMs: 5000 })).rejects.toThrow(
      'none',
    );
  });

  it('fails as commands of this host fail', async () => {
    const error = await failure(remote.exec(['sh', '-c', 'echo oops >&2; exit 3']));
    expect(isMkCiError(error, 'HOST_COMMAND_FAILED')).toBe(true);
    expect(error).toMatchObject({ details: { exitCode: 3, output: 'oops' } });
    expect(await remote.exec(['false'], { allowFailure: true })).toMatchObject({ exitCode: 1 });
    expect(await remote.exec(['sh', '-c', 'kill -9 $$'], { allowFailure: true })).toMatchObject({ signal: 'SIGKILL' });
  });

  it('keeps the last of a long output and hands on all of it', async () => {
    let bytes = 0;
    const result = await remote.exec(['sh', '-c', 'yes | head -c 3000000; echo end'], {
      maxBytes: 100_000,
      onOutput: (piece) => (bytes += piece.length),
    });
    expect(bytes).toBe(3_000_004);
    expect(result.stdout.length).toBeLessThan(200_000);
    expect(result.stdout.endsWith('end\n')).toBe(true);
  });

  it('ends what it started there when it is told to, also what left its group', async () => {
    const mark = join(folder.path, 'pids');
    const script = `trap '' TERM; setsid sleep 300 & echo $! >>${mark}; echo $$ >>${mark}; sleep 300`;
    const limit = new AbortController();
    const running = failure(remote.exec(['sh', '-c', script], { signal: limit.signal, graceMs: 200 }));
    await expect.poll(async () => await linesOf(mark), { timeout: 15_000 }).toHaveLength(2);
    limit.abort(new Error('over'));
    expect(String(await running)).toContain('over');
    const pids = (await linesOf(mark)).map(Number);
    const isRunning = async (pid: number): Promise<boolean> =>
      await readFile(`/proc/${pid}/stat`, 'utf8').then(
        (text) => !/\) Z /.test(text),
        () => false,
      );
    expect(await Promise.all(pids.map(isRunning))).toEqual([false, false]);
  });

  it('stops with the reason of the caller', async () => {
    const stop = new AbortController();
    const running = failure(
      remote.exec(['sh', '-c', 'echo started; exec sleep 300'], {
        signal: stop.signal,
        graceMs: 100,
        onOutput: () => {
          stop.abort(new Error('enough'));
        },
      }),
    );
    expect(String(await running)).toContain('enough');
    expect(String(await failure(remote.exec(['true'], { signal: stop.signal })))).toContain('enough');
  });

  it('says that the connection was lost, and connects anew for the next call', async () => {
    const running = failure(
      remote.exec(['sh', '-c', 'echo started; sleep 300'], {
        onOutput: () => {
          for (const one of server.connections) one.end();
        },
      }),
    );
    const error = await running;
    expect(isMkCiError(error, 'NET_UNREACHABLE')).toBe(true);
    expect((await remote.exec(['echo', 'again'])).stdout).toBe('again\n');
    expect(server.connections).toHaveLength(2);
  });

  it('copies files and folders both ways, as a whole', async () => {
    const machine = createSshMachine({ name: 'm', connection, internalAddress: '', endpointOf: () => undefined });
    const from = join(folder.path, 'from');
    await mkdir(join(from, 'sub'), { recursive: true });
    const big = Buffer.alloc(700_000, 'x\0y');
    await writeFile(join(from, 'sub', 'big'), big);
    await writeFile(join(from, 'tool'), '#!/bin/sh\n', { mode: 0o755 });
    await machine.copyTo(join(from, 'tool'), join(folder.path, 'there', 'deep', 'tool'));
    await machine.copyTo(from, join(folder.path, 'there', 'all'));
    await machine.copyTo(from, join(folder.path, 'there', 'all'));
    expect((await localExec([join(folder.path, 'there', 'deep', 'tool')])).exitCode).toBe(0);
    await machine.copyFrom(join(folder.path, 'there', 'all'), join(folder.path, 'back', 'all'));
    await machine.copyFrom(join(folder.path, 'there', 'all', 'sub', 'big'), join(folder.path, 'back', 'big'));
    expect((await readFile(join(folder.path, 'back', 'all', 'sub', 'big'))).equals(big)).toBe(true);
    expect((await readFile(join(folder.path, 'back', 'big'))).equals(big)).toBe(true);
    const missing = await failure(machine.copyFrom(join(folder.path, 'nope'), join(folder.path, 'back', 'nope')));
    expect(isMkCiError(missing, 'HOST_COMMAND_FAILED')).toBe(true);
    expect(await failure(readFile(join(folder.path, 'back', 'nope')))).toMatchObject({ code: 'ENOENT' });
    expect(isMkCiError(await failure(machine.endpoint(1)), 'DRV_FAILED')).toBe(true);
  });

  it('is refused with the right word for each reason', async () => {
    const tryIt = async (change: Partial<SshTarget>): Promise<unknown> => {
      const other = createSshConnection({ target: { ...server.target, ...change } });
      try {
        return await failure(createRemoteExec(other).exec(['true']));
      } finally {
        other.close();
      }
    };
    const stranger = await generateKeyPair('stranger');
    expect(isMkCiError(await tryIt({ privateKey: stranger.privateKey }), 'NET_SSH_AUTH')).toBe(true);
    expect(isMkCiError(await tryIt({ hostKey: stranger.publicKey }), 'NET_SSH_HOST_KEY')).toBe(true);
    expect(isMkCiError(await tryIt({ hostKey: 'nonsense' }), 'NET_SSH_HOST_KEY')).toBe(true);
    expect(isMkCiError(await tryIt({ privateKey: 'nonsense' }), 'NET_SSH_AUTH')).toBe(true);
    const { port } = server.target;
    await server[Symbol.asyncDispose]();
    const refused = await tryIt({ port });
    expect(isMkCiError(refused, 'NET_UNREACHABLE')).toBe(true);
    expect(String(refused)).toContain('connection refused');
    server = await startServer();
  });

  it('does not wait for ever for a host that says nothing', async () => {
    const silent = createServer((socket) => socket.on('error', () => undefined)).listen(0, '127.0.0.1');
    await once(silent, 'listening');
    const { port } = silent.address() as AddressInfo;
    const slow = createSshConnection({ target: { ...server.target, port }, connectMs: 50 });
    const error = await failure(createRemoteExec(slow).exec(['true']));
    expect(isMkCiError(error, 'NET_UNREACHABLE')).toBe(true);
    const limited = await failure(
      createRemoteExec(createSshConnection({ target: { ...server.target, port } })).exec(['true'], { timeoutMs: 50 }),
    );
    expect(isMkCiError(limited, 'HOST_COMMAND_TIMEOUT')).toBe(true);
    silent.close();
  });

  it('connects anew when a connection was silent for one call and the next one comes', async () => {
    await using between = await startProxy(server.target.port, { silent: 1 });
    const slow = createSshConnection({ target: { ...server.target, port: between.port } });
    const runs = createRemoteExec(slow);
    expect(isMkCiError(await failure(runs.exec(['true'], { timeoutMs: 50 })), 'HOST_COMMAND_TIMEOUT')).toBe(true);
    expect((await runs.exec(['echo', 'there'])).stdout).toBe('there\n');
    expect(between.count()).toBe(2);
    slow.close();
  });

  it('does not use a connection that it is closing', async () => {
    await using between = await startProxy(server.target.port, { silent: 0 });
    const slow = createSshConnection({ target: { ...server.target, port: between.port }, idleMs: 1 });
    const runs = createRemoteExec(slow);
    await runs.exec(['true']);
    await between.firstEnded; // this end has closed it, the other one does not
    expect((await runs.exec(['echo', 'there'])).stdout).toBe('there\n');
    expect(between.count()).toBe(2);
    slow.close();
  });
});

/** Hands on bytes in both directions and never an end; the first connections may be silent. */
async function startProxy(
  to: number,
  { silent }: { readonly silent: number },
): Promise<AsyncDisposable & { readonly port: number; count(): number; readonly firstEnded: Promise<unknown> }> {
  const sockets: Socket[] = [];
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.push(socket.on('error', () => undefined));
    if (sockets.length === 1) socket.once('end', ended);
    if (sockets.length > silent) {
      const target = connect(to, '127.0.0.1').on('error', () => undefined);
      socket.on('close', () => target.destroy());
      socket.pipe(target, { end: false }).pipe(socket, { end: false });
    }
  });
  let ended = (): void => undefined;
  const firstEnded = new Promise<void>((resolve) => {
    ended = resolve;
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    count: () => sockets.length,
    firstEnded,
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

type NewHeader = Partial<Header> & Pick<Header, 'name'>;

describe('what a hostile host sends in place of a folder', () => {
  /** An archive with these entries, from a host on which `test -d` is true. */
  const receive = async (entries: readonly NewHeader[], to: string): Promise<void> => {
    const pack = createPack();
    for (const entry of entries) pack.entry(entry, entry.type === undefined ? 'x' : '');
    pack.finalize();
    await using folder = await createTemporaryFolder();
    const archive = join(folder.path, 'hostile.tar');
    await pipeline(pack, createWriteStream(archive));
    const replace = (line: string): string => (line.includes(' tar ') ? `cat ${archive}` : 'true');
    await using server = await startTestServer({ hostKeys, userKeys, replace });
    const connection = createSshConnection({ target: server.target });
    const machine = createSshMachine({ name: 'm', connection, internalAddress: '', endpointOf: () => undefined });
    try {
      await machine.copyFrom('/logs', to);
    } finally {
      connection.close();
    }
  };

  it('gives nobody rights here, makes no device, and stays in the folder', async () => {
    await using folder = await createTemporaryFolder();
    const at = (name: string): string => join(folder.path, name);
    await receive([{ name: 'tool', mode: 0o6777, uid: 12345, gid: 12345 }], at('set'));
    const { mode, uid } = await stat(at('set/tool'));
    expect(mode & 0o7000).toBe(0);
    expect(uid).toBe(process.getuid?.());
    const device: NewHeader = { name: 'disk', type: 'block-device', devmajor: 8, devminor: 0, mode: 0o666 };
    await expect(receive([device], at('device'))).rejects.toThrow('sent devices');
    await expect(stat(at('device/disk'))).rejects.toThrow('ENOENT');
    await failure(receive([{ name: '../outside' }], at('up')));
    await failure(
      receive([{ name: 'link', type: 'symlink', linkname: folder.path }, { name: 'link/outside' }], at('link')),
    );
    await expect(stat(at('outside'))).rejects.toThrow('ENOENT');
  });
});
