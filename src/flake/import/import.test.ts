import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import fc from 'fast-check';
import { asyncBufferFromFile, parquetReadObjects } from 'hyparquet';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { runOfRecords } from '../export/run-of-records.js';
import { writeParquet } from '../export/parquet.js';
import type { RunRecord } from '../store/record.js';
import { SqliteDatabase } from '../store/sqlite-library.js';
import { results, runRecord } from '../store/store-contract.test-kit.js';
import { readGopoghDatabase } from './gopogh-db.js';
import { parseNdjson } from './ndjson.js';

let folder = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'mk-ci-import-'));
});
afterEach(() => {
  rmSync(folder, { recursive: true, force: true });
});

async function listOf<T>(values: AsyncIterable<T>): Promise<T[]> {
  const list: T[] = [];
  for await (const value of values) list.push(value);
  return list;
}

const records: RunRecord[] = [
  runRecord({ pullRequest: 4, branch: 'b', url: 'https://ci/1', results: results('A:FP', 'Zoë "x",y:S') }),
  runRecord({ day: 2, complete: false, excluded: 'why', durationMs: 5, results: results('A:T') }),
];

describe('parseNdjson', () => {
  it('gives back what was exported, whatever is in the texts', async () => {
    expect(await listOf(parseNdjson(records.map((record) => JSON.stringify(record))))).toEqual(records);
    await fc.assert(
      fc.asyncProperty(fc.string(), fc.string({ minLength: 1 }), fc.string(), async (repository, name, message) => {
        const status = 'failed' as const;
        const record = runRecord({
          repository,
          results: [{ package: '', name, attempt: 1, status, failure: { message } }],
        });
        expect(await listOf(parseNdjson([JSON.stringify(record), '']))).toEqual([record]);
      }),
    );
  });

  it.each([
    ['{"uid":', 'line 2'],
    ['{"uid":"x"}', 'line 2: repository'],
    [
      JSON.stringify({ ...records[0], results: [{ package: '', name: 'A', attempt: 0, status: 'passed' }] }),
      'results.0.attempt',
    ],
  ])('says which line is no run: %s', async (line, message) => {
    await expect(listOf(parseNdjson([JSON.stringify(records[0]), line]))).rejects.toMatchObject({
      code: 'DB_BAD_INPUT',
      message: expect.stringContaining(message) as string,
    });
  });
});

