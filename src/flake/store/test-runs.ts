import { sql, type Kysely } from 'kysely';

import type { Status } from '../../results/model.js';
import type { DaySpan, RunScope, SeriesRow } from './chart-scope.js';
import { DAY_MS, statusOfCode } from './record.js';
import type { Schema } from './schema.js';

export interface TestRunRow {
  readonly uid: string;
  readonly sha: string;
  readonly position: number | null;
  readonly branch: string | null;
  readonly pullRequest: number | null;
  readonly url: string | null;
  readonly startedAtMs: number;
  readonly excluded: string | null;
  readonly attempt: number;
  readonly status: Status;
  readonly durationMs: number | null;
  readonly message: string | null;
}

/**
 * Attempts of one series, newest run first.
 *
 * Goes over the runs of the environment and looks each up in `result`, which is clustered by run: the index by test would
 * read every attempt the test ever had, in all environments.
 */
export async function readTestRuns(
  db: Kysely<Schema>,
  series: SeriesRow,
  span: DaySpan,
  options: { readonly runs?: RunScope['runs']; readonly limit: number },
): Promise<TestRunRow[]> {
  const pull =
    options.runs === 'base'
      ? sql`AND run.pull_request IS NULL`
      : options.runs === 'pull-requests'
        ? sql`AND run.pull_request IS NOT NULL`
        : sql``;
  // CROSS JOIN keeps SQLite from turning the order of the join around.
  const { rows } = await sql<Omit<TestRunRow, 'status'> & { readonly status: number }>`
    SELECT run.uid AS "uid", revision.sha AS "sha", revision.position AS "position", run.branch AS "branch",
      run.pull_request AS "pullRequest", run.url AS "url", run.started_at AS "startedAtMs", run.excluded AS "excluded",
      result.attempt AS "attempt", result.status AS "status", result.duration_ms AS "durationMs",
      failure.message AS "message"
    FROM (
      SELECT id, uid, revision_id, branch, pull_request, url, started_at, excluded FROM run
      WHERE environment_id = ${series.environmentId} AND started_at >= ${span.from * DAY_MS}
        AND started_at < ${(span.to + 1) * DAY_MS} ${pull}
      ORDER BY started_at DESC, id DESC LIMIT ${options.limit * 4}
    ) AS run
    CROSS JOIN result
    JOIN revision ON revision.id = run.revision_id
    LEFT JOIN failure ON failure.id = result.failure_id
    WHERE result.run_id = run.id AND result.test_id = ${series.testId}
    ORDER BY run.started_at DESC, run.id DESC, result.attempt DESC
    LIMIT ${options.limit}`.execute(db);
  return rows.map((row) => ({ ...row, status: statusOfCode(row.status) }));
}
