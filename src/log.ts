/**
 * Log of the command line: constant text plus fields, to standard error, so that standard output stays data.
 *
 * The interface is the small part of pino that mk-ci uses; server and bot may hand in a pino logger.
 */

export type LogLevel = 'debug' | 'info' | 'warn' | 'error';
export type LogFields = Readonly<Record<string, unknown>>;

export interface Logger {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
}

const RANK: Record<LogLevel, number> = { debug: 0, info: 1, warn: 2, error: 3 };

export interface LoggerOptions {
  /** Receives one line without its line feed. */
  readonly write: (line: string) => void;
  /** @default 'info' */
  readonly level?: LogLevel;
  /** `json` writes one object a line with an ISO 8601 `time`. @default 'text' */
  readonly format?: 'text' | 'json';
  /** @default () => new Date() */
  readonly now?: () => Date;
}

export function createLogger({
  write,
  level = 'info',
  format = 'text',
  now = () => new Date(),
}: LoggerOptions): Logger {
  const log = (at: LogLevel, message: string, fields: LogFields = {}): void => {
    if (RANK[at] < RANK[level]) return;
    if (format === 'json') {
      write(JSON.stringify({ time: now().toISOString(), level: at, message, ...fields }));
      return;
    }
    const prefix = at === 'info' ? '' : `${at}: `;
    const suffix = Object.entries(fields)
      .map(
        ([key, value]) =>
          ` ${key}=${typeof value === 'string' && !/[\s"]/.test(value) ? value : JSON.stringify(value)}`,
      )
      .join('');
    write(`${prefix}${message}${suffix}`);
  };
  return {
    debug: (message, fields) => {
      log('debug', message, fields);
    },
    info: (message, fields) => {
      log('info', message, fields);
    },
    warn: (message, fields) => {
      log('warn', message, fields);
    },
    error: (message, fields) => {
      log('error', message, fields);
    },
  };
}

/** A logger that drops everything. */
export const silentLogger: Logger = createLogger({ write: () => undefined });
