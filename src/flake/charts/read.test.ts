import { PGlite } from '@electric-sql/pglite';
import type { PostgresPool } from 'kysely';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { sampleHistory, HOSTILE_TEST, SAMPLE_ENVIRONMENTS } from '../../../integration/support/flake-sample.js';
import { openPostgresStore } from '../store/postgres-store.js';
import { createSqliteStore } from '../store/sqlite-store.js';
import type { FlakeStore } from '../store/store.js';
import { readRunRows } from '../store/chart-runs.js';
import { searchSeries } from '../store/chart-series.js';
import { readTestPage } from './read-test.js';
import { readChartCommits, readCommitPage, readEnvironmentPage, readOverview } from './read.js';
import { commitPageSchema, environmentPageSchema, overviewSchema, testPageSchema } from './schemas.js';

const [environment] = SAMPLE_ENVIRONMENTS;
const HISTORY = { days: 40, runsADay: 2, tests: 14 };

describe('pages of one history', () => {
  let sqlite: FlakeStore;
  let postgres: FlakeStore;
  let server: PGlite;

  // Starting the server takes most of it, a minute on a busy host.
  beforeAll(async () => {
    sqlite = createSqliteStore(':memory:');
    server = new PGlite();
    await server.waitReady;
    postgres = await openPostgresStore('postgres://pglite', { pool: poolOf(server) });
    for (const store of [sqlite, postgres]) await store.write(sampleHistory(HISTORY));
  }, 180_000);

  afterAll(async () => {
    await sqlite.close();
    await postgres.close();
    await server.close();
  });

  it('are the same on both engines, and as their schemas say', async () => {
    const newest = (await sqlite.read((db) => readRunRows(db, {}, { limit: 1 })))[0];
    const reads = [
      async (store: FlakeStore) => overviewSchema.parse(await readOverview(store)),
      async (store: FlakeStore) =>
        overviewSchema.parse(await readOverview(store, { repository: 'kubernetes/minikube', runs: 'base', days: 20 })),
      async (store: FlakeStore) => environmentPageSchema.parse(await readEnvironmentPage(store, environment)),
      async (store: FlakeStore) => testPageSchema.parse(await readTestPage(store, { environment, test: HOSTILE_TEST })),
      async (store: FlakeStore) =>
        testPageSchema.parse(await readTestPage(store, { environment, test: HOSTILE_TEST }, { runs: 'pull-requests' })),
      async (store: FlakeStore) => commitPageSchema.parse(await readCommitPage(store, newest?.sha.slice(0, 9) ?? '')),
      async (store: FlakeStore) => await readChartCommits(store, { environment }, { limit: 5, offset: 3 }),
      async (store: FlakeStore) =>
        await store.read((db) => searchSeries(db, {}, 'restartCMD', { limit: 5, offset: 1 })),
      async (store: FlakeStore) =>
        await store.read((db) => readRunRows(db, { runs: 'pull-requests' }, { limit: 5, offset: 1 })),
    ];
    for (const read of reads) {
      const [left, right] = [await read(sqlite), await read(postgres)];
      expect(right).toEqual(left);
    }
  });

  it('count what the records hold', async () => {
    const records = [...sampleHistory(HISTORY)].filter(({ excluded }) => excluded === undefined);
    const overview = await readOverview(sqlite);
    expect(overview.totals.runs).toBe(records.length);
    expect(overview.totals.excludedRuns).toBe(1);
    expect(overview.totals.tests).toBe(records.length * HISTORY.tests);
    const own = records.filter((record) => record.environment === environment).flatMap(({ results }) => results);
    const attempts = own.filter(({ name }) => name === HOSTILE_TEST);
    const page = await readTestPage(sqlite, { environment, test: HOSTILE_TEST });
    expect(page.rate).toMatchObject({
      failed: attempts.filter(({ status }) => status === 'failed').length,
      attempts: attempts.length,
    });
    expect(page.attempts).toHaveLength(attempts.length);
    expect(page.days.reduce((sum, point) => sum + point.attempts, 0)).toBe(attempts.length);
    expect(page.environments).toHaveLength(SAMPLE_ENVIRONMENTS.length);
    expect(page.leftOut).toEqual({});
  });

  it('say which thing is not there', async () => {
    for (const read of [
      readEnvironmentPage(sqlite, 'nowhere'),
      readTestPage(sqlite, { environment, test: `x' OR '1'='1` }),
      readTestPage(sqlite, { environment: 'nowhere', test: HOSTILE_TEST }),
      readCommitPage(sqlite, 'fffffffff'),
      readCommitPage(sqlite, '%%%%'),
    ]) {
      await expect(read).rejects.toMatchObject({ code: 'DB_NOT_FOUND' });
    }
  });

  it('are empty for an empty database', async () => {
    await using empty = createSqliteStore(':memory:');
    expect(await readOverview(empty)).toMatchObject({ environments: [], tests: [], commits: [], totals: { runs: 0 } });
  });

  it('have another version after every write', async () => {
    for (const store of [sqlite, postgres]) {
      const before = await store.dataVersion();
      expect(await store.dataVersion()).toBe(before);
      const [record] = sampleHistory({ days: 1, tests: 1 });
      await store.write([{ ...(record ?? expect.fail()), uid: 'another', startedAtMs: 0 }]);
      expect(await store.dataVersion()).not.toBe(before);
    }
  });
});

/** PGlite has one connection; this gives it the shape of a pool. */
function poolOf(database: PGlite): PostgresPool {
  const client = {
    query: async (text: unknown, parameters?: readonly unknown[]) => {
      if (typeof text !== 'string') throw new TypeError('cursors are not used');
      const { rows, affectedRows } = await database.query(text, [...(parameters ?? [])]);
      return { command: 'SELECT' as const, rowCount: affectedRows ?? rows.length, rows };
    },
    release: () => undefined,
  };
  return { connect: async () => client as never, end: async () => undefined };
}
