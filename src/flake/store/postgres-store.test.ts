import { PGlite } from '@electric-sql/pglite';
import type { PostgresPool } from 'kysely';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import type { Migration } from './migrations.js';
import { openPostgresStore } from './postgres-store.js';
import { describeStoreContract } from './store-contract.test-kit.js';

// One server for the file: starting it costs a second. Each test drops the schema of the one before.
const server = new PGlite();

// Most of the time of this file goes here, a minute on a busy host.
beforeAll(async () => {
  await server.waitReady;
}, 180_000);

afterAll(async () => {
  await server.close();
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
  return {
    connect: async () => client as never,
    end: async () => undefined,
  };
}

async function openEmpty(migrations?: readonly Migration[]) {
  await server.exec('DROP SCHEMA IF EXISTS mk_ci CASCADE');
  return await openPostgresStore('postgres://pglite', {
    pool: poolOf(server),
    ...(migrations === undefined ? {} : { migrations }),
  });
}

describeStoreContract('Postgres', async () => await openEmpty());

describe('openPostgresStore', () => {
  it('refuses a schema that a newer version made', async () => {
    await (await openEmpty()).close();
    await server.exec(`UPDATE mk_ci.meta SET value = '99' WHERE key = 'schema-version'`);
    await expect(openPostgresStore('postgres://pglite', { pool: poolOf(server) })).rejects.toMatchObject({
      code: 'DB_NEWER',
    });
  });

  it('refuses a schema of that name that is not ours', async () => {
    await server.exec(
      'DROP SCHEMA mk_ci CASCADE; CREATE SCHEMA mk_ci; CREATE TABLE mk_ci.else (id int)'.replace('else', 'other'),
    );
    await expect(openPostgresStore('postgres://pglite', { pool: poolOf(server) })).rejects.toMatchObject({
      code: 'DB_FOREIGN',
    });
  });

  it('says DB_OPEN without the password when nothing listens', async () => {
    const opening = openPostgresStore('postgres://user:secret@127.0.0.1:1/db', { retryMs: 0 });
    await expect(opening).rejects.toMatchObject({
      code: 'DB_OPEN',
      message: expect.not.stringContaining('secret') as string,
    });
  });
});
