import { readFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';

import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { createTemporaryFolder, type TemporaryFolder } from '../../files.js';
import { identifyProcess } from '../../process.js';
import { rotateLog } from './component.js';
import type { ComponentPlan, SupervisorPlan } from './plan.js';
import { parseSupervisorState, type SupervisorState } from './state.js';
import { supervise } from './supervisor.js';

/** A loaded host may take its time. */
const poll = <T>(look: () => T): ReturnType<typeof expect.poll<T>> => expect.poll(look, { timeout: 15_000 });

describe('supervise', () => {
  let temporary: TemporaryFolder;
  let server: Server;
  let stop: AbortController;

  beforeEach(async () => {
    temporary = await createTemporaryFolder();
    stop = new AbortController();
    server = createServer((request, response) => {
      response.statusCode = request.url === '/ok' ? 200 : 503;
      response.end();
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  });
  afterEach(async () => {
    stop.abort();
    server.close();
    server.closeAllConnections();
    await temporary[Symbol.asyncDispose]();
  });

  const component = (name: string, script: string, rest: Partial<ComponentPlan> = {}): ComponentPlan => ({
    name,
    argv: ['sh', '-c', script],
    labels: { role: name },
    after: [],
    ready: { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/ok` },
    stopTimeoutMs: 10_000,
    ...rest,
  });
  const plan = (...components: ComponentPlan[]): SupervisorPlan => ({
    version: 1,
    components,
    stateFile: join(temporary.path, 'state.json'),
    logsFolder: temporary.path,
    logBytes: 1000,
    readyTimeoutMs: 15_000,
  });
  const state = async (): Promise<SupervisorState | undefined> =>
    parseSupervisorState(await readFile(join(temporary.path, 'state.json'), 'utf8').catch(() => ''));
  const log = async (name: string): Promise<string> => await readFile(join(temporary.path, `${name}.log`), 'utf8');

  it('starts in order, ends in reverse, and leaves nothing', async () => {
    const script = (name: string): string =>
      `echo start ${name} >> ${temporary.path}/order; trap 'echo end ${name} >> ${temporary.path}/order; exit 0' TERM; while :; do sleep 0.01; done`;
    const ended = supervise(
      plan(component('b', script('b'), { after: ['a'] }), component('a', script('a'))),
      stop.signal,
    );
    // b comes first in the list, so it is ended last; but it was started only after a.
    await poll(async () => (await state())?.phase).toBe('running');
    const order = join(temporary.path, 'order');
    await poll(async () => await readFile(order, 'utf8')).toBe('start a\nstart b\n');
    const pids = (await state())!.components.map(({ process }) => process!.pid);
    stop.abort();
    expect((await ended).phase).toBe('ended');
    expect(await readFile(order, 'utf8')).toBe('start a\nstart b\nend a\nend b\n');
    expect(pids.map(identifyProcess)).toEqual([undefined, undefined]);
  });

  it('fails when one dies while starting, and keeps what it said', async () => {
    const last = await supervise(
      plan(
        component('well', 'exec sleep 60'),
        component('ill', 'echo reason >&2; exit 3', {
          after: ['well'],
          ready: { url: 'http://127.0.0.1:1/' },
        }),
      ),
      stop.signal,
    );
    expect(last).toMatchObject({
      phase: 'failed',
      failure: { component: 'ill', kind: 'exited', seen: 'exit code 3' },
      components: [{ state: 'ended' }, { state: 'ended' }],
    });
    expect(await log('ill')).toBe('reason\n');
  });

  it('fails when one is not ready in time, with what was seen last', async () => {
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/no`;
    const last = await supervise(
      { ...plan(component('slow', 'exec sleep 60', { ready: { url } })), readyTimeoutMs: 100 },
      stop.signal,
    );
    expect(last.failure).toEqual({ component: 'slow', kind: 'not-ready', seen: `HTTP 503 from ${url}` });
  });

  it('fails for a program that is not there', async () => {
    const ready = { url: 'http://127.0.0.1:1/' };
    const last = await supervise(
      plan({ ...component('none', '', { ready }), argv: ['/nowhere/program'] }),
      stop.signal,
    );
    expect(last.failure?.component).toBe('none');
  });

  it('starts again what died after all were ready', async () => {
    const ended = supervise(plan(component('a', 'exec sleep 60')), stop.signal);
    await poll(async () => (await state())?.phase).toBe('running');
    process.kill((await state())!.components[0]!.process!.pid, 'SIGKILL');
    await poll(async () => (await state())?.components[0]).toMatchObject({
      state: 'ready',
      restarts: 1,
      lastExit: 'ended by SIGKILL',
    });
    stop.abort();
    await ended;
  });

  it('kills what does not end, also when it is paused', async () => {
    const ended = supervise(
      plan(component('deaf', `trap '' TERM; while :; do sleep 1; done`, { stopTimeoutMs: 100 })),
      stop.signal,
    );
    await poll(async () => (await state())?.phase).toBe('running');
    const { pid } = (await state())!.components[0]!.process!;
    process.kill(-pid, 'SIGSTOP');
    stop.abort();
    expect((await ended).components[0]?.lastExit).toBe('ended by SIGKILL');
    expect(identifyProcess(pid)).toBeUndefined();
  });
});

describe('rotateLog', () => {
  it('bounds a log that is being appended to, and keeps one old piece', async () => {
    await using temporary = await createTemporaryFolder();
    const { appendFileSync, openSync, writeSync, closeSync } = await import('node:fs');
    const path = join(temporary.path, 'x.log');
    const writer = openSync(path, 'a');
    writeSync(writer, 'old '.repeat(10));
    rotateLog(temporary.path, 'x', 100);
    expect((await readFile(path, 'utf8')).length).toBe(40);
    rotateLog(temporary.path, 'x', 40);
    writeSync(writer, 'new');
    closeSync(writer);
    appendFileSync(path, '!');
    expect(await readFile(path, 'utf8')).toBe('new!');
    expect(await readFile(`${path}.1`, 'utf8')).toBe('old '.repeat(10));
    rotateLog(temporary.path, 'not-there', 1);
  });
});
