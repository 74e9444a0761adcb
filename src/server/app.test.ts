import { gunzipSync, gzipSync } from 'node:zlib';

import { Ajv2020 } from 'ajv/dist/2020.js';
import addFormatsModule from 'ajv-formats';
import type { Hono } from 'hono';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';

import { HOSTILE_TEST, SAMPLE_ENVIRONMENTS, sampleHistory } from '../../integration/support/flake-sample.js';
import { sampleRun } from '../../integration/support/report-sample.js';
import { openFlakeStore, type FlakeStore } from '../flake/index.js';
import { MkCiError } from '../errors.js';
import { createLogger } from '../log.js';
import { createDashboard, isToken, type WriteOptions } from './app.js';
import { badgeOfRate, renderBadge } from './badge.js';
import { openApiDocument } from './openapi.js';
import { parseListen } from './listen.js';
import { VersionedCache } from './response-cache.js';

const TOKEN = 'a-token-of-some-length';
const ASSETS = { script: 'start()', style: 'body{}' };
const [environment] = SAMPLE_ENVIRONMENTS;
const addFormats = addFormatsModule.default;

const logged: string[] = [];
const log = createLogger({ write: (line) => void logged.push(line), level: 'debug' });

function dashboard(store: FlakeStore, writes?: Partial<WriteOptions>): Hono {
  return createDashboard({
    store,
    assets: ASSETS,
    toolVersion: '1.2.3',
    log,
    ...(writes === undefined ? {} : { writes: { token: TOKEN, store, readRun: readSample, ...writes } }),
  });
}

/** A reader that wants one word and knows one run. */
const readSample: WriteOptions['readRun'] = async (body, query) => {
  const pieces: Uint8Array[] = [];
  for await (const piece of body) pieces.push(piece);
  const text = Buffer.concat(pieces).toString();
  if (!text.startsWith('run ')) throw new MkCiError('RES_UNKNOWN_FORMAT', { message: text.slice(0, 10) });
  return { run: { ...sampleRun(), runId: text }, meta: { repository: query.repository ?? 'o/r' } };
};

function query(path: string, parameters: Readonly<Record<string, string>>): string {
  return `${path}?${new URLSearchParams(parameters).toString()}`;
}

const TEST_PAGE = query('/api/pages/test', { environment, test: HOSTILE_TEST });

