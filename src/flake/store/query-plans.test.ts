import { Kysely, SqliteDialect, type CompiledQuery } from 'kysely';
import { afterAll, describe, expect, it } from 'vitest';

import { readLastDay } from './chart-runs.js';
import { readSeriesOfTest } from './chart-series.js';
import type { Schema } from './schema.js';
import { openSqlite } from './sqlite-open.js';
import { readEnvironmentRuns, readTestRuns } from './test-runs.js';

/** What a page of a test reads must cost by what it shows, so SQLite may neither read a table from end to end nor sort all runs. */

const database = openSqlite(':memory:', {});
let asked: CompiledQuery[] = [];
const db = new Kysely<Schema>({
  dialect: new SqliteDialect({ database }),
  log: ({ query }) => {
    asked.push(query);
  },
});
afterAll(async () => {
  await db.destroy();
});

async function plansOf(read: () => Promise<unknown>): Promise<string[]> {
  asked = [];
  await read();
  return asked.flatMap(({ sql, parameters }) => {
    const steps = database.prepare(`EXPLAIN QUERY PLAN ${sql}`).all(...parameters) as { readonly detail: string }[];
    return steps.map(({ detail }) => detail);
  });
}

const span = { from: 0, to: 100 };
const test = { test: 'TestA' };

describe('a page of a test', () => {
  it.each([
    ['the newest run of an environment', () => readLastDay(db, { repository: 'o/r', environment: 'docker' })],
    ['the newest run of all', () => readLastDay(db)],
    ['the runs of an environment', () => readEnvironmentRuns(db, 1, span, { limit: 10 })],
    [
      'the attempts of a test',
      () => readTestRuns(db, { environmentId: 1, testId: 1 }, [{ id: 1, startedAtMs: 1 }], 10),
    ],
  ])('finds %s in an index', async (_, read) => {
    const plans = await plansOf(read);
    expect(plans.length).toBeGreaterThan(0);
    expect(plans.join('\n')).not.toMatch(/SCAN (?!run USING (?:COVERING )?INDEX run_by_time)|TEMP B-TREE/);
  });

  it.each([
    ['one repository', { ...test, repository: 'o/r', package: 'p' }],
    ['any repository', { ...test, package: 'p' }],
    ['any package', test],
  ])('reads no series but those of the test, of %s', async (_, name) => {
    const plans = await plansOf(() => readSeriesOfTest(db, name));
    expect(plans.join('\n')).toContain('SEARCH series USING');
    expect(plans.join('\n')).not.toContain('SCAN series');
  });
});
