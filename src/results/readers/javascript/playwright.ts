import type { Failure, Status } from '../../model.js';
import type { CreateReader } from '../../reader.js';
import { emitTest, type KnownAttempt } from '../document/emit-test.js';
import { joinFailures, makeFailure } from '../document/failure.js';
import { createJsonReader, type JsonContext } from '../document/json-reader.js';
import { testId } from '../document/names.js';
import { parseMoment } from '../document/numbers.js';
import { stablePath } from '../document/paths.js';
import {
  asObject,
  listField,
  numberField,
  objectField,
  objectsField,
  textField,
  textsField,
  type JsonObject,
} from '../document/values.js';

/**
 * JSON of Playwright Test (`--reporter=json`).
 *
 * - A test is (`file [project]`, describe titles and title joined by ` > `): the same spec in two projects is two tests.
 * - Each result is an attempt. What was expected passes: a test marked to fail that fails has passed, one that passes has
 *   failed. `timedOut` is `timedout`, `interrupted` is `notrun`.
 * - Errors outside tests (a syntax error, a failing global setup) make the package '' an error.
 *
 * @see {@link https://github.com/microsoft/playwright/blob/main/packages/playwright/types/testReporter.d.ts} `JSONReport`
 */
export const createPlaywrightJsonReader: CreateReader = (emit, options = {}) =>
  createJsonReader('playwright-json', emit, options, (context) => {
    const errors: Failure[] = [];
    return {
      walk: new Set(['', 'suites', 'errors']),
      value: (path, value) => {
        const object = asObject(value);
        if (object === undefined) return false;
        if (path === 'suites[]') {
          const isSuite = Array.isArray(object['specs']) || Array.isArray(object['suites']);
          if (isSuite) readSuite(object, [], context, 0);
          return isSuite;
        }
        if (path === 'errors[]') errors.push(failureOf(object));
        return path === 'config' && ('rootDir' in object || 'projects' in object);
      },
      finish: () => {
        const failure = joinFailures(errors);
        if (failure !== undefined) emit({ type: 'package-ended', package: '', status: 'error', failure });
      },
    };
  });

/** Deeper suites than this do not exist; a hostile document may hold them. */
const DEPTH_LIMIT = 200;

function readSuite(suite: JsonObject, titles: readonly string[], context: JsonContext, depth: number): void {
  if (depth > DEPTH_LIMIT) {
    context.repairs.add('malformed-json', `suites nested deeper than ${DEPTH_LIMIT} were left out`);
    return;
  }
  const title = textField(suite, 'title') ?? '';
  // The outermost suite is the file itself.
  const isFile = depth === 0 || title === '' || title === textField(suite, 'file');
  const path = isFile ? titles : [...titles, title];
  for (const spec of objectsField(suite, 'specs')) readSpec(spec, path, textField(suite, 'file') ?? title, context);
  for (const inner of objectsField(suite, 'suites')) readSuite(inner, path, context, depth + 1);
}

function readSpec(spec: JsonObject, titles: readonly string[], suiteFile: string, context: JsonContext): void {
  const file = stablePath(textField(spec, 'file') ?? suiteFile, context.options.baseFolder);
  const name = [...titles, textField(spec, 'title') ?? ''].join(' > ');
  const tags = textsField(spec, 'tags');
  for (const test of objectsField(spec, 'tests')) {
    const project = textField(test, 'projectName') ?? '';
    const annotations = objectsField(test, 'annotations');
    const attributes: [string, string][] = annotations.flatMap((annotation) => {
      const type = textField(annotation, 'type');
      return type === undefined ? [] : [[type, textField(annotation, 'description') ?? '']];
    });
    if (tags.length > 0) attributes.push(['tags', tags.join(', ')]);
    const skipReason = attributes.find(([type]) => type === 'skip' || type === 'fixme')?.[1];
    const results = objectsField(test, 'results');
    const unfinished: Status = context.options.timedOut === true ? 'timedout' : 'notrun';
    const expected = textField(test, 'expectedStatus') ?? 'passed';
    const attempts: readonly KnownAttempt[] =
      results.length === 0
        ? [{ status: textField(test, 'status') === 'skipped' ? 'skipped' : unfinished, skipReason }]
        : results.map((result) => attemptOf(result, expected, unfinished, skipReason));
    emitTest(context.emit, {
      test: testId(project === '' ? file : `${file} [${project}]`, name),
      attempts,
      file,
      line: numberField(spec, 'line'),
      attributes,
    });
  }
}

function attemptOf(
  result: JsonObject,
  expected: string,
  unfinished: Status,
  skipReason: string | undefined,
): KnownAttempt {
  const word = textField(result, 'status');
  const status = statusOf(word, expected, unfinished);
  const errors = objectsField(result, 'errors');
  const single = objectField(result, 'error');
  const given = (errors.length > 0 ? errors : single === undefined ? [] : [single]).map(failureOf);
  const isBad = status === 'failed' || status === 'timedout';
  const unexpected =
    status === 'failed' && word === 'passed' ? [makeFailure({ message: 'expected to fail, but passed' })] : [];
  return {
    status,
    at: parseMoment(textField(result, 'startTime')),
    durationMs: numberField(result, 'duration'),
    failure: isBad ? (joinFailures([...unexpected, ...given]) ?? makeFailure({ message: word })) : undefined,
    skipReason: status === 'skipped' ? skipReason : undefined,
    stdout: outputOf(result, 'stdout'),
    stderr: outputOf(result, 'stderr'),
  };
}

function statusOf(word: string | undefined, expected: string, unfinished: Status): Status {
  switch (word) {
    case 'skipped':
      return 'skipped';
    case 'interrupted':
      return unfinished;
    case 'passed':
    case 'failed':
    case 'timedOut':
      // A test that is expected to be skipped and was run after all counts by its result.
      if (word === expected || (expected === 'skipped' && word === 'passed')) return 'passed';
      return word === 'timedOut' ? 'timedout' : 'failed';
    default:
      return unfinished;
  }
}

function failureOf(error: JsonObject): Failure {
  const location = objectField(error, 'location');
  const message = textField(error, 'message') ?? textField(error, 'value');
  const stack = textField(error, 'stack');
  return makeFailure({
    message,
    // The snippet is the code around the place, with colours.
    text: [stack ?? message, textField(error, 'snippet')].filter((part) => part !== undefined).join('\n\n'),
    file: textField(location, 'file'),
    line: numberField(location, 'line'),
  });
}

/** Output comes as a list of texts and of base64 buffers. */
function outputOf(result: JsonObject, key: 'stdout' | 'stderr'): string {
  return listField(result, key)
    .map((entry) => {
      if (typeof entry === 'string') return entry;
      const object = asObject(entry);
      const buffer = textField(object, 'buffer');
      return textField(object, 'text') ?? (buffer === undefined ? '' : Buffer.from(buffer, 'base64').toString('utf8'));
    })
    .join('');
}
