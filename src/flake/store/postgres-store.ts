import { setTimeout as delay } from 'node:timers/promises';

import { CompiledQuery, Kysely, PostgresDialect, sql, type PostgresPool, type Transaction } from 'kysely';

import { MkCiError, redactSecrets } from '../../errors.js';
import type { RunResult } from '../../results/model.js';
import { SIGNATURE_VERSION } from '../signatures/normalise.js';
import { APPLICATION_ID, MIGRATIONS, latestVersion, type Migration } from './migrations.js';
import { rebuildBlocks } from './postgres-blocks.js';
import { isConnectionLost, postgresError } from './postgres-errors.js';
import { PostgresWriter, prunedBefore } from './postgres-writer.js';
import { dayOf, type RunRecord } from './record.js';
import { applyAliases } from './aliases.js';
import { readEnvironments } from './chart-runs.js';
import { checkRules } from './check.js';
import { BLOCK_FORMAT, BLOCK_FORMAT_KEY } from './daily-block.js';
import { guardRecords } from './guard-records.js';
import { recordsOfRun, type RecordMeta } from './records-of-run.js';
import { pruneStatements, type RollupScope } from './rollup.js';
import type { Schema } from './schema.js';
import type { EnvironmentVersion, FlakeStore, WriteOptions, WriteSummary } from './store.js';
import { StoreReads } from './store-reads.js';
import type { Written } from './sqlite-writer.js';
import { addWritten, emptySummary } from './write-summary.js';

export interface PostgresOptions {
  readonly readonly?: boolean;
  readonly migrations?: readonly Migration[];
  /** Connections in place of those that the URL names; the store ends it. */
  readonly pool?: PostgresPool;
  /** How long a transaction is tried again while the server is away. @default 60000, recovery after a crash takes its time */
  readonly retryMs?: number;
}

/** Everything lies in a schema of its own, so the database may hold other things. */
const SCHEMA = 'mk_ci';

/**
 * The same store on a Postgres server, for several writing hosts. Transactions hold an advisory lock, so writers take
 * turns as on SQLite, and a transaction that the server's restart cut off is done again: recording is idempotent.
 *
 * @param url `postgres://user:password@host/database`
 * @throws {MkCiError} `DB_OPEN`, `DB_NEWER`, `DB_FOREIGN`
 */
export async function openPostgresStore(url: string, options: PostgresOptions = {}): Promise<FlakeStore> {
  const location = redactSecrets(url);
  const readonly = options.readonly ?? false;
  const db = new Kysely<Schema>({
    dialect: new PostgresDialect({
      pool: options.pool ?? (async () => await createPool(url)),
      onCreateConnection: async (connection) => {
        await connection.executeQuery(CompiledQuery.raw(`SET search_path TO ${SCHEMA}`));
        if (readonly) await connection.executeQuery(CompiledQuery.raw('SET default_transaction_read_only = on'));
      },
    }),
  });
  try {
    await migrate(db, location, options.migrations ?? MIGRATIONS, readonly);
    const store = new PostgresStore(db, location, options.retryMs ?? 60_000);
    if (!readonly) await store.payDebts();
    return store;
  } catch (error) {
    await db.destroy();
    throw postgresError(error, location);
  }
}

async function createPool(url: string): Promise<PostgresPool> {
  const { default: pg } = await import('pg');
  const pool = new pg.Pool({
    connectionString: url,
    max: 4,
    connectionTimeoutMillis: 10_000,
    application_name: 'mk-ci',
    types: {
      // int8 as a number: counts and times in ms stay far below 2^53.
      getTypeParser: (oid, format) =>
        (oid as number) === 20 ? (text: string) => Number(text) : (pg.types.getTypeParser(oid, format) as unknown),
    },
  });
  // An idle connection that the server closes is replaced at the next query.
  pool.on('error', () => undefined);
  // One that is lent out tells its query, and without a listener the process would end all the same.
  pool.on('connect', (client) => {
    client.on('error', () => undefined);
  });
  return pool;
}

async function migrate(
  db: Kysely<Schema>,
  location: string,
  migrations: readonly Migration[],
  readonly: boolean,
): Promise<void> {
  const latest = latestVersion(migrations);
  const before = await versionOf(db, location);
  if (before > latest) {
    throw new MkCiError('DB_NEWER', { message: `${location} has schema ${before}, this version knows ${latest}` });
  }
  if (before === latest) return;
  if (readonly) {
    throw new MkCiError('DB_OPEN', {
      message: `${location} holds no database of mk-ci`,
      advice: 'Record a run first.',
    });
  }
  for (const migration of [...migrations].sort((left, right) => left.version - right.version)) {
    await db.transaction().execute(async (transaction) => {
      await sql`SELECT pg_advisory_xact_lock(${APPLICATION_ID})`.execute(transaction);
      if ((await versionOf(transaction, location)) >= migration.version) return;
      await sql.raw(`CREATE SCHEMA IF NOT EXISTS ${SCHEMA}`).execute(transaction);
      for (const statement of migration.postgres.split(';').filter((text) => text.trim() !== '')) {
        await sql.raw(statement).execute(transaction);
      }
      await sql`
        INSERT INTO meta (key, value) VALUES ('schema-version', ${String(migration.version)})
        ON CONFLICT (key) DO UPDATE SET value = excluded.value`.execute(transaction);
    });
  }
}

