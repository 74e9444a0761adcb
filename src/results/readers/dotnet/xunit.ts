import type { Status } from '../../model.js';
import type { CreateReader } from '../../reader.js';
import { emitTest } from '../document/emit-test.js';
import { makeFailure } from '../document/failure.js';
import { cleanName, testId } from '../document/names.js';
import { parseMoment, parseSecondsToMs, parseWhole } from '../document/numbers.js';
import { childAt, createXmlReader, textAt, type XmlContext, type XmlElement } from '../document/xml-reader.js';

/**
 * XML of xUnit.net v2 and v3. A test is (`type`, `name`), the name without the type before it. `Skip` and `NotRun` (v3: an
 * explicit test that was not asked for) are skipped. Errors of an assembly, such as a failing fixture, are the package's.
 *
 * @see {@link https://xunit.net/docs/format-xml-v2}
 * @see {@link https://xunit.net/docs/format-xml-v3}
 */
export const createXunitReader: CreateReader = (emit, options = {}) =>
  createXmlReader('xunit', emit, options, (context) => ({
    roots: new Set(['assemblies', 'assembly']),
    collect: new Set(['test', 'error']),
    element: (element, around, isCut) => {
      if (element.name === 'test') readTest(element, context, isCut);
      else {
        const assembly = around.find(({ name }) => name === 'assembly')?.attributes.get('name') ?? '';
        emit({
          type: 'package-ended',
          package: cleanName(assembly.replace(/^.*[\\/]/, '')),
          status: 'error',
          failure: failureOf(childAt(element, 'failure') ?? element, element.attributes.get('name')),
        });
      }
    },
  }));

const STATUS: Readonly<Record<string, Status>> = {
  Pass: 'passed',
  Fail: 'failed',
  Skip: 'skipped',
  NotRun: 'skipped',
};

function readTest(element: XmlElement, { emit, options }: XmlContext, isCut: boolean): void {
  const { attributes } = element;
  const type = attributes.get('type') ?? '';
  const full = attributes.get('name') ?? attributes.get('method') ?? '';
  const time = parseSecondsToMs(attributes.get('time'));
  const unfinished = options.timedOut === true ? 'timedout' : 'notrun';
  const status = isCut ? unfinished : (STATUS[attributes.get('result') ?? ''] ?? unfinished);
  const traits = childAt(element, 'traits')?.children ?? [];
  emitTest(emit, {
    test: testId(type, type !== '' && full.startsWith(`${type}.`) ? full.slice(type.length + 1) : full),
    attempts: [
      {
        status,
        at: parseMoment(attributes.get('start-rtf')),
        durationMs: time === 'negative' ? undefined : time,
        failure: status === 'failed' ? failureOf(childAt(element, 'failure')) : undefined,
        skipReason: status === 'skipped' ? textAt(element, 'reason')?.trim() : undefined,
        stdout: textAt(element, 'output'),
      },
    ],
    file: attributes.get('source-file'),
    line: parseWhole(attributes.get('source-line')),
    attributes: traits.flatMap(({ attributes: trait }) => {
      const name = trait.get('name');
      return name === undefined ? [] : [[name, trait.get('value') ?? ''] as const];
    }),
  });
}

function failureOf(failure: XmlElement | undefined, fallback?: string) {
  return makeFailure({
    message: textAt(failure, 'message') ?? fallback,
    text: textAt(failure, 'stack-trace'),
    type: failure?.attributes.get('exception-type'),
  });
}
