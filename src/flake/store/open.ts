import type { SqliteOptions } from './sqlite-open.js';
import type { FlakeStore } from './store.js';

/** Options that mean the same on both engines. */
export type OpenOptions = Pick<SqliteOptions, 'readonly' | 'busyTimeoutMs'>;

/**
 * Opens the flake database: a path is SQLite, a `postgres://` URL is Postgres. Drivers are loaded when they are needed.
 *
 * @throws {MkCiError} `DB_OPEN`, `DB_FOREIGN`, `DB_NEWER`, `DB_CORRUPT`, `DB_BUSY`, `HOST_PERMISSION`, `HOST_DISK_FULL`
 */
export async function openFlakeStore(pathOrUrl: string, options: OpenOptions = {}): Promise<FlakeStore> {
  if (/^postgres(ql)?:\/\//.test(pathOrUrl)) {
    const { openPostgresStore } = await import('./postgres-store.js');
    return await openPostgresStore(pathOrUrl, options.readonly === undefined ? {} : { readonly: options.readonly });
  }
  const { createSqliteStore } = await import('./sqlite-store.js');
  return createSqliteStore(pathOrUrl, options);
}
