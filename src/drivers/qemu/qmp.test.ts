import { createServer, type Server, type Socket } from 'node:net';
import { once } from 'node:events';
import { join } from 'node:path';

import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { isMkCiError } from '../../errors.js';
import { startProcess } from '../../exec.js';
import { createTemporaryFolder, type TemporaryFolder } from '../../files.js';
import { waitFor } from '../../wait.js';
import { createLineCutter, parseForwards, parseQmpLine } from './qmp-messages.js';
import { connectQmp } from './qmp.js';

const GREETING =
  '{"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}, "package": ""}, "capabilities": []}}\r\n';

let folder: TemporaryFolder;
let server: Server | undefined;
const sockets: Socket[] = [];
beforeEach(async () => {
  folder = await createTemporaryFolder();
});
afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy();
  server?.close();
  server = undefined;
  await folder[Symbol.asyncDispose]();
});

interface Request {
  readonly execute: string;
  readonly id: number;
  readonly arguments?: unknown;
}

/** A monitor that answers as it is told; `undefined` is no answer. */
async function monitor(
  answer: (request: Request, socket: Socket) => string | undefined,
  greeting = GREETING,
): Promise<string> {
  const path = join(folder.path, 'qmp.sock');
  server = createServer((socket) => {
    sockets.push(socket);
    socket.on('error', () => undefined);
    socket.write(greeting);
    const cut = createLineCutter();
    socket.on('data', (piece) => {
      for (const line of cut(String(piece))) {
        const request = JSON.parse(line) as Request;
        const text = request.execute === 'qmp_capabilities' ? '{"return": {}}' : answer(request, socket);
        if (text !== undefined) socket.write(`${text.replace('ID', String(request.id))}\r\n`);
      }
    });
  }).listen(path);
  await once(server, 'listening');
  return path;
}

const failure = async (promise: Promise<unknown>): Promise<unknown> => await promise.catch((error: unknown) => error);

describe('lines of the protocol', () => {
  it('come out the same, wherever the stream is cut', () => {
    const lines = fc.array(fc.stringMatching(/^[^\r\n]+$/));
    fc.assert(
      fc.property(lines, fc.array(fc.nat({ max: 7 })), (texts, cuts) => {
        const stream = texts.map((text, index) => `${text}${index % 2 === 0 ? '\r\n' : '\n'}`).join('');
        const cut = createLineCutter();
        const out: string[] = [];
        let at = 0;
        for (const size of cuts) {
          out.push(...cut(stream.slice(at, at + size)));
          at += size;
        }
        out.push(...cut(stream.slice(at)));
        expect(out).toEqual(texts);
      }),
    );
  });

  it('are told apart, and nonsense is no reason to throw', () => {
    expect(parseQmpLine(GREETING)).toEqual({ kind: 'greeting', version: '7.2.22' });
    expect(parseQmpLine('{"event": "STOP", "timestamp": {"seconds": 1, "microseconds": 2}}')).toEqual({
      kind: 'event',
      name: 'STOP',
      data: {},
    });
    expect(parseQmpLine('{"id": 3, "error": {"class": "GenericError", "desc": "no"}}')).toEqual({
      kind: 'failure',
      id: 3,
      reason: 'no',
    });
    expect(parseQmpLine('{"return": {"status": "running"}, "id": 4}')).toMatchObject({ kind: 'success', id: 4 });
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.json()), (text) => {
        expect(parseQmpLine(text).kind).toBe('unknown');
      }),
    );
  });

  it('name the ports that QEMU took', () => {
    // Recorded from QEMU 7.2.22 on 2026-11-21, `info usernet` with two forwards from port 0.
    const text =
      'Hub -1 (net0):\r\n  Protocol[State]    FD  Source Address  Port   Dest. Address  Port RecvQ SendQ\r\n' +
      '  TCP[HOST_FORWARD]   9       127.0.0.1 33245       10.0.2.15    22     0     0\r\n' +
      '  TCP[HOST_FORWARD]   8       127.0.0.1 36419       10.0.2.15  6443     0     0\r\n';
    expect([...parseForwards(text)]).toEqual([
      [22, 33245],
      [6443, 36419],
    ]);
    expect(parseForwards('').size).toBe(0);
  });
});

