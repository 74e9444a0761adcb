import { sql, type Kysely } from 'kysely';

import { inWindow, isByName, named } from './filters.js';
import { BLOCK_FORMAT, BLOCK_FORMAT_KEY, WindowTotals, blockOf, type WindowSums } from './daily-block.js';
import type { Schema } from './schema.js';
import type { Filter } from './store.js';

/** Sums of every series over a window, from the rollup. */

/** Sums of integers are `bigint` in Postgres, sums of those `numeric`; both engines give a JavaScript number this way. */
export const total = (column: string) => sql<number>`cast(coalesce(sum(${sql.ref(column)}), 0) as double precision)`;

export type FindSums = (seriesId: number) => WindowSums | undefined;

/** A block is read whole: with fewer series of it than this, their own days are read. */
const FEWEST_OF_A_BLOCK = 16;

/** Two ways to the same sums (`store-contract.test-kit.ts`): by blocks for many series, day by day for few. */
export async function readWindow(
  db: Kysely<Schema>,
  filter: Filter,
  series: readonly { readonly seriesId: number }[],
): Promise<FindSums> {
  if (series.length === 0) return () => undefined;
  const blocks = [...new Set(series.map(({ seriesId }) => blockOf(seriesId)))];
  if (series.length < blocks.length * FEWEST_OF_A_BLOCK || !(await hasBlocks(db))) return await sumDays(db, filter);
  return await sumBlocks(db, filter, isByName(filter) ? blocks : undefined);
}

/** A file of an earlier version that is only read has none. */
export async function hasBlocks(db: Kysely<Schema>): Promise<boolean> {
  const row = await db.selectFrom('meta').select('value').where('key', '=', BLOCK_FORMAT_KEY).executeTakeFirst();
  return row?.value === BLOCK_FORMAT;
}

export async function sumBlocks(db: Kysely<Schema>, filter: Filter, blocks?: readonly number[]): Promise<FindSums> {
  const rows = await inWindow(db.selectFrom('daily_block'), filter, 'daily_block')
    .$if(blocks !== undefined, (query) => query.where('block', 'in', blocks ?? []))
    .select(['day', 'block', 'sums'])
    .execute();
  const totals = new WindowTotals();
  for (const { day, block, sums } of rows) totals.add(block, day, sums);
  return (seriesId) => totals.of(seriesId);
}

/** On SQLite `cross` fixes the order: series by series, each with a seek to the window, in the order of grouping. */
export async function sumDays(db: Kysely<Schema>, filter: Filter): Promise<FindSums> {
  const rows = await inWindow(
    db
      .selectFrom('series')
      .crossJoin('daily')
      .whereRef('daily.series_id', '=', 'series.id')
      .$if(isByName(filter), (query) => query.where('series.id', 'in', named(db, filter).select('series.id'))),
    filter,
  )
    .groupBy('series.id')
    .select([
      'series.id as seriesId',
      total('daily.passed').as('passed'),
      total('daily.failed').as('failed'),
      total('daily.skipped').as('skipped'),
      total('daily.error').as('error'),
      total('daily.timedout').as('timedout'),
      total('daily.notrun').as('notrun'),
      total('daily.runs').as('runs'),
      total('daily.failed_runs').as('failedRuns'),
      total('daily.mixed_runs').as('mixedRuns'),
      total('daily.passed_ms').as('passedMs'),
      total('daily.failed_ms').as('failedMs'),
      sql<number>`cast(count(nullif(daily.runs, 0)) as double precision)`.as('clusters'),
      sql<number>`cast(sum(case when daily.failed + daily.timedout > 0
        then 1.0 * (daily.failed + daily.timedout) * (daily.failed + daily.timedout)
          / (daily.passed + daily.failed + daily.timedout)
        else 0 end) as double precision)`.as('squares'),
      sql<number>`min(daily.day)`.as('firstDay'),
      sql<number>`max(daily.day)`.as('lastDay'),
    ])
    .execute();
  const found = new Map(rows.map(({ seriesId, ...sums }) => [seriesId, sums]));
  return (seriesId) => found.get(seriesId);
}
