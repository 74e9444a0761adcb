import { STATUSES, type Status } from '../../model.js';
import type { CreateReader } from '../../reader.js';
import { emitTest, type KnownAttempt } from '../document/emit-test.js';
import { makeFailure } from '../document/failure.js';
import { createJsonReader, type JsonContext } from '../document/json-reader.js';
import { testId } from '../document/names.js';
import { parseMoment } from '../document/numbers.js';
import { stablePath } from '../document/paths.js';
import {
  asObject,
  field,
  listField,
  numberField,
  objectField,
  objectsField,
  textField,
  textsField,
  type JsonObject,
} from '../document/values.js';

/**
 * Common Test Report Format.
 *
 * - A test is (`suite`, `name`), suites joined by ` > ` (older reports hold one text); without a suite, the file.
 * - `pending` is skipped; `other` is `notrun`, unless `rawStatus` is one of our statuses.
 * - `retryAttempts` are attempts; where the last one is not the test's own result, that follows. A test with `retries` or
 *   `flaky` and no list failed that often before, of which nothing else is known.
 *
 * @see {@link https://github.com/ctrf-io/ctrf/blob/main/schema/ctrf.schema.json}
 */
export const createCtrfReader: CreateReader = (emit, options = {}) =>
  createJsonReader('ctrf', emit, options, (context) => {
    let claimed: number | undefined;
    let seen = 0;
    return {
      walk: new Set(['', 'results', 'results.tests']),
      value: (path, value) => {
        const object = asObject(value);
        if (path === 'reportFormat') return value === 'CTRF';
        if (path === 'results.summary') claimed = numberField(object, 'tests');
        if (path !== 'results.tests[]' || object === undefined) return path === 'results.summary';
        seen += 1;
        readTest(object, context);
        return true;
      },
      finish: () => {
        if (claimed !== undefined && claimed !== seen) {
          context.repairs.add('attributes-disagree', `the summary says ${claimed} tests, the report has ${seen}`);
        }
      },
    };
  });

function readTest(test: JsonObject, { emit, options }: JsonContext): void {
  const file = textField(test, 'filePath');
  const path = file === undefined ? undefined : stablePath(file, options.baseFolder);
  const suite = textField(test, 'suite') ?? textsField(test, 'suite').join(' > ');
  const labels = objectField(test, 'labels');
  const attributes: [string, string][] = Object.entries(labels ?? {}).flatMap(([key, value]) =>
    typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean'
      ? [[key, String(value)]]
      : Array.isArray(value)
        ? [[key, value.join(', ')]]
        : [],
  );
  const tags = textsField(test, 'tags');
  if (tags.length > 0) attributes.push(['tags', tags.join(', ')]);
  emitTest(emit, {
    test: testId(suite === '' ? (path ?? '') : suite, textField(test, 'name') ?? ''),
    attempts: attemptsOf(test),
    file: path,
    line: numberField(test, 'line'),
    attributes,
  });
}

function attemptsOf(test: JsonObject): readonly KnownAttempt[] {
  const own = attemptOf(test);
  const listed = objectsField(test, 'retryAttempts').map(attemptOf);
  const retries = numberField(test, 'retries');
  if (listed.length > 0) {
    // Some tools list the final attempt too, some only those before it.
    const holdsFinal = listed.at(-1)?.status === own.status && (retries === undefined || listed.length > retries);
    if (!holdsFinal) return [...listed, own];
    const last = listed.at(-1);
    return [...listed.slice(0, -1), { ...own, ...definedOf(last) }];
  }
  const isFlaky = field(test, 'flaky') === true;
  const before = own.status === 'skipped' ? 0 : Math.max(retries ?? 0, isFlaky && own.status === 'passed' ? 1 : 0);
  return [
    ...Array.from({ length: Math.min(before, 100) }, (): KnownAttempt => ({
      status: 'failed',
      failure: makeFailure({ message: 'failed in an earlier attempt' }),
    })),
    own,
  ];
}

function definedOf(attempt: KnownAttempt | undefined): Partial<KnownAttempt> {
  return Object.fromEntries(Object.entries(attempt ?? {}).filter(([, value]) => value !== undefined && value !== ''));
}

function attemptOf(result: JsonObject): KnownAttempt {
  const status = statusOf(result);
  const message = textField(result, 'message');
  const isBad = status !== 'passed' && status !== 'skipped';
  return {
    status,
    at: parseMoment(numberField(result, 'start')),
    durationMs: numberField(result, 'duration'),
    failure:
      isBad && (message !== undefined || textField(result, 'trace') !== undefined || status === 'failed')
        ? makeFailure({ message, text: textField(result, 'trace') })
        : undefined,
    skipReason: status === 'skipped' ? message : undefined,
    stdout: linesOf(result, 'stdout'),
    stderr: linesOf(result, 'stderr'),
  };
}

function statusOf(result: JsonObject): Status {
  const raw = textField(result, 'rawStatus') ?? textField(objectField(result, 'extra'), 'rawStatus');
  const word = textField(result, 'status');
  switch (word) {
    case 'passed':
      return 'passed';
    case 'failed':
      return raw === 'error' || raw === 'timedout' ? raw : /^timed?[ _-]?out$/i.test(raw ?? '') ? 'timedout' : 'failed';
    case 'skipped':
    case 'pending':
      return 'skipped';
    default:
      return STATUSES.find((status) => status === raw) ?? 'notrun';
  }
}

function linesOf(result: JsonObject, key: 'stdout' | 'stderr'): string {
  return listField(result, key)
    .filter((line) => typeof line === 'string')
    .map((line) => (line.endsWith('\n') ? line : `${line}\n`))
    .join('');
}