describe('a conversation with a monitor', () => {
  it('pairs answers with questions, in whatever order they come', async () => {
    const held: string[] = [];
    const path = await monitor((request, socket) => {
      held.push(`{"return": "${request.execute}", "id": ${request.id}}`);
      if (held.length === 2) socket.write(held.reverse().join('\n') + '\n');
      return undefined;
    });
    using qmp = await connectQmp(path);
    expect(qmp.version).toBe('7.2.22');
    expect(await Promise.all([qmp.execute('first'), qmp.execute('second')])).toEqual(['first', 'second']);
  });

  it('says what QEMU says when it refuses', async () => {
    const path = await monitor(
      () => '{"id": ID, "error": {"class": "CommandNotFound", "desc": "The command nope has not been found"}}',
    );
    using qmp = await connectQmp(path);
    const error = await failure(qmp.execute('nope'));
    expect(isMkCiError(error, 'DRV_FAILED')).toBe(true);
    expect(String(error)).toContain('The command nope has not been found');
  });

  it('gives events to those who wait for them', async () => {
    const path = await monitor(
      () => '{"event": "OTHER"}\n{"event": "SHUTDOWN", "data": {"guest": true}}\n{"return": {}, "id": ID}',
    );
    using qmp = await connectQmp(path);
    const event = qmp.nextEvent('SHUTDOWN');
    await qmp.execute('system_powerdown');
    expect(await event).toEqual({ name: 'SHUTDOWN', data: { guest: true } });
  });

  it('ends when there is no answer in time, when it is aborted and when QEMU ends', async () => {
    const path = await monitor((request, socket) => {
      if (request.execute === 'quit') socket.destroy();
      return undefined;
    });
    using qmp = await connectQmp(path);
    expect(String(await failure(qmp.execute('slow', undefined, { timeoutMs: 20 })))).toContain(
      'no answer to slow within',
    );
    const stop = new AbortController();
    const stopped = failure(qmp.execute('slow', undefined, { signal: stop.signal }));
    stop.abort(new Error('told to stop'));
    expect(String(await stopped)).toContain('told to stop');
    const waiting = failure(qmp.nextEvent('STOP'));
    expect(String(await failure(qmp.execute('quit')))).toContain('QEMU has ended');
    expect(String(await waiting)).toContain('QEMU has ended');
    expect(String(await failure(qmp.execute('again')))).toContain('QEMU has ended');
  });

  it('is refused by what is no monitor', async () => {
    expect(isMkCiError(await failure(connectQmp(join(folder.path, 'nobody'))), 'DRV_FAILED')).toBe(true);
    const path = await monitor(() => undefined, 'HTTP/1.1 400 Bad Request\r\n');
    expect(String(await failure(connectQmp(path)))).toContain('not of its protocol');
  });

  it('is silent about a monitor that another client holds, for as long as it may be', async () => {
    const path = await monitor(() => undefined, '');
    expect(String(await failure(connectQmp(path, { timeoutMs: 20 })))).toContain('no greeting within');
  });

  it('works with a real QEMU, where there is one', async ({ skip }) => {
    const socket = join(folder.path, 'real.sock');
    const qemu = await startProcess([
      'qemu-system-x86_64',
      ...['-S', '-nodefaults', '-no-user-config', '-machine', 'none', '-display', 'none'],
      ...['-qmp', `unix:${socket},server=on,wait=off`],
    ]).catch(() => undefined);
    if (qemu === undefined) return skip();
    qemu.stdout.resume();
    qemu.stderr.resume();
    try {
      const qmp = await waitFor(
        async () => {
          const found = await connectQmp(socket).catch(() => undefined);
          return found === undefined ? { done: false, seen: 'nobody listens' } : { done: true, value: found };
        },
        { what: 'the monitor', deadlineMs: 15_000 },
      );
      expect(qmp.version).toMatch(/^\d+\.\d+\.\d+$/);
      expect(await qmp.execute('query-status')).toMatchObject({ running: false });
      expect(await qmp.monitor('info status')).toContain('VM status');
      expect(String(await failure(qmp.execute('no-such-command')))).toContain('no-such-command');
      const shutdown = qmp.nextEvent('SHUTDOWN').catch(() => undefined);
      await qmp.execute('quit');
      await shutdown;
      expect((await qemu.ended).exitCode).toBe(0);
    } finally {
      await qemu.end();
    }
  });
});
