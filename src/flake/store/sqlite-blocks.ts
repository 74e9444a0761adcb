import type Database from 'better-sqlite3';

import { blockDays, blockStatements, type DailyValues } from './block-statements.js';
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

/** Keeps `daily_block` as `daily` is, inside the transaction that changes `daily`. */
export class SqliteBlocks {
  readonly #db: Database.Database;
  readonly #find: Database.Statement<unknown[], Uint8Array>;
  readonly #put: Database.Statement;

  constructor(db: Database.Database) {
    this.#db = db;
    this.#find = db
      .prepare<unknown[], Uint8Array>('SELECT sums FROM daily_block WHERE day = ? AND block = ? AND pull = ?')
      .pluck();
    this.#put = db.prepare(
      `INSERT INTO daily_block (day, block, pull, sums) VALUES (?, ?, ?, ?)
       ON CONFLICT (day, block, pull) DO UPDATE SET sums = excluded.sums`,
    );
  }

  /** What was added to rows of `daily`. */
  add(day: number, pull: number, added: readonly (readonly [series: number, sums: BlockRow])[]): void {
    const blocks = new Map<number, BlockRows>();
    for (const [series, sums] of added) {
      const block = blockOf(series);
      let rows = blocks.get(block);
      if (rows === undefined) {
        const bytes = this.#find.get(day, block, pull);
        rows = bytes === undefined ? new Map<number, BlockRow>() : decodeBlock(bytes);
        blocks.set(block, rows);
      }
      addToRows(rows, slotOf(series), sums);
    }
    for (const [block, rows] of blocks) this.#put.run(day, block, pull, encodeBlock(rows));
  }

  /** After `daily` was written by a statement. */
  rebuild(scope: RollupScope = {}): void {
    const { blocks, clear, rowsOf } = blockStatements(scope);
    this.#db.exec(clear);
    for (const block of this.#db.prepare<[], number>(blocks).pluck().all()) {
      const rows = this.#db.prepare<[], DailyValues>(rowsOf(block)).raw().iterate();
      for (const one of blockDays(rows)) this.#put.run(one.day, block, one.pull, encodeBlock(one.rows));
    }
    this.#db
      .prepare('INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value')
      .run(BLOCK_FORMAT_KEY, BLOCK_FORMAT);
  }
}
