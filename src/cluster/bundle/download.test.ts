import { randomBytes } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';

import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { createTemporaryFolder, type TemporaryFolder } from '../../files.js';
import { download, rangeStart, type DownloadOptions } from './download.js';
import { createHttpClient, failureOf, HttpFailure, splitCredentials, type HttpClient } from './http.js';
import { sha256Of, startLoopbackServer, type Fault, type LoopbackServer } from './testing/rig.js';

const CONTENT = randomBytes(300_000);
const SUM = sha256Of(CONTENT);

let server: LoopbackServer;
let http: HttpClient;
let folder: TemporaryFolder;

beforeEach(async () => {
  server = await startLoopbackServer(new Map([['file', CONTENT]]));
  http = createHttpClient({ env: {}, connectTimeoutMs: 10_000, silenceMs: 10_000 });
  folder = await createTemporaryFolder();
});
afterEach(async () => {
  await http[Symbol.asyncDispose]();
  await server[Symbol.asyncDispose]();
  await folder[Symbol.asyncDispose]();
});

function get(overrides: Partial<DownloadOptions> = {}, path = 'file'): Promise<{ path: string; sizeBytes: number }> {
  return download(`${server.origin}/${path}`, {
    http,
    workFolder: folder.path,
    partialFolder: join(folder.path, 'partial'),
    sha256: SUM,
    signal: new AbortController().signal,
    retryPauseMs: 1,
    ...overrides,
  });
}

function withFaults(...faults: Fault[]): void {
  server.faults.set('file', faults);
}

describe('download', () => {
  it('brings the file and says how far it is', async () => {
    const seen: number[] = [];
    const { path, sizeBytes } = await get({
      onProgress: ({ bytes, totalBytes }) => {
        expect(totalBytes).toBe(CONTENT.length);
        seen.push(bytes);
      },
    });
    expect((await readFile(path)).equals(CONTENT)).toBe(true);
    expect(sizeBytes).toBe(CONTENT.length);
    expect(seen.at(-1)).toBe(CONTENT.length);
    expect(await readdir(folder.path)).toEqual([path.slice(folder.path.length + 1)]);
  });

  it('continues where the server broke off, as often as it takes', async () => {
    withFaults(...Array.from({ length: 3 }, (): Fault => ({ kind: 'cut', afterBytes: 30_000 })));
    const { path } = await get({ retries: 10 });
    expect((await readFile(path)).equals(CONTENT)).toBe(true);
    const starts = server.requests.map(({ range }) => Number(/\d+/.exec(range ?? '0')?.[0]));
    expect(starts).toHaveLength(4);
    expect(starts).toEqual(starts.toSorted((left, right) => left - right));
    // What was sent but not yet read when the connection broke is lost, so only this much is sure.
    expect(starts.at(-1)).toBeGreaterThan(0);
  });

  it('starts again when the server ignores the range', async () => {
    withFaults({ kind: 'cut', afterBytes: 100_000 }, { kind: 'ignore-range' });
    const { path } = await get();
    expect((await readFile(path)).equals(CONTENT)).toBe(true);
    expect(server.requests).toHaveLength(2);
  });

  it('does not believe a range that it did not ask for', async () => {
    withFaults({ kind: 'cut', afterBytes: 100_000 }, { kind: 'wrong-range', shift: 5 });
    const { path } = await get();
    expect((await readFile(path)).equals(CONTENT)).toBe(true);
  });

  it('starts again when the answer has nothing to recognise the file by', async () => {
    server.sendsValidators = false;
    withFaults({ kind: 'cut', afterBytes: 100_000 });
    const { path } = await get();
    expect((await readFile(path)).equals(CONTENT)).toBe(true);
    expect(server.requests.map(({ range }) => range)).toEqual([undefined, undefined]);
  });

  it('does not mix two files when the file changed on the server in between', async () => {
    withFaults({ kind: 'cut', afterBytes: 100_000 });
    const changed = randomBytes(200_000);
    const { path } = await get({
      sha256: sha256Of(changed),
      onRetry: () => {
        server.files.set('file', changed);
      },
    });
    expect((await readFile(path)).equals(changed)).toBe(true);
  });

  it('continues in another process what an aborted one had', async () => {
    withFaults({ kind: 'stall' });
    const abort = new AbortController();
    const first = get({
      signal: abort.signal,
      onProgress: ({ bytes }) => {
        if (bytes >= 150_000) abort.abort(new Error('interrupted'));
      },
    });
    await expect(first).rejects.toThrow('interrupted');
    expect((await readdir(join(folder.path, 'partial'))).sort()).toEqual([`${SUM}.part`, `${SUM}.part.json`]);
    expect(await readdir(folder.path)).toEqual(['partial']);
    const { path } = await get();
    expect((await readFile(path)).equals(CONTENT)).toBe(true);
    expect(server.requests[1]?.range).toBe('bytes=150000-');
  });

  it('tries again after 500, 429 and silence', async () => {
    withFaults({ kind: 'status', status: 500 }, { kind: 'status', status: 429 }, { kind: 'silent' }, { kind: 'stall' });
    const retried: string[] = [];
    await using impatient = createHttpClient({ env: {}, silenceMs: 200 });
    const { path } = await get({ http: impatient, retries: 20, onRetry: (message) => retried.push(message) });
    expect((await readFile(path)).equals(CONTENT)).toBe(true);
    expect(retried[0]).toContain('HTTP 500');
    expect(retried[1]).toContain('HTTP 429');
    expect(retried[2]).toContain('silent');
    expect(retried[3]).toContain('silent');
  });

  it('gives up when the server stays in trouble', async () => {
    withFaults(...Array.from({ length: 9 }, (): Fault => ({ kind: 'status', status: 503 })));
    await expect(get({ retries: 2 })).rejects.toMatchObject({ kind: 'broken', status: 503 });
    expect(server.requests).toHaveLength(3);
  });

  it.each([403, 404, 410])('asks once only when the answer is %i', async (status) => {
    withFaults({ kind: 'status', status });
    await expect(get()).rejects.toMatchObject({ kind: 'refused', status });
    expect(server.requests).toHaveLength(1);
  });

  it('refuses a file whose sum does not fit, after a second look', async () => {
    const retried: string[] = [];
    const bad = get({ sha256: 'f'.repeat(64), onRetry: (message) => retried.push(message) });
    await expect(bad).rejects.toMatchObject({
      code: 'BND_CHECKSUM',
      message: expect.stringContaining('/file') as string,
    });
    expect(server.requests).toHaveLength(2);
    expect(retried).toHaveLength(1);
    expect(await readdir(folder.path)).not.toContain('f'.repeat(64));
    expect(await readdir(join(folder.path, 'partial')).catch(() => [])).toEqual([]);
  });

  it('recovers when only the partial file was bad', async () => {
    withFaults({ kind: 'stall' });
    const abort = new AbortController();
    const first = get({
      signal: abort.signal,
      onProgress: () => {
        abort.abort(new Error('interrupted'));
      },
    });
    await expect(first).rejects.toThrow('interrupted');
    const { writeFile } = await import('node:fs/promises');
    await writeFile(join(folder.path, 'partial', `${SUM}.part`), randomBytes(1000));
    const { path } = await get();
    expect((await readFile(path)).equals(CONTENT)).toBe(true);
  });

  it('does not try again when nobody answers', async () => {
    const { origin } = server;
    await server[Symbol.asyncDispose]();
    const retried: string[] = [];
    const options = {
      http,
      workFolder: folder.path,
      partialFolder: folder.path,
      sha256: SUM,
      signal: new AbortController().signal,
      onRetry: (message: string) => retried.push(message),
    };
    await expect(download(`${origin}/file`, options)).rejects.toMatchObject({ kind: 'unreachable' });
    expect(retried).toEqual([]);
    server = await startLoopbackServer();
  });
});

