import type Database from 'better-sqlite3';
import type { SqliteDatabase } from 'kysely';

/** Statements kept; those used last. */
const MOST_STATEMENTS = 100;

/**
 * The database as kysely uses it, with its statements kept: a page of ten queries would otherwise spend a millisecond on
 * preparing them anew. SQLite itself prepares a kept statement again when the schema changed.
 */
export function keepStatements(db: Database.Database): SqliteDatabase {
  const kept = new Map<string, ReturnType<SqliteDatabase['prepare']>>();
  return {
    close: () => {
      kept.clear();
      db.close();
    },
    prepare: (text) => {
      const statement = kept.get(text) ?? db.prepare(text);
      kept.delete(text);
      kept.set(text, statement);
      const [oldest] = kept.keys();
      if (kept.size > MOST_STATEMENTS && oldest !== undefined) kept.delete(oldest);
      return statement;
    },
  };
}
