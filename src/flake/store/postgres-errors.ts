import { MkCiError, messageOf, systemErrorCode } from '../../errors.js';

/** SQLSTATEs and system errors after which the same transaction may succeed on a new connection. */
const CONNECTION_LOST = /^(57P0[123]|08...|ECONNRESET|ECONNREFUSED|EPIPE|ETIMEDOUT)$/;

/** True when the server went away: a restart, a failover, a cut connection. */
export function isConnectionLost(error: unknown): boolean {
  const code = systemErrorCode(error);
  if (code !== undefined) return CONNECTION_LOST.test(code);
  // pg gives no code when the socket closes under a query.
  return (
    error instanceof Error && /^(Connection terminated|Client has encountered a connection error)/.test(error.message)
  );
}

/** The catalogue's word for what Postgres says; errors of other kinds pass unchanged. */
export function postgresError(error: unknown, location: string): unknown {
  if (error instanceof MkCiError) return error;
  const code = systemErrorCode(error);
  const options = { message: `${location}: ${messageOf(error) || (code ?? 'no answer')}`, cause: error };
  if (isConnectionLost(error)) return new MkCiError('DB_OPEN', options);
  if (code === undefined) return error;
  if (code === '53100') return new MkCiError('HOST_DISK_FULL', options);
  if (code === '55P03' || code === '57014') return new MkCiError('DB_BUSY', options);
  if (code === '42501' || code === '25006') return new MkCiError('HOST_PERMISSION', options);
  if (code === 'XX001' || code === 'XX002') return new MkCiError('DB_CORRUPT', options);
  if (/^(28...|3D000|53...|E[A-Z]+)$/.test(code)) return new MkCiError('DB_OPEN', options);
  return error;
}