describe('readGopoghDatabase', () => {
  it('makes a run of the rows of one commit and environment', async () => {
    const path = join(folder, 'gopogh.db');
    const db = new SqliteDatabase(path);
    // Statements of gopogh's pkg/db/sqlite.go.
    db.exec(`CREATE TABLE db_test_cases (PR TEXT, CommitId TEXT, TestName TEXT, Result TEXT, Duration REAL, EnvName TEXT,
      TestOrder INTEGER, TestTime TEXT, PRIMARY KEY (CommitId, EnvName, TestName))`);
    const insert = db.prepare('INSERT INTO db_test_cases VALUES (?, ?, ?, ?, ?, ?, ?, ?)');
    const time = '2023-06-01 12:30:00 +0000 UTC';
    insert.run('16000', 'abc:2023-06-01:77', 'TestB', 'fail', 1.5, 'Docker_Linux', 1, time);
    insert.run('16000', 'abc:2023-06-01:77', 'TestA', 'pass', 2, 'Docker_Linux', 0, time);
    insert.run('', 'abc:2023-06-01:77', 'TestA', 'skip', 0, 'KVM_Linux', 0, time);
    db.exec(`CREATE TABLE db_environment_tests (CommitID TEXT, EnvName TEXT, GopoghTime TEXT, TestTime TEXT,
      NumberOfFail INTEGER, NumberOfPass INTEGER, NumberOfSkip INTEGER, TotalDuration REAL, GopoghVersion TEXT,
      PRIMARY KEY (CommitID, EnvName))`);
    db.prepare(`INSERT INTO db_environment_tests VALUES (?, ?, '', ?, 1, 1, 0, 61.5, 'v0.29.0')`).run(
      'abc:2023-06-01:77',
      'Docker_Linux',
      time,
    );
    db.close();
    expect(await listOf(readGopoghDatabase(path, { repository: 'o/r' }))).toEqual([
      {
        uid: 'gopogh:o/r#Docker_Linux/abc:2023-06-01:77',
        repository: 'o/r',
        environment: 'Docker_Linux',
        suite: 'gopogh',
        commit: { sha: 'abc' },
        pullRequest: 16000,
        startedAtMs: Date.UTC(2023, 5, 1, 12, 30),
        durationMs: 61_500,
        complete: true,
        origin: 'gopogh',
        results: [
          { package: '', name: 'TestA', attempt: 1, status: 'passed', durationMs: 2000 },
          { package: '', name: 'TestB', attempt: 1, status: 'failed', durationMs: 1500 },
        ],
      },
      expect.objectContaining({ environment: 'KVM_Linux', results: [expect.objectContaining({ status: 'skipped' })] }),
    ]);
  });

  it('reads a file that has the table of test cases only', async () => {
    const path = join(folder, 'old.db');
    const db = new SqliteDatabase(path);
    db.exec(`CREATE TABLE db_test_cases (PR TEXT, CommitId TEXT, TestName TEXT, Result TEXT, Duration REAL, EnvName TEXT,
      TestOrder INTEGER, TestTime TEXT, PRIMARY KEY (CommitId, EnvName, TestName))`);
    db.exec(
      `INSERT INTO db_test_cases VALUES ('', 'abc', 'TestA', 'pass', 2, 'E', 0, '2023-06-01 12:30:00 +0000 UTC')`,
    );
    db.close();
    const [run] = await listOf(readGopoghDatabase(path));
    expect(run).toMatchObject({ environment: 'E', startedAtMs: Date.UTC(2023, 5, 1, 12, 30) });
    expect(run).not.toHaveProperty('durationMs');
  });

  it('refuses other files by name and does not make one that is missing', async () => {
    const other = join(folder, 'other.db');
    const db = new SqliteDatabase(other);
    db.exec('CREATE TABLE theirs (x)');
    db.close();
    await expect(listOf(readGopoghDatabase(other))).rejects.toMatchObject({ code: 'DB_FOREIGN' });
    await expect(listOf(readGopoghDatabase(join(folder, 'none.db')))).rejects.toMatchObject({ code: 'DB_OPEN' });
  });
});

describe('writeParquet', () => {
  it('writes attempts that hyparquet reads back with their types', async () => {
    const path = join(folder, 'history.parquet');
    expect(await writeParquet(path, records)).toBe(4);
    expect(readFileSync(path).subarray(0, 4).toString()).toBe('PAR1');
    const rows: Record<string, unknown>[] = await parquetReadObjects({ file: await asyncBufferFromFile(path) });
    expect(rows.map(({ test, attempt, status }) => [test, attempt, status])).toEqual([
      ['A', 1, 'failed'],
      ['A', 2, 'passed'],
      ['Zoë "x",y', 1, 'skipped'],
      ['A', 1, 'timedout'],
    ]);
    expect(rows[0]).toMatchObject({
      pull_request: 4,
      duration_ms: 1000n,
      failure: 'A broke',
      started_at: new Date(Date.UTC(2026, 0, 1, 12)),
    });
    expect(rows[3]).toMatchObject({ excluded: 'why' });
  });

  it('writes a file without rows for an empty history', async () => {
    const path = join(folder, 'empty.parquet');
    expect(await writeParquet(path, [])).toBe(0);
    expect(statSync(path).size).toBeGreaterThan(8);
    expect(await parquetReadObjects({ file: await asyncBufferFromFile(path) })).toEqual([]);
  });
});

describe('runOfRecords', () => {
  it('keeps attempts and calls a test flaky that did both', () => {
    const run = runOfRecords(records);
    expect(
      run.cells.map(({ environment, tests }) => [
        environment,
        tests.map(({ id, status, flaky }) => [id.name, status, flaky]),
      ]),
    ).toEqual([
      [
        'docker',
        [
          ['A', 'passed', true],
          ['Zoë "x",y', 'skipped', false],
        ],
      ],
      ['docker', [['A', 'timedout', false]]],
    ]);
    expect(runOfRecords([]).cells).toEqual([]);
  });
});
