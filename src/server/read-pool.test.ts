import { join } from 'node:path';

import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { HOSTILE_TEST, SAMPLE_ENVIRONMENTS, sampleHistory } from '../../integration/support/flake-sample.js';
import { createTemporaryFolder, type TemporaryFolder } from '../files.js';
import { testPageSchema } from '../flake/charts/index.js';
import { openFlakeStore } from '../flake/index.js';
import { createLogger } from '../log.js';
import { READ_ROUTES, readAnswer } from './api.js';
import { createDashboard } from './app.js';
import { createReadPool } from './read-pool.js';
import { warmPages } from './warm.js';

const log = createLogger({ write: () => undefined });
const HISTORY = { days: 10, runsADay: 1, tests: 8 };

let folder: TemporaryFolder;
let location: string;
beforeEach(async () => {
  folder = await createTemporaryFolder('mk-ci-read-pool-');
  location = join(folder.path, 'flake.db');
  await using store = await openFlakeStore(location);
  await store.write(sampleHistory(HISTORY));
}, 120_000);
afterEach(async () => {
  await folder[Symbol.asyncDispose]();
});

describe('threads that read the database', { timeout: 120_000 }, () => {
  it('give the answers of the routes and their errors, many at once', async () => {
    await using store = await openFlakeStore(location, { readonly: true });
    await using pool = createReadPool({ location, threads: 2 });
    const asked: [path: string, query: object][] = [
      ['/api/pages/overview', {}],
      ...SAMPLE_ENVIRONMENTS.map((environment): [string, object] => ['/api/pages/environment', { environment }]),
    ];
    const texts = await Promise.all(asked.map(async ([path, query]) => await pool.read(path, query)));
    for (const [index, [path, query]] of asked.entries()) {
      const route = READ_ROUTES.find((one) => one.path === path) ?? expect.fail();
      expect(texts[index]).toBe(await readAnswer(route, store, query));
    }
    await expect(pool.read('/api/pages/environment', { environment: 'none' })).rejects.toMatchObject({
      code: 'DB_NOT_FOUND',
      message: expect.stringMatching(/: environment none$/) as string,
    });
    await expect(pool.read('/nowhere', {})).rejects.toThrow('no address /nowhere');
  });

  it('show with the next answer what another process wrote', async () => {
    await using store = await openFlakeStore(location, { readonly: true });
    await using pool = createReadPool({ location, threads: 2 });
    const app = createDashboard({ store, read: pool.read, assets: { script: '', style: '' }, toolVersion: '1', log });
    const [environment] = SAMPLE_ENVIRONMENTS;
    const addresses = [
      '/api/pages/overview',
      `/api/pages/environment?environment=${environment}`,
      `/api/pages/test?${new URLSearchParams({ environment, test: HOSTILE_TEST }).toString()}`,
    ];
    const ask = async (tags: readonly string[] = []): Promise<{ tag: string; status: number; text: string }[]> =>
      await Promise.all(
        addresses.map(async (address, index) => {
          const headers = { 'if-none-match': tags[index] ?? '""' };
          const response = await app.request(address, { headers });
          return { tag: response.headers.get('etag') ?? '', status: response.status, text: await response.text() };
        }),
      );
    const before = await ask();
    const tags = before.map(({ tag }) => tag);
    expect((await ask(tags)).map(({ status }) => status)).toEqual([304, 304, 304]);
    await using writer = await openFlakeStore(location);
    const newest = [...sampleHistory(HISTORY)].filter((run) => run.environment === environment).at(-1) ?? expect.fail();
    for (const number of [1, 2]) {
      const { attempts: shown } = testPageSchema.parse(JSON.parse((await ask())[2]?.text ?? ''));
      await writer.write([{ ...newest, uid: `later ${String(number)}`, startedAtMs: newest.startedAtMs + number }]);
      const after = await ask(tags);
      expect(after.map(({ status }) => status)).toEqual([200, 200, 200]);
      const { attempts } = testPageSchema.parse(JSON.parse(after[2]?.text ?? ''));
      expect(attempts.filter(({ run }) => run === `later ${String(number)}`).length).toBeGreaterThan(0);
      expect(attempts.length).toBeGreaterThan(shown.length);
    }
  });

  it('read again only what a run may have changed', async () => {
    await using writer = await openFlakeStore(location);
    const read: string[] = [];
    const app = createDashboard({
      store: writer,
      read: async (path, query, part = 0) => {
        read.push(`${path} ${String(part)}`);
        const route = READ_ROUTES.find((one) => one.path === path) ?? expect.fail();
        return await (route.parts[part] ?? expect.fail()).read(writer, query);
      },
      assets: { script: '', style: '' },
      toolVersion: '1',
      log,
    });
    const [own, other] = SAMPLE_ENVIRONMENTS;
    const of = (path: string, more: Readonly<Record<string, string>> = {}): string =>
      `${path}?${new URLSearchParams({ environment: own, ...more }).toString()}`;
    const test = { test: HOSTILE_TEST };
    const addresses = [of('/api/pages/environment'), of('/api/pages/test', test), of('/badge.svg', test)];
    const ask = async (): Promise<[string[], string[]]> => {
      const texts: string[] = [];
      for (const address of addresses) texts.push(await (await app.request(address)).text());
      return [texts, read.splice(0)];
    };
    const all = ['/api/pages/environment 0', '/api/pages/test 0', '/api/pages/test 1', '/badge.svg 0'];
    const [before, first] = await ask();
    expect(first).toEqual(all);
    expect(await ask()).toEqual([before, []]);
    const write = async (environment: string, uid: string): Promise<void> => {
      const newest = [...sampleHistory(HISTORY)].filter((run) => run.environment === environment).at(-1);
      await writer.write([{ ...(newest ?? expect.fail()), uid }]);
    };
    await write(other, 'elsewhere');
    const [after, second] = await ask();
    expect(second).toEqual(['/api/pages/test 1']);
    const attempts = (text = ''): number =>
      testPageSchema
        .parse(JSON.parse(text))
        .environments.filter(({ environment }) => environment === other)
        .reduce((sum, { rate }) => sum + rate.attempts, 0);
    expect(attempts(after[1])).toBeGreaterThan(attempts(before[1]));
    await write(own, 'here');
    expect((await ask())[1]).toEqual(all);
  });

  it('are warmed by the pages that readers open first, and leave errors to them', async () => {
    const asked: string[] = [];
    await using store = await openFlakeStore(location, { readonly: true });
    const app = createDashboard({
      store,
      read: async (path, query, part = 0) => {
        asked.push(`${path} ${String((query as { environment?: string }).environment)}`);
        const route = READ_ROUTES.find((one) => one.path === path) ?? expect.fail();
        return await (route.parts[part] ?? expect.fail()).read(store, query);
      },
      assets: { script: '', style: '' },
      toolVersion: '1',
      log,
    });
    await warmPages(app, new AbortController().signal);
    for (const environment of SAMPLE_ENVIRONMENTS) expect(asked).toContain(`/api/pages/environment ${environment}`);
    const made = asked.length;
    await app.request('/api/pages/overview');
    expect(asked).toHaveLength(made);
    await warmPages(app, AbortSignal.abort());
    await store.close();
    await warmPages(app, new AbortController().signal);
    expect(asked).toHaveLength(made);
  });

  it('say what is wrong with the database, and end with what waits', async () => {
    const pool = createReadPool({ location: join(folder.path, 'none.db'), threads: 1 });
    await expect(pool.read('/api/pages/overview', {})).rejects.toMatchObject({ code: 'DB_OPEN' });
    const left = Promise.allSettled([1, 2, 3].map(async () => await pool.read('/api/pages/overview', {})));
    await pool[Symbol.asyncDispose]();
    expect((await left).map(({ status }) => status)).toEqual(['rejected', 'rejected', 'rejected']);
  });
});