describe('the dashboard over a history', () => {
  let store: FlakeStore;
  let app: Hono;

  beforeAll(async () => {
    store = await openFlakeStore(':memory:');
    await store.write(sampleHistory({ days: 30, runsADay: 1, tests: 8 }));
    app = dashboard(store);
  });

  afterAll(async () => {
    await store.close();
  });

  it('answers every documented address with what its document says', async () => {
    const document = openApiDocument('1.2.3') as unknown as OpenApi;
    const commit = ((await (await app.request('/api/commits?limit=1')).json()) as { items: { commit: string }[] })
      .items[0];
    const values: Record<string, string> = { environment, test: HOSTILE_TEST, commit: commit?.commit ?? '' };
    const ajv = new Ajv2020({ strict: false });
    addFormats(ajv);
    const paths = Object.entries(document.paths);
    expect(paths.length).toBeGreaterThan(6);
    for (const [path, { get }] of paths) {
      const required = get.parameters
        .filter(({ required: is }) => is)
        .map(({ name }) => [name, values[name] ?? ''] as const);
      const response = await app.request(query(path, Object.fromEntries(required)));
      expect([path, response.status]).toEqual([path, 200]);
      const [type, { schema }] = Object.entries(get.responses['200']?.content ?? {})[0] ?? expect.fail();
      expect(response.headers.get('content-type')).toBe(type);
      if (type !== 'application/json') continue;
      const validate = ajv.compile(schema);
      validate(await response.json());
      expect(validate.errors).toBeNull();
    }
  });

  it('gives its own description', async () => {
    const document = (await (await app.request('/api/openapi.json')).json()) as OpenApi;
    expect(document.openapi).toBe('3.1.0');
    const test = document.paths['/api/pages/test']?.get.parameters ?? [];
    expect(test.map(({ name, required }) => [name, required])).toContainEqual(['days', false]);
    expect(test.find(({ name }) => name === 'days')?.schema).toEqual({ type: 'integer', minimum: 1, maximum: 3650 });
  });

  it('answers 304 to the tag of an answer, and anew after a write', async () => {
    await using changing = await openFlakeStore(':memory:');
    const [first, second] = sampleHistory({ days: 1, tests: 2 });
    await changing.write([first ?? expect.fail()]);
    const own = dashboard(changing);
    const etag = (await own.request('/api/pages/overview')).headers.get('etag') ?? '';
    const again = await own.request('/api/pages/overview', { headers: { 'if-none-match': `"other", W/${etag}` } });
    expect(again.status).toBe(304);
    expect(await again.text()).toBe('');
    await changing.write([second ?? expect.fail()]);
    const after = await own.request('/api/pages/overview', { headers: { 'if-none-match': etag } });
    expect(after.status).toBe(200);
    expect(await after.json()).toMatchObject({ totals: { runs: 2 } });
  });

  it('packs answers for those who unpack them', async () => {
    const plain = await (await app.request(TEST_PAGE)).text();
    const response = await app.request(TEST_PAGE, { headers: { 'accept-encoding': 'br, gzip' } });
    expect(response.headers.get('content-encoding')).toBe('gzip');
    expect(gunzipSync(new Uint8Array(await response.arrayBuffer())).toString()).toBe(plain);
    expect(response.headers.get('vary')).toBe('accept-encoding');
  });

  it('gives lists by pages, each row once', async () => {
    const names: string[] = [];
    let offset: number | undefined = 0;
    for (let page = 0; offset !== undefined && page < 100; page += 1) {
      const response = await app.request(`/api/tests?limit=7&offset=${String(offset)}`);
      const { items, next } = (await response.json()) as { items: object[]; next?: number };
      names.push(...items.map((item) => JSON.stringify(item)));
      offset = next;
    }
    expect(names).toHaveLength(8 * SAMPLE_ENVIRONMENTS.length);
    expect(new Set(names).size).toBe(names.length);
  });

  it.each([
    ['/api/runs?limit=0', 'limit'],
    ['/api/runs?limit=1e9', 'limit'],
    ['/api/runs?offset=-1', 'offset'],
    ['/api/runs?enviroment=x', 'enviroment'],
    ['/api/runs?environment=a&environment=b', 'environment given twice'],
    ['/api/pages/test', 'test'],
    ['/api/tests?search=%00', 'NUL'],
    ['/api/pages/environment?environment=a%00', 'NUL'],
    ['/api/pages/overview?days=x', 'days'],
    ['/api/pages/overview?until=2026-13-01', 'until'],
    ['/api/pages/overview?runs=none', 'runs'],
  ])('refuses %s and says why', async (path, word) => {
    const response = await app.request(path);
    expect(response.status).toBe(400);
    expect(response.headers.get('content-type')).toBe('application/problem+json');
    expect(await response.json()).toMatchObject({
      code: 'SRV_BAD_REQUEST',
      title: expect.stringContaining(word) as string,
    });
  });

  it.each(["' OR 1=1 --", "'; DROP TABLE run; --", '%', '_', '\\', '"', '\u{1F600}', 'x'.repeat(2_000)])(
    'takes %j as a name and nothing else',
    async (text) => {
      for (const path of [
        query('/api/pages/test', { environment: text, test: text }),
        query('/api/pages/environment', { environment: text }),
        query('/api/pages/environment', { environment, repository: text }),
        query('/badge.svg', { environment: text }),
      ]) {
        expect((await app.request(path)).status).toBe(404);
      }
      const found = await app.request(query('/api/tests', { search: text.slice(0, 200) }));
      const { items } = (await found.json()) as { items: { test: string }[] };
      for (const { test } of items) expect(test.toLowerCase()).toContain(text.toLowerCase());
      expect(await store.counts({ environment })).not.toEqual([]);
    },
  );

  it('lets nothing of a name be markup', async () => {
    const badge = await app.request(query('/badge.svg', { environment, test: HOSTILE_TEST }));
    const svg = await badge.text();
    expect(svg).not.toMatch(/<script|<img|\u202e/);
    expect(
      svg.match(/<[a-z]+/g)?.every((tag) => ['<svg', '<title', '<clip', '<rect', '<g', '<text'].includes(tag)),
    ).toBe(true);
    expect(badge.headers.get('content-security-policy')).toContain("default-src 'none'");
    const error = await app.request(query('/api/pages/environment', { environment: HOSTILE_TEST }));
    expect(error.headers.get('content-type')).toBe('application/problem+json');
    expect(error.headers.get('x-content-type-options')).toBe('nosniff');
  });

  it('serves a page that loads nothing but its own data', async () => {
    const page = await app.request('/');
    const policy = page.headers.get('content-security-policy') ?? '';
    expect(policy).toContain("default-src 'none'");
    expect(policy).toMatch(/script-src 'sha256-[^']+';/);
    expect(policy).toContain("connect-src 'self'");
    expect(policy).not.toMatch(/unsafe|https?:|\*/);
    const moved = await app.request('/?env=Docker_Linux&test=TestA%2Fb');
    expect(moved.status).toBe(302);
    expect(moved.headers.get('location')).toBe('/#test?environment=Docker_Linux&test=TestA%2Fb');
  });

  it('takes nothing in without a token file', async () => {
    const response = await app.request('/api/runs', {
      method: 'POST',
      body: 'run 1',
      headers: { authorization: 'Bearer x' },
    });
    expect(response.status).toBe(403);
    expect(await response.json()).toMatchObject({ code: 'SRV_READ_ONLY' });
    for (const method of ['PUT', 'DELETE', 'PATCH'])
      expect((await app.request('/api/runs', { method })).status).toBe(404);
  });

  it('keeps what went wrong inside to its log', async () => {
    const broken = dashboard({
      ...store,
      dataVersion: async () =>
        await Promise.reject(new MkCiError('DB_CORRUPT', { message: '/home/somebody/flake.db' })),
    });
    const response = await broken.request('/api/pages/overview');
    expect(response.status).toBe(500);
    expect(await response.text()).not.toContain('somebody');
    expect(logged.join('\n')).toContain('/home/somebody/flake.db');
  });
});

