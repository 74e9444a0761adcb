import { copyFileSync, existsSync, mkdirSync, openSync, readSync, closeSync, statSync } from 'node:fs';
import { dirname } from 'node:path';

import type Database from 'better-sqlite3';

import { MkCiError, hostErrorOf } from '../../errors.js';
import { APPLICATION_ID, MIGRATIONS, latestVersion, type Migration } from './migrations.js';
import { sqliteError } from './sqlite-errors.js';
import { SqliteDatabase } from './sqlite-library.js';

export interface SqliteOptions {
  /** Reads only: the file must exist, nothing is migrated. @default false */
  readonly readonly?: boolean;
  /** How long to wait for another writer. @default 5000 */
  readonly busyTimeoutMs?: number;
  readonly migrations?: readonly Migration[];
}

const MAGIC = 'SQLite format 3\0';

/**
 * Opens a database file of mk-ci, makes it when it is missing or empty, and brings its schema up to date. Before an
 * existing schema is changed, a copy `<file>.v<n>.bak` is made.
 *
 * @param path file, or `:memory:`
 * @throws {MkCiError} `DB_FOREIGN`, `DB_NEWER`, `DB_CORRUPT`, `DB_BUSY`, `DB_OPEN`, `HOST_PERMISSION`, `HOST_DISK_FULL`
 */
export function openSqlite(path: string, options: SqliteOptions = {}): Database.Database {
  const { readonly = false, busyTimeoutMs = 5000, migrations = MIGRATIONS } = options;
  const memory = path === ':memory:';
  if (!memory) {
    if (readonly && !existsSync(path)) {
      throw new MkCiError('DB_OPEN', {
        message: `${path} does not exist`,
        advice: 'Record a run first, or name the file with --database.',
      });
    }
    checkHeader(path);
  }
  let db: Database.Database | undefined;
  try {
    if (!memory && !readonly) mkdirSync(dirname(path), { recursive: true });
    db = new SqliteDatabase(path, { readonly, timeout: busyTimeoutMs });
    identify(db, path, migrations);
    if (!readonly) {
      db.pragma('journal_mode = WAL');
      db.pragma('synchronous = NORMAL');
      migrate(db, path, migrations);
    } else if (versionOf(db) === 0) {
      throw new MkCiError('DB_FOREIGN', { message: `${path} is empty` });
    }
    db.pragma('cache_size = -65536');
    db.pragma('temp_store = MEMORY');
    // Each row of `result` would cost three look-ups. The writer makes every parent before its child, and `check` looks.
    db.pragma('foreign_keys = OFF');
    // As in Postgres, so that filters give the same rows.
    db.pragma('case_sensitive_like = ON');
    return db;
  } catch (error) {
    db?.close();
    throw hostErrorOf(error, path) ?? sqliteError(error, path);
  }
}

/** Refuses other files by their first bytes, before SQLite touches them. */
function checkHeader(path: string): void {
  let size: number;
  try {
    const stat = statSync(path, { throwIfNoEntry: false });
    if (stat === undefined) return;
    if (!stat.isFile()) throw new MkCiError('DB_OPEN', { message: `${path} is not a file` });
    size = stat.size;
  } catch (error) {
    throw hostErrorOf(error, path) ?? error;
  }
  if (size === 0) return;
  const head = Buffer.alloc(100);
  try {
    const file = openSync(path, 'r');
    try {
      readSync(file, head, 0, head.length, 0);
    } finally {
      closeSync(file);
    }
  } catch (error) {
    throw hostErrorOf(error, path) ?? error;
  }
  if (head.toString('latin1', 0, MAGIC.length) !== MAGIC)
    throw new MkCiError('DB_FOREIGN', { message: `${path} is not a SQLite file` });
  // SQLite itself takes a shorter file for a smaller database when it is in WAL mode, until a page is missed.
  const pageSize = head.readUInt16BE(16) === 1 ? 65_536 : head.readUInt16BE(16);
  const isCountValid = head.readUInt32BE(24) === head.readUInt32BE(92);
  const wholeSize = isCountValid ? head.readUInt32BE(28) * pageSize : 0;
  const hasWal = (statSync(`${path}-wal`, { throwIfNoEntry: false })?.size ?? 0) > 0;
  if (size < 512 || (!hasWal && size < wholeSize)) {
    throw new MkCiError('DB_CORRUPT', { message: `${path} ends after ${size} bytes, it should have ${wholeSize}` });
  }
}

function versionOf(db: Database.Database): number {
  return Number(db.pragma('user_version', { simple: true }));
}

function identify(db: Database.Database, path: string, migrations: readonly Migration[]): void {
  const application = Number(db.pragma('application_id', { simple: true }));
  const tables = Number(db.prepare('SELECT count(*) FROM sqlite_schema').pluck().get());
  if (application !== APPLICATION_ID && (tables > 0 || application !== 0)) {
    throw new MkCiError('DB_FOREIGN', { message: `${path} is a SQLite file of another program` });
  }
  const version = versionOf(db);
  if (version > latestVersion(migrations)) {
    throw new MkCiError('DB_NEWER', {
      message: `${path} has schema ${version}, this version knows ${latestVersion(migrations)}`,
    });
  }
}

function migrate(db: Database.Database, path: string, migrations: readonly Migration[]): void {
  const from = versionOf(db);
  if (from === latestVersion(migrations)) return;
  if (from > 0 && path !== ':memory:') {
    // Into the main file first, so that the copy of it is whole.
    db.pragma('wal_checkpoint(TRUNCATE)');
    copyFileSync(path, `${path}.v${from}.bak`);
  }
  for (const migration of [...migrations].sort((left, right) => left.version - right.version)) {
    db.transaction(() => {
      // Another process may have done it while this one waited for the lock.
      if (versionOf(db) >= migration.version) return;
      db.exec(migration.sqlite);
      db.pragma(`application_id = ${APPLICATION_ID}`);
      db.pragma(`user_version = ${migration.version}`);
    }).immediate();
  }
}
