import { sql, type Kysely } from 'kysely';

import { currentTest, matching, runsInWindow, testsNamed } from './filters.js';
import { statusOfCode } from './record.js';
import type { Schema } from './schema.js';
import type { AttemptRow, Filter, HistoryRow, SignatureRow } from './store.js';

/** Reads of single attempts, and of what their failures have in common. */

export async function readHistory(db: Kysely<Schema>, filter: Filter, limit = 1000): Promise<HistoryRow[]> {
  const rows = await db
    .selectFrom('run')
    // Fixed order on SQLite: from the newest run back, each test by the key of `result`, until the limit is reached.
    .crossJoin('test as own_test')
    .crossJoin('result')
    .innerJoin('test', (join) => join.on('test.id', '=', currentTest))
    .innerJoin('repository', 'repository.id', 'test.repository_id')
    .innerJoin('environment', 'environment.id', 'run.environment_id')
    .innerJoin('suite', 'suite.id', 'run.suite_id')
    .innerJoin('revision', 'revision.id', 'run.revision_id')
    .leftJoin('failure', 'failure.id', 'result.failure_id')
    .whereRef('result.run_id', '=', 'run.id')
    .whereRef('result.test_id', '=', 'own_test.id')
    .where('own_test.id', 'in', testsNamed(db, filter))
    .$call((query) => matching(query, filter))
    .$call((query) => runsInWindow(query, filter))
    .select([
      'repository.name as repository',
      'environment.name as environment',
      'test.package as package',
      'test.name as test',
      'run.uid as runUid',
      'suite.name as suite',
      'revision.sha as sha',
      'revision.position as position',
      'run.branch as branch',
      'run.pull_request as pullRequest',
      'run.url as url',
      'run.started_at as startedAtMs',
      'run.excluded as excluded',
      'result.attempt as attempt',
      'result.status as status',
      'result.duration_ms as durationMs',
      'failure.message as message',
    ])
    .orderBy('run.started_at', 'desc')
    .orderBy('run.id', 'desc')
    .orderBy('test.id')
    .orderBy('result.attempt', 'desc')
    .limit(limit)
    .execute();
  return rows.map(({ sha, ...row }) => ({
    ...row,
    status: statusOfCode(row.status),
    commit: sha.startsWith('run:') ? undefined : sha,
    position: row.position ?? undefined,
    branch: row.branch ?? undefined,
    pullRequest: row.pullRequest ?? undefined,
    url: row.url ?? undefined,
    excluded: row.excluded ?? undefined,
    durationMs: row.durationMs ?? undefined,
    message: row.message ?? undefined,
  }));
}

export async function readSignatures(db: Kysely<Schema>, filter: Filter = {}): Promise<SignatureRow[]> {
  const rows = await namedResults(db, filter)
    .innerJoin('failure', 'failure.id', 'result.failure_id')
    .innerJoin('signature as own', 'own.id', 'failure.signature_id')
    .innerJoin('signature', 'signature.id', 'own.cluster_id')
    .where('result.failure_id', 'is not', null)
    .groupBy(['repository.name', 'environment.name', 'test.package', 'test.name', 'signature.id'])
    .select([
      'repository.name as repository',
      'environment.name as environment',
      'test.package as package',
      'test.name as test',
      sql<string>`min(signature.key)`.as('key'),
      sql<string>`min(own.text)`.as('text'),
      sql<number>`min(signature.weak)`.as('weak'),
      sql<number>`cast(count(*) as double precision)`.as('failures'),
      sql<number>`cast(count(distinct run.revision_id) as double precision)`.as('commits'),
      sql<number>`min(run.started_at)`.as('firstAtMs'),
      sql<number>`max(run.started_at)`.as('lastAtMs'),
      sql<number>`coalesce(min(own.first_at), min(run.started_at))`.as('bornAtMs'),
    ])
    .orderBy('failures', 'desc')
    .orderBy('key')
    .orderBy('repository.name')
    .orderBy('environment.name')
    .orderBy('test.package')
    .orderBy('test.name')
    .execute();
  return rows.map((row) => ({ ...row, weak: row.weak === 1 }));
}

export async function readAttempts(db: Kysely<Schema>, filter: Filter = {}): Promise<AttemptRow[]> {
  const rows = await namedResults(db, filter)
    .select([
      'environment.name as environment',
      'test.package as package',
      'test.name as test',
      'result.status as status',
      'result.duration_ms as durationMs',
    ])
    .orderBy('run.id')
    .orderBy('result.test_id')
    .orderBy('result.attempt')
    .execute();
  return rows.map((row) => ({ ...row, status: statusOfCode(row.status), durationMs: row.durationMs ?? undefined }));
}

/** Results of the runs that count, with the names of what they are of; narrowed. */
function namedResults(db: Kysely<Schema>, filter: Filter) {
  return db
    .selectFrom('result')
    .innerJoin('run', 'run.id', 'result.run_id')
    .innerJoin('test as own_test', 'own_test.id', 'result.test_id')
    .innerJoin('test', (join) => join.on('test.id', '=', currentTest))
    .innerJoin('repository', 'repository.id', 'test.repository_id')
    .innerJoin('environment', 'environment.id', 'run.environment_id')
    .where('run.excluded', 'is', null)
    .$call((query) => matching(query, filter))
    .$call((query) => runsInWindow(query, filter));
}