describe('taking results in', () => {
  let store: FlakeStore;

  beforeEach(async () => {
    store = await openFlakeStore(':memory:');
    return async () => {
      await store.close();
    };
  });

  const post = async (app: Hono, body: BodyInit, headers: Record<string, string> = {}, path = '/api/runs') =>
    await app.request(path, { method: 'POST', body, headers: { authorization: `Bearer ${TOKEN}`, ...headers } });

  it('stores a run once, however often it is sent', async () => {
    const app = dashboard(store, {});
    const first = await post(app, 'run 1');
    expect(first.status).toBe(201);
    const { runs, results } = (await first.json()) as { runs: number; results: number };
    expect(runs).toBeGreaterThan(0);
    expect(results).toBeGreaterThan(500);
    const second = await post(app, 'run 1');
    expect(second.status).toBe(200);
    expect(await second.json()).toMatchObject({ runs: 0, results: 0, known: runs });
    expect(await (await app.request('/api/runs?limit=200')).json()).toMatchObject({ items: { length: runs } });
  });

  it('unpacks gzip', async () => {
    const response = await post(dashboard(store, {}), gzipSync('run 2'), { 'content-encoding': 'gzip' });
    expect(response.status).toBe(201);
  });

  it.each([
    undefined,
    '',
    'Bearer',
    'Bearer wrong',
    `Basic ${TOKEN}`,
    `Bearer ${TOKEN}x`,
    `Bearer ${TOKEN.slice(0, -1)}`,
  ])('refuses the authorization %j', async (authorization) => {
    const app = dashboard(store, {});
    const response = await app.request('/api/runs', {
      method: 'POST',
      body: 'run 3',
      ...(authorization === undefined ? {} : { headers: { authorization } }),
    });
    expect(response.status).toBe(401);
    expect(response.headers.get('www-authenticate')).toContain('Bearer');
    expect(await store.counts()).toEqual([]);
  });

  it('refuses what is too large: announced, streamed or unpacked', async () => {
    const app = dashboard(store, { maxBytes: 1_000 });
    const streamed = new ReadableStream<Uint8Array>({
      pull: (controller) => {
        controller.enqueue(new TextEncoder().encode('run '.repeat(100)));
      },
    });
    const answers = [
      await post(app, `run ${'x'.repeat(2_000)}`, { 'content-length': '2004' }),
      await app.request(
        new Request('http://localhost/api/runs', {
          method: 'POST',
          body: streamed,
          duplex: 'half',
          headers: { authorization: `Bearer ${TOKEN}` },
        } as RequestInit),
      ),
      await post(app, gzipSync(`run ${'0'.repeat(10_000_000)}`), { 'content-encoding': 'gzip' }),
    ];
    expect(answers.map(({ status }) => status)).toEqual([413, 413, 413]);
    expect(await store.counts()).toEqual([]);
  });

  it('says what is wrong with a body', async () => {
    const app = dashboard(store, {});
    expect((await post(app, 'something else')).status).toBe(422);
    expect((await post(app, 'no gzip', { 'content-encoding': 'gzip' })).status).toBe(400);
    expect((await post(app, 'run', { 'content-encoding': 'br' })).status).toBe(400);
    expect((await post(app, 'run 4', {}, '/api/runs?url=javascript:alert(1)')).status).toBe(400);
  });

  it('asks to come again when too many send at once', async () => {
    let release: (() => void) | undefined;
    const held = new Promise<void>((resolve) => (release = resolve));
    const app = dashboard(store, {
      maxUploads: 1,
      readRun: async (...all) => {
        await held;
        return await readSample(...all);
      },
    });
    const first = post(app, 'run 5');
    const second = await post(app, 'run 6');
    expect(second.status).toBe(503);
    expect(second.headers.get('retry-after')).toBe('2');
    release?.();
    expect((await first).status).toBe(201);
    expect((await post(app, 'run 6')).status).toBe(201);
  });
});

