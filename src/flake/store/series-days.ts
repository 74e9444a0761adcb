import { sql, type Kysely } from 'kysely';

import { number, type DaySpan, type RunScope } from './chart-scope.js';
import type { Schema } from './schema.js';

/** Reads of the pages about the days of tests. */

export interface SeriesDayRow {
  readonly seriesId: number;
  readonly day: number;
  readonly passed: number;
  readonly failed: number;
  readonly runs: number;
  readonly failedRuns: number;
  readonly mixedRuns: number;
  readonly durationMs: number;
}

/** Daily sums of some series. @param seriesIds at most a few hundred */
export async function readSeriesDays(
  db: Kysely<Schema>,
  seriesIds: readonly number[],
  span: DaySpan,
  runs: RunScope['runs'] = 'all',
): Promise<SeriesDayRow[]> {
  if (seriesIds.length === 0) return [];
  const rows = await db
    .selectFrom('daily')
    .where('daily.series_id', 'in', [...seriesIds])
    .where('daily.day', '>=', span.from)
    .where('daily.day', '<=', span.to)
    .$if(runs === 'base', (query) => query.where('daily.pull', '=', 0))
    .$if(runs === 'pull-requests', (query) => query.where('daily.pull', '=', 1))
    .select([
      'daily.series_id as seriesId',
      'daily.day as day',
      'daily.passed as passed',
      sql<number>`daily.failed + daily.timedout`.as('failed'),
      'daily.runs as runs',
      'daily.failed_runs as failedRuns',
      'daily.mixed_runs as mixedRuns',
      number(sql`daily.passed_ms + daily.failed_ms`).as('durationMs'),
    ])
    .orderBy('daily.series_id')
    .orderBy('daily.day')
    .execute();
  // A day has a row for each kind of run, next to each other; grouping in the database costs as much as reading.
  const days: SeriesDayRow[] = [];
  for (const row of rows) {
    const last = days.at(-1);
    if (last?.seriesId !== row.seriesId || last.day !== row.day) days.push(row);
    else days[days.length - 1] = addDays(last, row);
  }
  return days;
}

function addDays(left: SeriesDayRow, right: SeriesDayRow): SeriesDayRow {
  return {
    seriesId: left.seriesId,
    day: left.day,
    passed: left.passed + right.passed,
    failed: left.failed + right.failed,
    runs: left.runs + right.runs,
    failedRuns: left.failedRuns + right.failedRuns,
    mixedRuns: left.mixedRuns + right.mixedRuns,
    durationMs: left.durationMs + right.durationMs,
  };
}
