/**
 * The flake database on a real PostgreSQL server: needs Debian's package `postgresql` (any version) and, when the tests run
 * as root, its user `postgres`. The server is started here, listens on loopback only, and is removed at the end.
 */
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { openFlakeStore } from '../src/flake/index.js';
import { describeStoreContract, results, runRecord } from '../src/flake/store/store-contract.test-kit.js';
import { exec } from '../src/exec.js';
import { createTemporaryFolder } from '../src/files.js';
import { PROGRAM, mkCi } from './mk-ci.js';
import { writeRuns } from './support/flake-writer.js';
import { expectWritersToTakeTurns } from './support/flake-writers.js';
import { PostgresServer, findPostgres } from './support/postgres-server.js';

const bin = findPostgres();
let server: PostgresServer;
let databases = 0;

async function newDatabase(options?: { readonly socket: boolean }): Promise<string> {
  databases += 1;
  const client = new pg.Client({ connectionString: server.url() });
  await client.connect();
  await client.query(`CREATE DATABASE test${databases}`);
  await client.end();
  return server.url(`test${databases}`, options);
}

async function restarted(signal: 'SIGQUIT' | 'SIGINT'): Promise<void> {
  await server.end(signal);
  await server.begin();
}

describe.skipIf(bin === undefined)('PostgreSQL of Debian (skipped: not installed)', () => {
  beforeAll(async () => {
    server = await PostgresServer.start(bin ?? '');
  });
  afterAll(async () => {
    await server[Symbol.asyncDispose]();
  });

  describeStoreContract('a real Postgres server', async () => await openFlakeStore(await newDatabase()));

  it('is reached over the socket of the server too', async () => {
    await using store = await openFlakeStore(await newDatabase({ socket: true }));
    expect(await store.write([runRecord({ results: results('A:F') })])).toMatchObject({ runs: 1 });
  });

  for (const signal of ['SIGQUIT', 'SIGINT'] as const) {
    it(`survives a restart (${signal}) of the server in the middle of ingest`, async () => {
      const database = await newDatabase();
      let restart: Promise<void> | undefined;
      const writer = await writeRuns({
        database,
        prefix: 'w',
        runs: 150,
        tests: 40,
        onRun: (count) => {
          if (count === 40) restart = restarted(signal);
        },
      });
      await restart;
      expect(writer).toMatchObject({ exitCode: 0, stderr: '' });
      expect(writer.committed).toHaveLength(150);
      await using store = await openFlakeStore(database, { readonly: true });
      const rows = await store.counts();
      expect(rows.map(({ runs }) => runs)).toEqual(Array.from({ length: 40 }, () => 150));
    });
  }

  it('lets two processes write at once, and what they share is stored once', async () => {
    await expectWritersToTakeTurns(await newDatabase(), { runs: 60, tests: 30 });
  });

  it('holds the same as the SQLite file that was merged into it, and gives it back', async () => {
    await using temporary = await createTemporaryFolder();
    const file = `${temporary.path}/flake.db`;
    const back = `${temporary.path}/back.db`;
    const database = await newDatabase();
    await writeRuns({ database: file, prefix: 'w', runs: 20, tests: 20 });
    const flake = async (...args: string[]) => (await exec([process.execPath, PROGRAM, 'flake', ...args])).stdout;
    await flake('merge', file, '--database', database);
    await flake('merge', database, '--database', back);
    const rates = await flake('rates', '--all-time', '--json', '--database', file);
    expect(await flake('rates', '--all-time', '--json', '--database', database)).toBe(rates);
    expect(await flake('rates', '--all-time', '--json', '--database', back)).toBe(rates);
  });

  it("imports gopogh's tables, and refuses other ones", async () => {
    const database = await newDatabase();
    const client = new pg.Client({ connectionString: database });
    await client.connect();
    const flakes = async (...args: string[]) => await mkCi(['flake', ...args]);
    await using temporary = await createTemporaryFolder();
    const file = `${temporary.path}/flake.db`;
    const into = ['--format', 'gopogh-db', '--database', file, '--repository', 'o/r'];
    try {
      const refused = await flakes('import', database, ...into);
      expect(refused).toMatchObject({ exitCode: 38, stderr: expect.stringContaining('DB_FOREIGN') as string });
      // Tables of gopogh's pkg/db/postgres.go; they have no order of tests.
      await client.query(`CREATE TABLE db_environment_tests (CommitID TEXT, EnvName TEXT, GopoghTime TIMESTAMP,
        TestTime TIMESTAMP, NumberOfFail INTEGER, NumberOfPass INTEGER, NumberOfSkip INTEGER, TotalDuration FLOAT,
        PRIMARY KEY (CommitID, EnvName))`);
      await client.query(`CREATE TABLE db_test_cases (PR TEXT, CommitID TEXT, EnvName TEXT, TestName TEXT, Result TEXT,
        TestTime TIMESTAMP, Duration FLOAT, PRIMARY KEY (CommitID, EnvName, TestName))`);
      // More than a page of the import, and pages that end inside a run.
      await client.query(`INSERT INTO db_test_cases SELECT '', 'c' || run, 'Env', 'Test' || test,
        CASE WHEN (run + test) % 10 = 0 THEN 'fail' WHEN test = 3 THEN 'skip' ELSE 'pass' END,
        timestamp '2026-01-01 00:30' + run * interval '1 hour', test FROM generate_series(1, 71) run, generate_series(1, 301) test`);
      await client.query(`INSERT INTO db_environment_tests VALUES ('c1', 'Env', now(), now(), 0, 0, 0, 12.5)`);
    } finally {
      await client.end();
    }
    expect(await flakes('import', database, ...into)).toMatchObject({
      exitCode: 0,
      stderr: '21371 results of 71 runs stored, 0 runs known before\n',
    });
    expect(await flakes('import', database, ...into)).toMatchObject({
      stderr: '0 results of 0 runs stored, 71 runs known before\n',
    });
    await using store = await openFlakeStore(file, { readonly: true });
    const runs = [];
    for await (const run of store.readRuns()) runs.push(run);
    expect(runs.find(({ commit }) => commit?.sha === 'c1')).toMatchObject({
      startedAtMs: Date.UTC(2026, 0, 1, 1, 30),
      durationMs: 12_500,
    });
    const rates = new Map((await store.counts()).map((row) => [row.test, row.counts]));
    // Runs 9, 19, … 69 and 1, 11, … 71.
    expect(rates.get('Test1')).toMatchObject({ failed: 7, passed: 64 });
    expect(rates.get('Test3')).toMatchObject({ failed: 7, skipped: 64 });
    expect(rates.get('Test9')).toMatchObject({ failed: 8, passed: 63 });
  });

  it('says DB_OPEN for a database that is not there', async () => {
    await expect(openFlakeStore(server.url('nowhere'))).rejects.toMatchObject({ code: 'DB_OPEN' });
  });
});
