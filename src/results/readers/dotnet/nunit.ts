import type { Status } from '../../model.js';
import type { CreateReader } from '../../reader.js';
import { emitTest } from '../document/emit-test.js';
import { makeFailure } from '../document/failure.js';
import { cleanName, testId } from '../document/names.js';
import { parseMoment, parseSecondsToMs } from '../document/numbers.js';
import { childAt, createXmlReader, textAt, type XmlContext, type XmlElement } from '../document/xml-reader.js';

/**
 * XML of NUnit 3 (`<test-run>`) and NUnit 2 (`<test-results>`). A test is (class, name); NUnit 2 gives the full name only,
 * which is divided behind its fixture, or without one at the last dot before its arguments. `Error`, `Invalid` and `NotRunnable` are errors, `Cancelled` did
 * not run to its end, `Warning` has passed, `Inconclusive` is skipped. A failing set-up of a fixture is the package's.
 *
 * @see {@link https://docs.nunit.org/articles/nunit/technical-notes/usage/Test-Result-XML-Format.html}
 */
export const createNunitReader: CreateReader = (emit, options = {}) =>
  createXmlReader('nunit', emit, options, (context) => ({
    roots: new Set(['test-run', 'test-results']),
    collect: new Set(['test-case', 'failure']),
    element: (element, around, isCut) => {
      if (element.name === 'test-case') {
        readCase(element, around, context, isCut);
        return;
      }
      const suite = around.findLast(({ name }) => name === 'test-suite')?.attributes;
      // A suite whose failure is that of its children only repeats them.
      const message = textAt(element, 'message');
      if (suite === undefined || message === undefined || suite.get('site') === 'Child' || CHILDREN.test(message))
        return;
      emit({
        type: 'package-ended',
        package: cleanName(suite.get('fullname') ?? suite.get('name') ?? ''),
        status: 'error',
        failure: makeFailure({ message, text: textAt(element, 'stack-trace'), kind: 'setup' }),
      });
    },
  }));

const CHILDREN = /child (?:tests|test suites?) had (?:errors|failures)/i;

function readCase(
  element: XmlElement,
  around: readonly Pick<XmlElement, 'name' | 'attributes'>[],
  { emit, options }: XmlContext,
  isCut: boolean,
): void {
  const { attributes } = element;
  const full = attributes.get('fullname') ?? attributes.get('name') ?? '';
  const given = attributes.get('classname');
  const [pkg, name] =
    given === undefined ? (divideBySuites(full, around) ?? divide(full)) : [given, attributes.get('name') ?? full];
  const time = parseSecondsToMs(attributes.get('duration') ?? attributes.get('time'));
  const unfinished = options.timedOut === true ? 'timedout' : 'notrun';
  const status = isCut ? unfinished : statusOf(attributes, unfinished);
  const failure = childAt(element, 'failure');
  const isBad = status !== 'passed' && status !== 'skipped';
  const reason = textAt(element, 'reason', 'message')?.trim();
  emitTest(emit, {
    test: testId(pkg, name),
    attempts: [
      {
        status,
        at: parseMoment(attributes.get('start-time')),
        durationMs: time === 'negative' ? undefined : time,
        failure:
          isBad && (failure !== undefined || reason !== undefined || status === 'failed')
            ? makeFailure({ message: textAt(failure, 'message') ?? reason, text: textAt(failure, 'stack-trace') })
            : undefined,
        skipReason: status === 'skipped' ? reason : undefined,
        stdout: textAt(element, 'output'),
      },
    ],
    attributes: (childAt(element, 'properties')?.children ?? []).flatMap(({ attributes: property }) => {
      const key = property.get('name');
      return key === undefined || key.startsWith('_') ? [] : [[key, property.get('value') ?? ''] as const];
    }),
  });
}

function statusOf(attributes: ReadonlyMap<string, string>, unfinished: Status): Status {
  const label = attributes.get('label');
  switch (attributes.get('result')) {
    case 'Passed':
    case 'Success':
    case 'Warning':
      return 'passed';
    case 'Failed':
    case 'Failure':
      return label === 'Error' || label === 'Invalid' ? 'error' : label === 'Cancelled' ? unfinished : 'failed';
    case 'Error':
    case 'NotRunnable':
    case 'Invalid':
      return 'error';
    case 'Skipped':
    case 'Ignored':
    case 'Inconclusive':
    case 'Explicit':
      return 'skipped';
    case 'Cancelled':
      return unfinished;
    default:
      return attributes.get('executed') === 'False' ? 'skipped' : unfinished;
  }
}

/** By the fixture around it, which may have arguments with dots of its own. */
function divideBySuites(
  full: string,
  around: readonly Pick<XmlElement, 'attributes'>[],
): readonly [string, string] | undefined {
  const named = (type: string): string[] =>
    around.flatMap(({ attributes }) => (attributes.get('type') === type ? [attributes.get('name') ?? ''] : []));
  const fixture = [...named('Namespace'), ...named('TestFixture')].join('.');
  return fixture !== '' && full.startsWith(`${fixture}.`) ? [fixture, full.slice(fixture.length + 1)] : undefined;
}

function divide(full: string): readonly [string, string] {
  const end = full.indexOf('(') === -1 ? full.length : full.indexOf('(');
  const dot = full.lastIndexOf('.', end);
  return dot <= 0 ? ['', full] : [full.slice(0, dot), full.slice(dot + 1)];
}
