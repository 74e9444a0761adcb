import { sql, type Expression, type Kysely, type SelectQueryBuilder } from 'kysely';

import { DAY_MS } from './record.js';
import type { Schema } from './schema.js';
import type { SeriesName } from './store.js';

/**
 * What the reads of the pages share (`chart-runs.ts`, `chart-series.ts`, `series-days.ts`, `test-runs.ts`), the same for
 * every engine. All of them cost by what is shown, not by the size of the history: days of environments come from `run`, tests
 * that fail from `failing_commit`, days of a test from `daily`, and only the attempts of one test come from `result`.
 */

/** Days since 1970-01-01, both inclusive. */
export interface DaySpan {
  readonly from: number;
  readonly to: number;
}

/** What runs a page is about. Names are exact. */
export interface RunScope {
  readonly repository?: string | undefined;
  readonly environment?: string | undefined;
  readonly environmentIds?: readonly number[] | undefined;
  /** @default 'all' */
  readonly runs?: 'all' | 'base' | 'pull-requests' | undefined;
}

export interface SeriesRow extends SeriesName {
  readonly seriesId: number;
  readonly testId: number;
  readonly environmentId: number;
}

/** Counts are `bigint` in Postgres; both engines give a JavaScript number this way. */
export const number = (expression: Expression<unknown>) =>
  sql<number>`cast(coalesce(${expression}, 0) as double precision)`;
export const sumOf = (column: string) => number(sql`sum(${sql.ref(column)})`);
export const countAll = () => number(sql`count(*)`);
/** The divisor stands in the text: as a parameter SQLite would divide reals. */
export const dayOfRun = () => sql<number>`(run.started_at / ${sql.lit(DAY_MS)})`;

/** Series with their names. */
export function seriesNames(db: Kysely<Schema>) {
  return db
    .selectFrom('series')
    .innerJoin('test', 'test.id', 'series.test_id')
    .innerJoin('repository', 'repository.id', 'test.repository_id')
    .innerJoin('environment', 'environment.id', 'series.environment_id')
    .select([
      'series.id as seriesId',
      'series.test_id as testId',
      'series.environment_id as environmentId',
      'repository.name as repository',
      'environment.name as environment',
      'test.package as package',
      'test.name as test',
    ]);
}

/** One id each: with a list of them SQLite sorts all runs of an environment to find its newest. */
export function runsOf(db: Kysely<Schema>, { repository, environment, environmentIds, runs }: RunScope) {
  return db
    .selectFrom('run')
    .$if(repository !== undefined, (query) =>
      query.where('run.repository_id', '=', (inner) =>
        inner
          .selectFrom('repository as wanted')
          .select('wanted.id')
          .where('wanted.name', '=', repository ?? ''),
      ),
    )
    .$if(environment !== undefined, (query) =>
      query.where('run.environment_id', '=', (inner) =>
        inner
          .selectFrom('environment as wanted')
          .select('wanted.id')
          .where('wanted.name', '=', environment ?? ''),
      ),
    )
    .$if(environmentIds !== undefined, (query) => query.where('run.environment_id', 'in', [...(environmentIds ?? [])]))
    .$if(runs === 'base', (query) => query.where('run.pull_request', 'is', null))
    .$if(runs === 'pull-requests', (query) => query.where('run.pull_request', 'is not', null));
}

export function runsIn<O>(query: SelectQueryBuilder<Schema, 'run', O>, { from, to }: DaySpan) {
  return query.where('run.started_at', '>=', from * DAY_MS).where('run.started_at', '<', (to + 1) * DAY_MS);
}
