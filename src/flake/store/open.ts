import type { SqliteOptions } from './sqlite-open.js';
import type { FlakeStore } from './store.js';

/**
 * Opens the flake database: a path is SQLite, a `postgres://` URL is Postgres. Drivers are loaded when they are needed.
 *
 * @throws {MkCiError} `DB_OPEN`, `DB_FOREIGN`, `DB_NEWER`, `DB_CORRUPT`, `DB_BUSY`, `HOST_PERMISSION`, `HOST_DISK_FULL`
 */
export async function openFlakeStore(pathOrUrl: string, options: SqliteOptions = {}): Promise<FlakeStore> {
  const { createSqliteStore } = await import('./sqlite-store.js');
  return createSqliteStore(pathOrUrl, options);
}
