import { join } from 'node:path';

import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { SAMPLE_ENVIRONMENTS, sampleHistory } from '../../integration/support/flake-sample.js';
import { createTemporaryFolder, type TemporaryFolder } from '../files.js';
import { openFlakeStore } from '../flake/index.js';
import { READ_ROUTES } from './api.js';
import { createReadPool } from './read-pool.js';

let folder: TemporaryFolder;
let location: string;
beforeEach(async () => {
  folder = await createTemporaryFolder('mk-ci-read-pool-');
  location = join(folder.path, 'flake.db');
  await using store = await openFlakeStore(location);
  await store.write(sampleHistory());
});
afterEach(async () => {
  await folder[Symbol.asyncDispose]();
});

describe('threads that read the database', { timeout: 30_000 }, () => {
  it('give the answers of the routes and their errors, many at once', async () => {
    await using store = await openFlakeStore(location, { readonly: true });
    await using pool = createReadPool({ location, threads: 2 });
    const asked: [path: string, query: object][] = [
      ['/api/pages/overview', {}],
      ...SAMPLE_ENVIRONMENTS.map((environment): [string, object] => ['/api/pages/environment', { environment }]),
    ];
    const texts = await Promise.all(asked.map(async ([path, query]) => await pool.read(path, query)));
    for (const [index, [path, query]] of asked.entries()) {
      expect(texts[index]).toBe(await READ_ROUTES.find((route) => route.path === path)?.read(store, query));
    }
    await expect(pool.read('/api/pages/environment', { environment: 'none' })).rejects.toMatchObject({
      code: 'DB_NOT_FOUND',
      message: expect.stringMatching(/: environment none$/) as string,
    });
    await expect(pool.read('/nowhere', {})).rejects.toThrow('no address /nowhere');
  });

  it('say what is wrong with the database, and end with what waits', async () => {
    const pool = createReadPool({ location: join(folder.path, 'none.db'), threads: 1 });
    await expect(pool.read('/api/pages/overview', {})).rejects.toMatchObject({ code: 'DB_OPEN' });
    const left = Promise.allSettled([1, 2, 3].map(async () => await pool.read('/api/pages/overview', {})));
    await pool[Symbol.asyncDispose]();
    expect((await left).map(({ status }) => status)).toEqual(['rejected', 'rejected', 'rejected']);
  });
});
