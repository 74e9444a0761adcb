import type { CreateReader } from '../../reader.js';
import { emitTest } from '../document/emit-test.js';
import { makeFailure } from '../document/failure.js';
import { createJsonReader, type JsonContext } from '../document/json-reader.js';
import { testId } from '../document/names.js';
import { stablePath } from '../document/paths.js';
import { asObject, numberField, objectField, textField, type JsonObject } from '../document/values.js';
import type { Status } from '../../model.js';

/**
 * JSON of Mocha (`--reporter json`). The results are taken from the lists `passes`, `failures` and `pending`, because an
 * entry does not say its own; what is in `tests` and in none of them was started and did not end. A failing hook is in
 * `failures` only. A `currentRetry` of n means n failed attempts before, of which nothing else is known.
 *
 * @see {@link https://github.com/mochajs/mocha/blob/main/lib/reporters/json.js}
 */
export const createMochaJsonReader: CreateReader = (emit, options = {}) =>
  createJsonReader('mocha-json', emit, options, (context) => {
    const lists = { 'passes[]': 'passed', 'failures[]': 'failed', 'pending[]': 'skipped' } as const satisfies Record<
      string,
      Status
    >;
    /** Occurrences in `tests` minus those in the three lists, with the entry's file. */
    const balance = new Map<
      string,
      { count: number; readonly entry: { readonly file: string; readonly title: string } }
    >();
    const weigh = (entry: JsonObject, by: 1 | -1): void => {
      const facts = factsOf(entry, context);
      const key = `${facts.file}\0${facts.title}`;
      const known = balance.get(key);
      if (known === undefined) balance.set(key, { count: by, entry: facts });
      else if (known.count + by === 0) balance.delete(key);
      else known.count += by;
    };
    return {
      walk: new Set(['', 'tests', 'passes', 'failures', 'pending']),
      value: (path, value) => {
        const entry = asObject(value);
        if (path === 'stats') return entry !== undefined && 'passes' in entry;
        if (entry === undefined) return false;
        if (path === 'tests[]') {
          weigh(entry, 1);
          return true;
        }
        if (path !== 'passes[]' && path !== 'failures[]' && path !== 'pending[]') return false;
        weigh(entry, -1);
        emitEntry(entry, lists[path], context);
        return true;
      },
      finish: () => {
        for (const { count, entry } of balance.values()) {
          for (let index = 0; index < count; index += 1) {
            const status = context.options.timedOut === true ? 'timedout' : 'notrun';
            emitTest(emit, { test: testId(entry.file, entry.title), attempts: [{ status }], file: entry.file });
          }
        }
      },
    };
  });

function factsOf(entry: JsonObject, { options }: JsonContext): { file: string; title: string } {
  const file = textField(entry, 'file') ?? '';
  return {
    file: file === '' ? '' : stablePath(file, options.baseFolder),
    title: textField(entry, 'fullTitle') ?? textField(entry, 'title') ?? '',
  };
}

function emitEntry(entry: JsonObject, status: Status, context: JsonContext): void {
  const { file, title } = factsOf(entry, context);
  const error = objectField(entry, 'err');
  const retries = Math.max(0, Math.min(numberField(entry, 'currentRetry') ?? 0, 100));
  const message = textField(error, 'message');
  const failure =
    status === 'failed'
      ? makeFailure({
          message,
          text: textField(error, 'stack') ?? message,
          ...(textField(error, 'code') === 'ERR_ASSERTION' ? { kind: 'assertion' } : {}),
        })
      : undefined;
  emitTest(context.emit, {
    test: testId(file, title),
    attempts: [
      ...Array.from({ length: retries }, () => ({
        status: 'failed' as const,
        failure: makeFailure({ message: 'failed in an earlier attempt' }),
      })),
      { status, durationMs: numberField(entry, 'duration'), failure },
    ],
    file,
  });
}
