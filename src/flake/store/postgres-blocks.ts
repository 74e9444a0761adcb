import { sql, type Transaction } from 'kysely';

import { blockDays, blockStatements, type BlockDay } from './block-statements.js';
import {
  BLOCK_FORMAT,
  BLOCK_FORMAT_KEY,
  addToRows,
  blockOf,
  decodeBlock,
  encodeBlock,
  slotOf,
  type BlockRow,
  type BlockRows,
} from './daily-block.js';
import type { RollupScope } from './rollup.js';
import type { Schema } from './schema.js';
import { DELTA_COLUMNS } from './test-deltas.js';

/** What was added to rows of `daily`: `daily_block` follows in the same transaction. */
export async function addToBlocks(
  db: Transaction<Schema>,
  day: number,
  pull: number,
  added: readonly (readonly [series: number, sums: BlockRow])[],
): Promise<void> {
  const numbers = [...new Set(added.map(([series]) => blockOf(series)))];
  const found = await db
    .selectFrom('daily_block')
    .where('day', '=', day)
    .where('pull', '=', pull)
    .where('block', 'in', numbers)
    .select(['block', 'sums'])
    .execute();
  const blocks = new Map<number, BlockRows>(found.map(({ block, sums }) => [block, decodeBlock(sums)]));
  for (const [series, sums] of added) {
    const rows = blocks.get(blockOf(series)) ?? new Map<number, BlockRow>();
    blocks.set(blockOf(series), rows);
    addToRows(rows, slotOf(series), sums);
  }
  for (const [block, rows] of blocks) await put(db, block, { day, pull, rows });
}

/** After `daily` was written by a statement. */
export async function rebuildBlocks(db: Transaction<Schema>, scope: RollupScope = {}): Promise<void> {
  const { blocks, clear, rowsOf } = blockStatements(scope);
  await sql.raw(clear).execute(db);
  const columns = ['series_id', 'day', 'pull', ...DELTA_COLUMNS.map(([column]) => column)];
  for (const { block } of (await sql.raw<{ block: number }>(blocks).execute(db)).rows) {
    const { rows } = await sql.raw<Readonly<Record<string, number>>>(rowsOf(block)).execute(db);
    for (const day of blockDays(rows.map((row) => columns.map((column) => row[column] ?? 0)))) {
      await put(db, block, day);
    }
  }
  await sql`INSERT INTO meta (key, value) VALUES (${BLOCK_FORMAT_KEY}, ${BLOCK_FORMAT})
    ON CONFLICT (key) DO UPDATE SET value = excluded.value`.execute(db);
}

async function put(db: Transaction<Schema>, block: number, { day, pull, rows }: BlockDay): Promise<void> {
  await sql`INSERT INTO daily_block (day, block, pull, sums) VALUES (${day}, ${block}, ${pull}, ${encodeBlock(rows)})
    ON CONFLICT (day, block, pull) DO UPDATE SET sums = excluded.sums`.execute(db);
}
