import { closeSync, createReadStream, fdatasyncSync, fstatSync, ftruncateSync, openSync, writeSync } from 'node:fs';
import { StringDecoder } from 'node:string_decoder';

import { MkCiError, messageOf, systemErrorCode } from '../errors.js';
import { EVENTS_VERSION, type RunEvent } from './events.js';

/** Appends to `events.jsonl`. Every event is with the kernel when `append` returns: a SIGKILL right after it loses nothing. */
export interface EventLog {
  readonly path: string;
  /** @throws {MkCiError} `RUN_OUTPUT` when the disk is full or fails; the file then ends with the last whole line */
  append(event: RunEvent): void;
  /** Brings the file to the disk and closes it. Idempotent. @throws {MkCiError} `RUN_OUTPUT` */
  close(): void;
}

/** The calls that an event log makes; tests let them fail. */
export interface AppendFile {
  write(bytes: Uint8Array, offset: number): number;
  truncate(bytes: number): void;
  sync(): void;
  close(): void;
}

/** Opens an append-only log; a file that exists is continued. @throws {MkCiError} `RUN_OUTPUT` */
export function openEventLog(path: string): EventLog {
  try {
    const fd = openSync(path, 'a');
    return createEventLog(path, fstatSync(fd).size, {
      write: (bytes, offset) => writeSync(fd, bytes, offset),
      truncate: (bytes) => {
        ftruncateSync(fd, bytes);
      },
      sync: () => {
        fdatasyncSync(fd);
      },
      close: () => {
        closeSync(fd);
      },
    });
  } catch (error) {
    throw outputError(path, error);
  }
}

export function createEventLog(path: string, sizeBytes: number, file: AppendFile): EventLog {
  let size = sizeBytes;
  let closed = false;
  return {
    path,
    append: (event) => {
      const bytes = Buffer.from(`${JSON.stringify(event)}\n`);
      let written = 0;
      try {
        while (written < bytes.length) written += file.write(bytes, written);
      } catch (error) {
        // A full disk may take a part of the line: cut it off, so that a later line does not continue it.
        if (written > 0)
          ignoreFailure(() => {
            file.truncate(size);
          });
        throw outputError(path, error);
      }
      size += bytes.length;
    },
    close: () => {
      if (closed) return;
      closed = true;
      try {
        file.sync();
      } catch (error) {
        // Pipes and some file systems can not be synced.
        if (!['EINVAL', 'ENOTSUP', 'EROFS'].includes(systemErrorCode(error) ?? '')) throw outputError(path, error);
      } finally {
        file.close();
      }
    },
  };
}

function ignoreFailure(action: () => void): void {
  try {
    action();
  } catch {
    // The write error that led here is thrown by the caller and says more.
  }
}

/** A failed write below the run folder, in the words of the catalogue. */
export function outputError(path: string, error: unknown): MkCiError {
  if (error instanceof MkCiError && error.code === 'RUN_OUTPUT') return error;
  const cause = error instanceof MkCiError ? (error.cause ?? error) : error;
  const code = systemErrorCode(cause);
  const why =
    code === 'ENOSPC' || code === 'EDQUOT'
      ? 'no space left'
      : code === 'EACCES' || code === 'EPERM'
        ? 'permission denied'
        : code === 'EROFS'
          ? 'read-only file system'
          : code === 'ENOTDIR'
            ? 'a file is where a folder should be'
            : code === 'ENOENT'
              ? 'no folder can be made there'
              : (code ?? messageOf(cause));
  return new MkCiError('RUN_OUTPUT', { message: `${path} (${why})`, cause: error });
}

/** A line that is not an event: torn by a crash or a full disk, or written by something else. */
export interface SkippedLine {
  /** 1-based. */
  readonly line: number;
  readonly reason: 'torn' | 'not-json' | 'not-an-event';
}

export interface ReadEventLogOptions {
  /** Called for each line that was left out. Unknown event types are left out in silence: a newer mk-ci wrote them. */
  readonly onSkipped?: (skipped: SkippedLine) => void;
}

/** No event comes near this; a longer line is not ours and is skipped without holding it in memory. */
const MAX_LINE_CHARACTERS = 16 * 1024 * 1024;

/**
 * Reads a log back, event by event, whatever cut it off.
 *
 * @throws {MkCiError} `RES_NOT_A_RUN` when there is no such file, `RES_MALFORMED` when a newer version wrote it
 */
