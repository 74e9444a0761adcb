import { BLOCK_SERIES, addToRows, slotOf, type BlockRow, type BlockRows } from './daily-block.js';
import type { RollupScope } from './rollup.js';
import { DELTA_COLUMNS } from './test-deltas.js';

/** A row of `daily` as an array: series, day, pull, then `DELTA_COLUMNS`. */
export type DailyValues = readonly number[];

/** What has to be read and dropped to make blocks again from `daily`; the same text for both engines. */
export interface BlockStatements {
  /** Numbers of the blocks in the scope, as `block`. */
  readonly blocks: string;
  readonly clear: string;
  /** Rows of one block, in the order of {@link DailyValues}. */
  readonly rowsOf: (block: number) => string;
}

export function blockStatements({ environmentId, fromDay, untilDay }: RollupScope): BlockStatements {
  const days = [
    ...(fromDay === undefined ? [] : [`day >= ${fromDay}`]),
    ...(untilDay === undefined ? [] : [`day < ${untilDay}`]),
  ];
  const where = (...conditions: readonly string[]): string =>
    conditions.length === 0 ? '' : ` WHERE ${conditions.join(' AND ')}`;
  const blocks = `SELECT DISTINCT id / ${BLOCK_SERIES} AS block FROM series${where(
    ...(environmentId === undefined ? [] : [`environment_id = ${environmentId}`]),
  )}`;
  const columns = DELTA_COLUMNS.map(([column]) => `daily.${column}`).join(', ');
  return {
    blocks,
    clear: `DELETE FROM daily_block${where(`block IN (${blocks})`, ...days)}`,
    // Series by series: `daily` is ordered by series and then day.
    rowsOf: (block) =>
      `SELECT daily.series_id, daily.day, daily.pull, ${columns} FROM series CROSS JOIN daily${where(
        `series.id >= ${block * BLOCK_SERIES}`,
        `series.id < ${(block + 1) * BLOCK_SERIES}`,
        'daily.series_id = series.id',
        ...days,
      )}`,
  };
}

/** One block on one day. */
export interface BlockDay {
  readonly day: number;
  readonly pull: number;
  readonly rows: BlockRows;
}

/** @param values rows of one block */
export function blockDays(values: Iterable<DailyValues>): BlockDay[] {
  const days = new Map<number, BlockDay>();
  for (const [series = 0, day = 0, pull = 0, ...sums] of values) {
    const key = day * 2 + pull;
    let found = days.get(key);
    if (found === undefined) {
      found = { day, pull, rows: new Map() };
      days.set(key, found);
    }
    addToRows(found.rows, slotOf(series), sums satisfies BlockRow);
  }
  return [...days.values()];
}
