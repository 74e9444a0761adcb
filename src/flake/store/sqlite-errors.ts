import { MkCiError, messageOf, systemErrorCode } from '../../errors.js';

/** The catalogue's word for what SQLite says; errors of other kinds pass unchanged. */
export function sqliteError(error: unknown, path: string): unknown {
  if (error instanceof MkCiError) return error;
  const code = systemErrorCode(error);
  if (code === undefined || !code.startsWith('SQLITE_')) return error;
  const options = { message: `${path}: ${messageOf(error)}`, cause: error };
  if (code.startsWith('SQLITE_BUSY') || code.startsWith('SQLITE_LOCKED')) return new MkCiError('DB_BUSY', options);
  if (code.startsWith('SQLITE_CORRUPT')) return new MkCiError('DB_CORRUPT', options);
  if (code === 'SQLITE_NOTADB') return new MkCiError('DB_FOREIGN', options);
  if (code === 'SQLITE_FULL' || code === 'SQLITE_IOERR_WRITE') return new MkCiError('HOST_DISK_FULL', options);
  if (code.startsWith('SQLITE_READONLY') || code === 'SQLITE_PERM') return new MkCiError('HOST_PERMISSION', options);
  return new MkCiError('DB_OPEN', options);
}