export async function* readEventLog(path: string, options: ReadEventLogOptions = {}): AsyncGenerator<RunEvent> {
  const decoder = new StringDecoder('utf8');
  let rest = '';
  let overlong = false;
  let line = 0;
  const parse = function* (text: string, torn: boolean): Generator<RunEvent> {
    line += 1;
    const wasOverlong = overlong;
    overlong = false;
    if (!wasOverlong && text.trim() === '') return;
    const parsed = wasOverlong ? ('not-json' as const) : parseEventLine(text);
    if (typeof parsed === 'object') {
      if (parsed.type === 'run-started' && parsed.version > EVENTS_VERSION) {
        throw new MkCiError('RES_MALFORMED', {
          message: `${path} was written by a newer mk-ci (events version ${parsed.version})`,
          advice: 'Update mk-ci.',
        });
      }
      yield parsed;
    } else if (parsed !== 'unknown-type') {
      options.onSkipped?.({ line, reason: torn ? 'torn' : parsed });
    }
  };
  try {
    for await (const piece of createReadStream(path) as AsyncIterable<Buffer>) {
      const lines = (rest + decoder.write(piece)).split('\n');
      rest = lines.pop() ?? '';
      for (const text of lines) yield* parse(text, false);
      if (rest.length > MAX_LINE_CHARACTERS) {
        overlong = true;
        rest = '';
      }
    }
  } catch (error) {
    const code = systemErrorCode(error);
    if (code === 'ENOENT' || code === 'ENOTDIR' || code === 'EISDIR') {
      throw new MkCiError('RES_NOT_A_RUN', { message: path, cause: error });
    }
    throw error;
  }
  rest += decoder.end();
  if (rest !== '' || overlong) yield* parse(rest, true);
}

// The fields without which an event means nothing. Types that are not here belong to a newer version.
const REQUIRED: Readonly<Record<RunEvent['type'], readonly (readonly [field: string, type: string])[]>> = {
  'run-started': [
    ['version', 'number'],
    ['at', 'string'],
    ['runId', 'string'],
    ['cells', 'object'],
  ],
  'phase-started': [
    ['at', 'string'],
    ['scope', 'string'],
    ['name', 'string'],
  ],
  'phase-ended': [
    ['at', 'string'],
    ['scope', 'string'],
    ['name', 'string'],
    ['status', 'string'],
  ],
  'cell-started': [
    ['at', 'string'],
    ['cell', 'string'],
  ],
  'attempt-started': [
    ['at', 'string'],
    ['cell', 'string'],
    ['attempt', 'number'],
    ['command', 'object'],
  ],
  'attempt-ended': [
    ['at', 'string'],
    ['cell', 'string'],
    ['attempt', 'number'],
  ],
  'cell-ended': [
    ['at', 'string'],
    ['cell', 'string'],
    ['status', 'string'],
  ],
  'test-started': [
    ['cell', 'string'],
    ['attempt', 'number'],
    ['test', 'object'],
  ],
  'test-ended': [
    ['cell', 'string'],
    ['attempt', 'number'],
    ['test', 'object'],
    ['status', 'string'],
  ],
  'package-ended': [
    ['cell', 'string'],
    ['attempt', 'number'],
    ['package', 'string'],
    ['status', 'string'],
  ],
  'package-named': [
    ['cell', 'string'],
    ['attempt', 'number'],
    ['package', 'string'],
  ],
  attribute: [
    ['cell', 'string'],
    ['attempt', 'number'],
    ['test', 'object'],
    ['key', 'string'],
    ['value', 'string'],
  ],
  repair: [
    ['cell', 'string'],
    ['attempt', 'number'],
    ['kind', 'string'],
    ['message', 'string'],
  ],
  error: [
    ['at', 'string'],
    ['code', 'string'],
    ['message', 'string'],
  ],
  'run-ended': [
    ['at', 'string'],
    ['exitCode', 'number'],
  ],
};

/** One line of `events.jsonl` as an event, or why it is none. */
export function parseEventLine(line: string): RunEvent | 'not-json' | 'not-an-event' | 'unknown-type' {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    return 'not-json';
  }
  if (!isRecord(value) || typeof value['type'] !== 'string') return 'not-an-event';
  if (!Object.hasOwn(REQUIRED, value['type'])) return 'unknown-type';
  return isEvent(value) ? value : 'not-an-event';
}

function isEvent(value: Record<string, unknown>): value is Record<string, unknown> & RunEvent {
  const fields = REQUIRED[value['type'] as RunEvent['type']];
  if (!fields.every(([field, type]) => typeof value[field] === type && value[field] !== null)) return false;
  const { test } = value;
  return (
    test === undefined || (isRecord(test) && typeof test['package'] === 'string' && typeof test['name'] === 'string')
  );
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}