describe('parts of the server', () => {
  it('knows its token and no other', () => {
    expect(isToken('Bearer abcdefghijklmnop', 'abcdefghijklmnop')).toBe(true);
    expect(isToken('bearer abcdefghijklmnop', 'abcdefghijklmnop')).toBe(true);
    expect(isToken('Bearer ', '')).toBe(false);
    expect(isToken(undefined, '')).toBe(false);
  });

  it('keeps answers while they are true, makes each once, and forgets the oldest', async () => {
    const cache = new VersionedCache<string>({ maxBytes: 400, bytesOf: (text) => text.length });
    let made = 0;
    const make = async (): Promise<string> => {
      made += 1;
      return 'x'.repeat(90);
    };
    await Promise.all([cache.get('a', '1', make), cache.get('a', '1', make)]);
    await cache.get('a', '1', make);
    expect(made).toBe(1);
    await cache.get('a', '2', make);
    expect(made).toBe(2);
    for (const key of ['b', 'c', 'd', 'e']) await cache.get(key, '2', make);
    expect(made).toBe(6);
    await cache.get('e', '2', make);
    expect(made).toBe(6);
    await cache.get('a', '2', make);
    expect(made).toBe(7);
  });

  it('does not keep an error', async () => {
    const cache = new VersionedCache<string>({ bytesOf: (text) => text.length });
    await expect(cache.get('a', '1', async () => await Promise.reject(new Error('away')))).rejects.toThrow('away');
    expect(await cache.get('a', '1', async () => 'here')).toBe('here');
  });

  it('judges badges by the interval', () => {
    expect(badgeOfRate('T', { failed: 0, attempts: 0, low: 0, high: 1 })).toMatchObject({
      value: 'no runs',
      tone: 'unknown',
    });
    expect(badgeOfRate('T', { failed: 0, attempts: 9, rate: 0, low: 0, high: 0.2 })).toMatchObject({ tone: 'good' });
    expect(badgeOfRate('T', { failed: 1, attempts: 2, rate: 0.5, low: 0.03, high: 0.9 })).toMatchObject({
      value: '50 % failed (1 of 2)',
      tone: 'fair',
    });
    expect(badgeOfRate('T', { failed: 50, attempts: 100, rate: 0.5, low: 0.4, high: 0.6 })).toMatchObject({
      tone: 'bad',
    });
    expect(renderBadge({ label: `${'long/'.repeat(40)}end`, value: '1', tone: 'good' })).toMatch(/…[^<]{40,60}end</);
  });

  it('reads addresses to listen on', () => {
    expect(parseListen('127.0.0.1:7117')).toEqual({ host: '127.0.0.1', port: 7117 });
    expect(parseListen('[::1]:0')).toEqual({ host: '::1', port: 0 });
    for (const text of ['7117', ':1', 'a:70000', 'a b:1', '127.0.0.1']) {
      expect(() => parseListen(text)).toThrow(/SRV_LISTEN|can not be listened on/);
    }
  });
});

interface OpenApi {
  readonly openapi: string;
  readonly paths: Readonly<
    Record<
      string,
      {
        readonly get: {
          readonly parameters: readonly {
            readonly name: string;
            readonly required: boolean;
            readonly schema: object;
          }[];
          readonly responses: Readonly<
            Record<string, { readonly content: Readonly<Record<string, { readonly schema: object }>> }>
          >;
        };
      }
    >
  >;
}
