import type Database from 'better-sqlite3';
import { Kysely, SqliteDialect } from 'kysely';

import type { RunResult } from '../../results/model.js';
import { SIGNATURE_VERSION } from '../signatures/normalise.js';
import { applyAliases } from './aliases.js';
import { readEnvironments } from './chart-runs.js';
import { checkRules } from './check.js';
import { BLOCK_FORMAT, BLOCK_FORMAT_KEY } from './daily-block.js';
import { guardRecords } from './guard-records.js';
import { recordsOfRun, type RecordMeta } from './records-of-run.js';
import { dayOf, type RunRecord } from './record.js';
import { pruneStatements, type RollupScope } from './rollup.js';
import { sqliteError } from './sqlite-errors.js';
import { keepStatements } from './sqlite-statements.js';
import { ENVIRONMENT_VERSIONS_SINCE } from './migrations.js';
import { openSqlite, type SqliteOptions } from './sqlite-open.js';
import { SqliteWriter } from './sqlite-writer.js';
import type { EnvironmentVersion, FlakeStore, WriteOptions, WriteSummary } from './store.js';
import { StoreReads } from './store-reads.js';
import { addWritten, emptySummary, type GrowingSummary } from './write-summary.js';

/** @see openSqlite for what is refused */
export function createSqliteStore(path: string, options: SqliteOptions = {}): FlakeStore {
  return new SqliteStore(path, options);
}

/**
 * The embedded store. Writes are synchronous inside one `BEGIN IMMEDIATE` transaction each, so no other code of this
 * process can come between; reads go through kysely on the same connection.
 */
class SqliteStore extends StoreReads implements FlakeStore {
  readonly engine = 'sqlite';
  readonly #db: Database.Database;
  #writer: SqliteWriter | undefined;

  constructor(path: string, options: SqliteOptions) {
    const db = openSqlite(path, options);
    super(new Kysely({ dialect: new SqliteDialect({ database: keepStatements(db) }) }), path, sqliteError);
    this.#db = db;
    if (options.readonly === true) return;
    if (this.#isRollupOwed()) this.#rebuild();
    if (this.#meta(BLOCK_FORMAT_KEY) !== BLOCK_FORMAT) {
      this.#inTransaction((writer) => {
        writer.rebuildBlocks();
      });
    }
    if (this.#meta('signature-version') !== String(SIGNATURE_VERSION)) this.#rebuildSignatures();
  }

  async recordRun(run: RunResult, meta: RecordMeta = {}): Promise<WriteSummary> {
    return await this.write(await guardRecords(this.kysely, recordsOfRun(run, meta)));
  }

  async write(
    records: Iterable<RunRecord> | AsyncIterable<RunRecord>,
    { rollup = 'live', batchSize = 20_000, signal }: WriteOptions = {},
  ): Promise<WriteSummary> {
    const summary = emptySummary();
    let batch: RunRecord[] = [];
    let size = 0;
    const flush = (): void => {
      if (batch.length > 0) this.#writeBatch(batch, rollup, summary);
      batch = [];
      size = 0;
    };
    for await (const record of records) {
      signal?.throwIfAborted();
      batch.push(record);
      size += record.results.length;
      if (size >= batchSize) flush();
    }
    flush();
    return summary;
  }

  #writeBatch(batch: readonly RunRecord[], rollup: 'live' | 'deferred', summary: GrowingSummary): void {
    const written = this.#inTransaction((writer) => {
      if (rollup === 'deferred') this.#oweRollup();
      return batch.map((record) => writer.write(record, rollup));
    });
    for (const [index, outcome] of written.entries()) addWritten(summary, batch[index], outcome);
  }

  async rebuildRollup(): Promise<void> {
    this.#rebuild();
  }

  #rebuild(): void {
    this.#inTransaction((writer) => {
      writer.rebuildRollup(this.#rawScope());
      this.#setRollupOwed(false);
    });
  }

  #rebuildSignatures(): void {
    this.#inTransaction((writer) => {
      writer.rebuildSignatures();
      this.#setMeta('signature-version', String(SIGNATURE_VERSION));
    });
  }

  async prune(beforeMs: number): Promise<number> {
    return this.#inTransaction((writer) => {
      const count = (): number => Number(this.#db.prepare('SELECT count(*) FROM run WHERE pruned = 1').pluck().get());
      const before = count();
      for (const statement of pruneStatements(dayOf(beforeMs))) this.#db.exec(statement);
      writer.forget(); // failures that are gone now
      return count() - before;
    });
  }

  /** Days that were pruned can not be summed again. */
  #rawScope(): RollupScope {
    const day = this.#meta('pruned-before-day');
    return day === undefined ? {} : { fromDay: Number(day) };
  }

  #oweRollup(): void {
    if (!this.#isRollupOwed()) this.#setRollupOwed(true);
  }

  #isRollupOwed(): boolean {
    return this.#meta('rollup-owed') === 'yes';
  }

  #setRollupOwed(owed: boolean): void {
    this.#setMeta('rollup-owed', owed ? 'yes' : 'no');
  }

  #meta(key: string): string | undefined {
    return this.#db.prepare<[string], string>(`SELECT value FROM meta WHERE key = ?`).pluck().get(key);
  }

  #setMeta(key: string, value: string): void {
    this.#db
      .prepare(`INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value`)
      .run(key, value);
  }

  #inTransaction<T>(body: (writer: SqliteWriter) => T): T {
    const writer = (this.#writer ??= new SqliteWriter(this.#db));
    try {
      return this.#db
        .transaction(() => {
          writer.begin();
          return body(writer);
        })
        .immediate();
    } catch (error) {
      writer.forget();
      throw sqliteError(error, this.location);
    }
  }

  async setAliases(aliases: Readonly<Record<string, string>>): Promise<void> {
    await this.read(async () => {
      await this.kysely.transaction().execute(async (transaction) => {
        await applyAliases(transaction, aliases);
      });
    });
    this.#writer?.forget();
  }

  async check(): Promise<string[]> {
    return await this.read(() => this.#check());
  }

  async #check(): Promise<string[]> {
    const lines = this.#db.pragma('integrity_check(20)') as { readonly integrity_check: string }[];
    const damage = lines.map((line) => line.integrity_check).filter((line) => line !== 'ok');
    if (damage.length > 0) return damage;
    const orphans = this.#db.pragma('foreign_key_check') as { readonly table: string; readonly parent: string }[];
    const pairs = new Map<string, number>();
    for (const { table, parent } of orphans) {
      const pair = `rows of ${table} whose ${parent} is not there`;
      pairs.set(pair, (pairs.get(pair) ?? 0) + 1);
    }
    return [...[...pairs].map(([pair, count]) => `${pair}: ${count}`), ...(await checkRules(this.kysely))];
  }

  /** Own writes do not move `data_version`, other connections' do. */
  async dataVersion(): Promise<string> {
    return await this.read(async () => {
      const others = String(this.#db.pragma('data_version', { simple: true }));
      const own = String(this.#db.prepare('SELECT total_changes()').pluck().get());
      return `${others}.${own}`;
    });
  }

  async environments(): Promise<EnvironmentVersion[]> {
    const isOld = Number(this.#db.pragma('user_version', { simple: true })) < ENVIRONMENT_VERSIONS_SINCE;
    const fallback = isOld ? await this.dataVersion() : undefined;
    return await this.read(() => readEnvironments(this.kysely, fallback));
  }

  async close(): Promise<void> {
    // kysely closes the connection only when it was used for a read; closing twice is harmless. The last connection folds
    // the WAL into the file.
    await this.kysely.destroy();
    this.#db.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}
