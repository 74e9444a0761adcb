import { sql, type Kysely } from 'kysely';

import { number, type DaySpan, type RunScope } from './chart-scope.js';
import { addDaysOfBlock, blockOf, BLOCK_SERIES, type BlockDay } from './daily-block.js';
import { inWindow } from './filters.js';
import { DAY_MS } from './record.js';
import type { Schema } from './schema.js';
import type { Filter } from './store.js';
import { hasBlocks } from './window-sums.js';

/** Reads of the pages about the days of tests. */

export interface SeriesDayRow extends BlockDay {
  readonly seriesId: number;
}

/** Days of each series, oldest first; a series without a day in the span is not in it. */
export type SeriesDays = ReadonlyMap<number, readonly SeriesDayRow[]>;

/** A block is read whole: with fewer series of it than this, their own rows cost less. */
const FEWEST_OF_A_BLOCK = 5;

/** Daily sums of some series. @param seriesIds at most a few hundred */
export async function readSeriesDays(
  db: Kysely<Schema>,
  seriesIds: readonly number[],
  span: DaySpan,
  runs: RunScope['runs'] = 'all',
): Promise<SeriesDays> {
  if (seriesIds.length === 0) return new Map();
  const blocks = [...new Set(seriesIds.map(blockOf))];
  const isDense = seriesIds.length >= blocks.length * FEWEST_OF_A_BLOCK;
  return isDense && (await hasBlocks(db))
    ? await readDaysOfBlocks(db, seriesIds, span, runs)
    : await readDaysOfSeries(db, seriesIds, span, runs);
}

/** Two ways to the same sums (`series-days.test.ts`): this one for few series. */
export async function readDaysOfSeries(
  db: Kysely<Schema>,
  seriesIds: readonly number[],
  span: DaySpan,
  runs: RunScope['runs'] = 'all',
): Promise<SeriesDays> {
  const rows = await daily(db, seriesIds, span, runs)
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
  const days = new Map<number, SeriesDayRow[]>();
  for (const row of rows) addDay(days, row);
  return days;
}

/** … and this one for many: hundreds of blocks are read in place of tens of thousands of rows. */
export async function readDaysOfBlocks(
  db: Kysely<Schema>,
  seriesIds: readonly number[],
  span: DaySpan,
  runs: RunScope['runs'] = 'all',
): Promise<SeriesDays> {
  const slots = new Map<number, Uint8Array>();
  for (const seriesId of seriesIds) {
    const block = blockOf(seriesId);
    const wanted = slots.get(block) ?? new Uint8Array(BLOCK_SERIES);
    wanted[seriesId % BLOCK_SERIES] = 1;
    slots.set(block, wanted);
  }
  const rows = await inWindow(db.selectFrom('daily_block'), filterOf(span, runs), 'daily_block')
    .where('block', 'in', [...slots.keys()])
    .select(['day', 'block', 'sums'])
    .orderBy('day')
    .execute();
  const days = new Map<number, SeriesDayRow[]>();
  for (const { day, block, sums } of rows) {
    const wanted = slots.get(block);
    if (wanted === undefined) continue;
    addDaysOfBlock(sums, day, wanted, (slot, row) => {
      addDay(days, { seriesId: block * BLOCK_SERIES + slot, ...row });
    });
  }
  return days;
}

/** A day has a row for each kind of run, next to each other; grouping in the database costs as much as reading. */
function addDay(days: Map<number, SeriesDayRow[]>, row: SeriesDayRow): void {
  const own = days.get(row.seriesId);
  const last = own?.at(-1);
  if (own === undefined) days.set(row.seriesId, [row]);
  else if (last?.day !== row.day) own.push(row);
  else own[own.length - 1] = sumOf(last, row);
}

function sumOf(left: SeriesDayRow, right: SeriesDayRow): SeriesDayRow {
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

/** What a rate with its interval needs of a span. */
export interface SeriesSums {
  readonly failed: number;
  readonly attempts: number;
  /** Days with an attempt. */
  readonly clusters: number;
  /** Σ failures² ÷ attempts over these. */
  readonly squares: number;
}

/** Sums of some series over a span; a series without a day in it is not in the answer. */
export async function readSeriesSums(
  db: Kysely<Schema>,
  seriesIds: readonly number[],
  span: DaySpan,
  runs: RunScope['runs'] = 'all',
): Promise<ReadonlyMap<number, SeriesSums>> {
  if (seriesIds.length === 0) return new Map();
  const days = daily(db, seriesIds, span, runs)
    .groupBy(['daily.series_id', 'daily.day'])
    .select([
      'daily.series_id as series_id',
      sql<number>`sum(daily.failed + daily.timedout)`.as('failed'),
      sql<number>`sum(daily.passed + daily.failed + daily.timedout)`.as('attempts'),
    ])
    .as('days');
  const rows = await db
    .selectFrom(days)
    .groupBy('days.series_id')
    .select([
      'days.series_id as seriesId',
      number(sql`sum(days.failed)`).as('failed'),
      number(sql`sum(days.attempts)`).as('attempts'),
      number(sql`count(nullif(days.attempts, 0))`).as('clusters'),
      number(sql`sum(case when days.failed > 0 then 1.0 * days.failed * days.failed / days.attempts else 0 end)`).as(
        'squares',
      ),
    ])
    .execute();
  return new Map(rows.map(({ seriesId, ...sums }) => [seriesId, sums]));
}

function daily(db: Kysely<Schema>, seriesIds: readonly number[], span: DaySpan, runs: RunScope['runs']) {
  return inWindow(db.selectFrom('daily').where('daily.series_id', 'in', [...seriesIds]), filterOf(span, runs));
}

function filterOf({ from, to }: DaySpan, runs: RunScope['runs'] = 'all'): Filter {
  return { sinceMs: from * DAY_MS, untilMs: (to + 1) * DAY_MS, runs };
}
