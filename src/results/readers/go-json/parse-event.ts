import { isGoAction, type GoEvent } from '../go/event.js';
import { utcTime } from './utc-time.js';

/**
 * One line of `go test -json`.
 *
 * @returns `'unknown'` for an object that looks like an event with an action that is not known, `undefined` when the
 *   text is not an event: not JSON, cut off, or an object of some other program
 */
export function parseGoEvent(text: string): GoEvent | 'unknown' | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  return isRecord(value) ? goEventOf(value) : undefined;
}

function goEventOf(record: Readonly<Record<string, unknown>>): GoEvent | 'unknown' | undefined {
  const action = record['Action'];
  if (typeof action !== 'string') return undefined;
  // Docker prints events with an `Action` of its own.
  if ('Actor' in record || 'Type' in record) return undefined;
  if (!isGoAction(action))
    return text(record['Package']) !== undefined || text(record['Test']) !== undefined ? 'unknown' : undefined;
  const time = text(record['Time']);
  const elapsed = record['Elapsed'];
  return {
    action,
    package: text(record['Package']) ?? '',
    test: text(record['Test']),
    at: time === undefined ? undefined : utcTime(time),
    elapsedSeconds: typeof elapsed === 'number' ? elapsed : undefined,
    output: text(record['Output']),
    outputType: text(record['OutputType']),
    failedBuild: text(record['FailedBuild']),
    importPath: text(record['ImportPath']),
    key: text(record['Key']),
    value: text(record['Value']),
    path: text(record['Path']),
  };
}

function text(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined;
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