async function versionOf(db: Kysely<Schema>, location: string): Promise<number> {
  const { rows } = await sql<{ tables: number; meta: boolean }>`
    SELECT count(*)::int AS tables, coalesce(bool_or(table_name = 'meta'), false) AS meta
    FROM information_schema.tables WHERE table_schema = ${SCHEMA}`.execute(db);
  const found = rows[0];
  if (found === undefined || found.tables === 0) return 0;
  if (!found.meta) throw new MkCiError('DB_FOREIGN', { message: `schema ${SCHEMA} of ${location}` });
  const version = await db.selectFrom('meta').select('value').where('key', '=', 'schema-version').executeTakeFirst();
  return Number(version?.value ?? 0);
}

class PostgresStore extends StoreReads implements FlakeStore {
  readonly engine = 'postgres';
  readonly #retryMs: number;

  constructor(db: Kysely<Schema>, location: string, retryMs: number) {
    super(db, location, postgresError);
    this.#retryMs = retryMs;
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
    const flush = async (): Promise<void> => {
      if (batch.length === 0) return;
      const written = await this.#inTransaction(async (transaction) => {
        const writer = new PostgresWriter(transaction);
        if (rollup === 'deferred') await setMeta(transaction, 'rollup-owed', 'yes');
        const outcomes: Written[] = [];
        for (const record of batch) outcomes.push(await writer.write(record, rollup));
        return outcomes;
      }, signal);
      for (const [index, outcome] of written.entries()) addWritten(summary, batch[index], outcome);
      batch = [];
      size = 0;
    };
    for await (const record of records) {
      signal?.throwIfAborted();
      batch.push(record);
      size += record.results.length;
      if (size >= batchSize) await flush();
    }
    await flush();
    return summary;
  }

  async rebuildRollup(): Promise<void> {
    await this.#inTransaction(async (transaction) => {
      await new PostgresWriter(transaction).rebuildRollup(await rawScope(transaction));
      await setMeta(transaction, 'rollup-owed', 'no');
    });
  }

  async prune(beforeMs: number): Promise<number> {
    return await this.#inTransaction(async (transaction) => {
      const count = async (): Promise<number> => {
        const { rows } = await sql<{ n: number }>`SELECT count(*)::int AS n FROM run WHERE pruned = 1`.execute(
          transaction,
        );
        return rows[0]?.n ?? 0;
      };
      const before = await count();
      for (const statement of pruneStatements(dayOf(beforeMs))) await sql.raw(statement).execute(transaction);
      return (await count()) - before;
    });
  }

  /** Makes the rollup when a bulk import ended before it did, and the signatures of another version again. */
  async payDebts(): Promise<void> {
    const meta = async (key: string): Promise<string | undefined> =>
      (await this.kysely.selectFrom('meta').select('value').where('key', '=', key).executeTakeFirst())?.value;
    if ((await meta('rollup-owed')) === 'yes') await this.rebuildRollup();
    if ((await meta(BLOCK_FORMAT_KEY)) !== BLOCK_FORMAT) {
      await this.#inTransaction(async (transaction) => {
        await rebuildBlocks(transaction);
      });
    }
    if ((await meta('signature-version')) === String(SIGNATURE_VERSION)) return;
    await this.#inTransaction(async (transaction) => {
      await new PostgresWriter(transaction).rebuildSignatures();
      await setMeta(transaction, 'signature-version', String(SIGNATURE_VERSION));
    });
  }

  async #inTransaction<T>(body: (transaction: Transaction<Schema>) => Promise<T>, signal?: AbortSignal): Promise<T> {
    const deadline = performance.now() + this.#retryMs;
    for (let pauseMs = 100; ; pauseMs = Math.min(2000, pauseMs * 2)) {
      try {
        return await this.kysely.transaction().execute(async (transaction) => {
          await sql`SELECT pg_advisory_xact_lock(${APPLICATION_ID})`.execute(transaction);
          return await body(transaction);
        });
      } catch (error) {
        signal?.throwIfAborted();
        if (!isConnectionLost(error) || performance.now() + pauseMs > deadline) {
          throw postgresError(error, this.location);
        }
        await delay(pauseMs, undefined, signal === undefined ? {} : { signal });
      }
    }
  }

  async setAliases(aliases: Readonly<Record<string, string>>): Promise<void> {
    await this.#inTransaction(async (transaction) => {
      await applyAliases(transaction, aliases);
    });
  }

  async check(): Promise<string[]> {
    return await this.read(() => this.#check());
  }

  async #check(): Promise<string[]> {
    return await checkRules(this.kysely);
  }

  /** Every transaction that changes rows has a number; the horizon of finished ones moves with each. */
  async dataVersion(): Promise<string> {
    return await this.read(async () => {
      const { rows } = await sql<{ version: string }>`SELECT pg_current_snapshot()::text AS version`.execute(
        this.kysely,
      );
      return rows[0]?.version ?? '';
    });
  }

  async environments(): Promise<EnvironmentVersion[]> {
    return await this.read(() => readEnvironments(this.kysely));
  }

  async close(): Promise<void> {
    await this.kysely.destroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

/** Days that were pruned can not be summed again. */
async function rawScope(db: Kysely<Schema>): Promise<RollupScope> {
  const fromDay = await prunedBefore(db);
  return fromDay === undefined ? {} : { fromDay };
}

async function setMeta(db: Kysely<Schema>, key: string, value: string): Promise<void> {
  await sql`
    INSERT INTO meta (key, value) VALUES (${key}, ${value})
    ON CONFLICT (key) DO UPDATE SET value = excluded.value`.execute(db);
}
