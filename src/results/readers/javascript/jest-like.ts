import type { Failure, Status } from '../../model.js';
import type { CreateReader, Format } from '../../reader.js';
import { emitTest, type KnownAttempt } from '../document/emit-test.js';
import { makeFailure } from '../document/failure.js';
import { createJsonReader, type JsonContext } from '../document/json-reader.js';
import { cleanName, testId } from '../document/names.js';
import { parseMoment, roundMs } from '../document/numbers.js';
import { stablePath } from '../document/paths.js';
import {
  asObject,
  numberField,
  objectField,
  objectsField,
  textField,
  textsField,
  type JsonObject,
} from '../document/values.js';

/**
 * JSON of Jest (`--json`) and of vitest (`--reporter=json`), which took over Jest's shape.
 *
 * - A test is (file, describe titles and title joined by ` > `); files are made relative where that is possible.
 * - Retries: Jest lists the reasons of failed attempts in `retryReasons`; vitest keeps the messages of failed attempts in
 *   `failureMessages` of a test that passed in the end.
 * - `pending` is a skip in Jest; in vitest it is a test that was never finished. `todo` is a skip.
 * - A file that failed without a failing test (syntax error, failing hook) is a failed package.
 *
 * @see {@link https://github.com/vitest-dev/vitest/blob/main/packages/vitest/src/node/reporters/json.ts}
 * @see {@link https://jestjs.io/docs/configuration#testresultsprocessor-string}
 */
export const createVitestJsonReader: CreateReader = (emit, options = {}) => create('vitest-json', emit, options);

/** As {@link createVitestJsonReader}, for Jest. */
export const createJestJsonReader: CreateReader = (emit, options = {}) => create('jest-json', emit, options);

const KNOWN_KEYS = new Set(['numTotalTests', 'numTotalTestSuites', 'numPassedTests', 'numFailedTests']);

function create(format: 'vitest-json' | 'jest-json', ...[emit, options]: Required<Parameters<CreateReader>>) {
  return createJsonReader(format, emit, options, (context) => ({
    walk: new Set(['', 'testResults']),
    value: (path, value) => {
      const file = asObject(value);
      if (path !== 'testResults[]' || file === undefined) return KNOWN_KEYS.has(path);
      readFile(format, file, context);
      return true;
    },
  }));
}

function readFile(format: Format, result: JsonObject, { emit, options }: JsonContext): void {
  const path = stablePath(textField(result, 'name') ?? textField(result, 'testFilePath') ?? '', options.baseFolder);
  const startedAt = numberField(result, 'startTime');
  const endedAt = numberField(result, 'endTime');
  let failing = 0;
  let executed = 0;
  const assertions = objectsField(result, 'assertionResults');
  for (const assertion of assertions) {
    const attempts = attemptsOf(format, assertion, options.timedOut === true ? 'timedout' : 'notrun');
    const status = attempts.at(-1)?.status;
    if (status !== 'passed' && status !== 'skipped') failing += 1;
    if (status !== 'skipped') executed += 1;
    const titles = [
      ...textsField(assertion, 'ancestorTitles').filter((title) => title !== ''),
      textField(assertion, 'title') ?? '',
    ];
    const tags = textsField(assertion, 'tags');
    emitTest(emit, {
      test: testId(
        path,
        titles.filter((title) => title !== '').join(' > ') || (textField(assertion, 'fullName') ?? ''),
      ),
      attempts,
      file: path,
      line: numberField(objectField(assertion, 'location'), 'line'),
      ...(tags.length === 0 ? {} : { attributes: [['tags', tags.join(', ')]] }),
    });
  }
  const message = textField(result, 'message') ?? textField(result, 'failureMessage') ?? '';
  const isBroken = textField(result, 'status') === 'failed' && failing === 0;
  const failure = isBroken
    ? makeFailure({ message: message || 'the test file failed', text: message, kind: 'setup' })
    : undefined;
  const durationMs = startedAt === undefined || endedAt === undefined ? undefined : roundMs(endedAt - startedAt);
  emit({
    type: 'package-ended',
    package: cleanName(path),
    status: isBroken || failing > 0 ? 'failed' : executed === 0 && assertions.length > 0 ? 'skipped' : 'passed',
    ...(durationMs === undefined || durationMs < 0 ? {} : { durationMs }),
    ...(failure === undefined ? {} : { failure }),
  });
}

function attemptsOf(format: Format, assertion: JsonObject, unfinished: Status): readonly KnownAttempt[] {
  const messages = textsField(assertion, 'failureMessages');
  const at = parseMoment(numberField(assertion, 'startAt') ?? numberField(assertion, 'startTime'));
  const duration = numberField(assertion, 'duration');
  const durationMs = duration === undefined ? undefined : roundMs(duration);
  const status = statusOf(format, textField(assertion, 'status'), unfinished);
  const retryReasons = textsField(assertion, 'retryReasons');
  if (status === 'passed') {
    const before = retryReasons.length > 0 ? retryReasons : messages;
    const invocations = numberField(assertion, 'invocations') ?? 1;
    const unknown = Math.max(0, Math.min(invocations, 100) - 1 - before.length);
    return [
      ...before.map((message): KnownAttempt => ({ status: 'failed', failure: failureOf(message) })),
      ...Array.from({ length: unknown }, (): KnownAttempt => ({ status: 'failed', failure: failureOf('') })),
      { status, at, durationMs },
    ];
  }
  if (status !== 'failed') return [{ status, at, durationMs }];
  const last = retryReasons.length > 0 ? messages.slice(-1) : messages;
  return [
    ...retryReasons.map((message): KnownAttempt => ({ status: 'failed', failure: failureOf(message) })),
    {
      status,
      at,
      durationMs,
      failure: failureOf(last.join('\n\n'), numberField(objectField(assertion, 'location'), 'line')),
    },
  ];
}

// vitest replaces the message of a time-out in its stack by this word, and writes only the stack.
const VITEST_TIMEOUT = 'Error: STACK_TRACE_ERROR';

function failureOf(text: string, line?: number): Failure {
  const isTimeout = text.startsWith(VITEST_TIMEOUT);
  return makeFailure({
    message: text === '' ? 'failed in an earlier attempt' : isTimeout ? 'timed out' : text,
    text: text.replace(VITEST_TIMEOUT, 'Error: timed out'),
    ...(text === '' ? { line } : {}),
  });
}

function statusOf(format: Format, word: string | undefined, unfinished: Status): Status {
  switch (word) {
    case 'passed':
      return 'passed';
    case 'failed':
      return 'failed';
    case 'skipped':
    case 'todo':
    case 'disabled':
    case 'focused':
      return 'skipped';
    case 'pending':
      return format === 'jest-json' ? 'skipped' : unfinished;
    default:
      return unfinished;
  }
}
