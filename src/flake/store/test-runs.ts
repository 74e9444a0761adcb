import { sql, type Kysely } from 'kysely';

import type { Status } from '../../results/model.js';
import type { DaySpan, RunScope, SeriesRow } from './chart-scope.js';
import { DAY_MS, statusOfCode } from './record.js';
import type { Schema } from './schema.js';

/** A run of an environment; the same for every test of it. */
export interface EnvironmentRunRow {
  readonly id: number;
  readonly uid: string;
  readonly sha: string;
  readonly position: number | null;
  readonly branch: string | null;
  readonly pullRequest: number | null;
  readonly url: string | null;
  readonly startedAtMs: number;
  readonly excluded: string | null;
}

/** An attempt of one test. */
export interface TestRunRow<Run = EnvironmentRunRow> {
  readonly run: Run;
  readonly attempt: number;
  readonly status: Status;
  readonly durationMs: number | null;
  readonly message: string | null;
}

/** Runs of one environment, newest first. */
export async function readEnvironmentRuns(
  db: Kysely<Schema>,
  environmentId: number,
  { from, to }: DaySpan,
  options: { readonly runs?: RunScope['runs']; readonly limit: number },
): Promise<EnvironmentRunRow[]> {
  return await db
    .selectFrom('run')
    .innerJoin('revision', 'revision.id', 'run.revision_id')
    .where('run.environment_id', '=', environmentId)
    .where('run.started_at', '>=', from * DAY_MS)
    .where('run.started_at', '<', (to + 1) * DAY_MS)
    .$if(options.runs === 'base', (query) => query.where('run.pull_request', 'is', null))
    .$if(options.runs === 'pull-requests', (query) => query.where('run.pull_request', 'is not', null))
    .select([
      'run.id as id',
      'run.uid as uid',
      'revision.sha as sha',
      'revision.position as position',
      'run.branch as branch',
      'run.pull_request as pullRequest',
      'run.url as url',
      sql<number>`cast(run.started_at as double precision)`.as('startedAtMs'),
      'run.excluded as excluded',
    ])
    .orderBy('run.started_at', 'desc')
    .orderBy('run.id', 'desc')
    .limit(options.limit)
    .execute();
}

/** Runs whose results are read at a time. */
const CHUNK = 1_000;

/**
 * Attempts of one series, newest run first.
 *
 * Looks the runs up in `result`, which is clustered by run: an index by test would read every attempt the test ever had, in
 * all environments.
 *
 * @param runs of the environment, newest first
 */
export async function readTestRuns<Run extends Pick<EnvironmentRunRow, 'id' | 'startedAtMs'>>(
  db: Kysely<Schema>,
  { environmentId, testId }: Pick<SeriesRow, 'environmentId' | 'testId'>,
  runs: readonly Run[],
  limit: number,
): Promise<TestRunRow<Run>[]> {
  const found: { readonly run: Run; readonly row: ResultRow }[] = [];
  for (let at = 0; at < runs.length && found.length < limit; at += CHUNK) {
    const chunk = runs.slice(at, at + CHUNK);
    const rowsOf = await readResults(db, environmentId, testId, chunk);
    for (const run of chunk) for (const row of rowsOf.get(run.id) ?? []) found.push({ run, row });
  }
  const shown = found.slice(0, limit);
  const messages = await readMessages(
    db,
    shown.flatMap(({ row: { failureId } }) => (failureId === null ? [] : [failureId])),
  );
  return shown.map(({ run, row: { attempt, status, durationMs, failureId } }) => ({
    run,
    attempt,
    status: statusOfCode(status),
    durationMs,
    message: failureId === null ? null : (messages.get(failureId) ?? null),
  }));
}

interface ResultRow {
  readonly runId: number;
  readonly attempt: number;
  readonly status: number;
  readonly durationMs: number | null;
  readonly failureId: number | null;
}

/** By run, last attempt first. */
async function readResults(
  db: Kysely<Schema>,
  environmentId: number,
  testId: number,
  runs: readonly Pick<EnvironmentRunRow, 'startedAtMs'>[],
): Promise<Map<number, ResultRow[]>> {
  // CROSS JOIN keeps SQLite from turning the order of the join around.
  const { rows } = await sql<ResultRow>`
    SELECT result.run_id AS "runId", result.attempt AS "attempt", result.status AS "status",
      result.duration_ms AS "durationMs", result.failure_id AS "failureId"
    FROM run CROSS JOIN result
    WHERE run.environment_id = ${environmentId} AND run.started_at >= ${runs.at(-1)?.startedAtMs ?? 0}
      AND run.started_at <= ${runs[0]?.startedAtMs ?? 0} AND result.run_id = run.id AND result.test_id = ${testId}`.execute(
    db,
  );
  const byRun = new Map<number, ResultRow[]>();
  for (const row of rows) {
    const own = byRun.get(row.runId);
    if (own === undefined) byRun.set(row.runId, [row]);
    else {
      own.push(row);
      own.sort((left, right) => right.attempt - left.attempt);
    }
  }
  return byRun;
}

async function readMessages(db: Kysely<Schema>, failureIds: readonly number[]): Promise<Map<number, string>> {
  if (failureIds.length === 0) return new Map();
  const rows = await db
    .selectFrom('failure')
    .where('id', 'in', [...new Set(failureIds)])
    .select(['id', 'message'])
    .execute();
  return new Map(rows.map(({ id, message }) => [id, message]));
}