describe('the HTTP client', () => {
  it('limits the length of a text', async () => {
    const text = http.getText(`${server.origin}/file`, { signal: new AbortController().signal, maxBytes: 1000 });
    await expect(text).rejects.toThrow('longer than 1000');
  });

  it('sends credentials of the address as a header only', () => {
    expect(splitCredentials('https://me:p%40ss@mirror.example/x')).toEqual({
      address: 'https://mirror.example/x',
      authorization: `Basic ${Buffer.from('me:p@ss').toString('base64')}`,
    });
    expect(splitCredentials('https://mirror.example/x').authorization).toBeUndefined();
  });

  it('asks through the proxy that the environment names', async () => {
    await using client = createHttpClient({ env: { http_proxy: server.origin }, silenceMs: 500 });
    const text = client.getText('http://unknown.invalid/file', { signal: new AbortController().signal });
    // A proxy is asked with CONNECT or with the whole address; this server knows neither, but it was asked.
    await expect(text).rejects.toBeInstanceOf(HttpFailure);
    const direct = createHttpClient({ env: { http_proxy: server.origin, no_proxy: '127.0.0.1' } });
    await expect(
      direct.getText(`${server.origin}/file`, { signal: new AbortController().signal }),
    ).resolves.toHaveLength(CONTENT.toString('utf8').length);
    await direct[Symbol.asyncDispose]();
  });

  it('tells unreachable hosts from broken connections', () => {
    const coded = (code: string): Error => Object.assign(new Error('x'), { code });
    expect(failureOf(new TypeError('fetch failed', { cause: coded('ENOTFOUND') })).kind).toBe('unreachable');
    expect(failureOf(new TypeError('fetch failed', { cause: new AggregateError([coded('ECONNREFUSED')]) })).kind).toBe(
      'unreachable',
    );
    expect(failureOf(new TypeError('terminated', { cause: coded('UND_ERR_SOCKET') })).kind).toBe('broken');
    expect(failureOf(new Error('odd')).kind).toBe('broken');
  });
});

describe('rangeStart', () => {
  it.each([
    ['bytes 100-199/200', 100],
    ['bytes 0-0/*', 0],
    ['bytes */200', -1],
    ['items 1-2/3', -1],
    [null, -1],
  ])('reads %j as %i', (header, expected) => {
    expect(rangeStart(header)).toBe(expected);
  });
});
