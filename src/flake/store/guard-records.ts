import type { Kysely } from 'kysely';

import { infrastructureReason } from '../statistics/infrastructure-guard.js';
import type { RunRecord } from './record.js';
import type { Schema } from './schema.js';

/** Marks the records of runs that say nothing about their tests; those that have a reason keep it. */
export async function guardRecords(db: Kysely<Schema>, records: readonly RunRecord[]): Promise<RunRecord[]> {
  const guarded: RunRecord[] = [];
  for (const record of records) {
    const reason =
      record.excluded ??
      infrastructureReason({ results: record.results, usualSizes: await readUsualSizes(db, record) });
    guarded.push(reason === undefined ? record : { ...record, excluded: reason });
  }
  return guarded;
}

/** Numbers of tests in the last 20 whole runs of the same suite and environment. */
async function readUsualSizes(db: Kysely<Schema>, record: RunRecord): Promise<number[]> {
  const rows = await db
    .selectFrom('run')
    .innerJoin('repository', 'repository.id', 'run.repository_id')
    .innerJoin('environment', 'environment.id', 'run.environment_id')
    .innerJoin('suite', 'suite.id', 'run.suite_id')
    .where('repository.name', '=', record.repository)
    .where('environment.name', '=', record.environment)
    .where('suite.name', '=', record.suite)
    .where('run.complete', '=', 1)
    .where('run.excluded', 'is', null)
    .select('run.tests as tests')
    .orderBy('run.started_at', 'desc')
    .limit(20)
    .execute();
  return rows.map(({ tests }) => tests);
}
