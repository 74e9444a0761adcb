import type { Status } from '../../model.js';
import type { CreateReader } from '../../reader.js';
import { emitTest } from '../document/emit-test.js';
import { makeFailure } from '../document/failure.js';
import { testId } from '../document/names.js';
import { parseClockToMs, parseMoment } from '../document/numbers.js';
import { childAt, createXmlReader, textAt, type XmlElement } from '../document/xml-reader.js';

/**
 * TRX, the XML of Visual Studio and `dotnet test --logger trx`. A test is (class, name); the class stands in the
 * definitions, which come after the results, so results wait for the end (their output keeps beginning and end). Data-driven
 * tests give their inner results. Errors of the whole run make the package '' an error.
 *
 * @see {@link https://learn.microsoft.com/en-us/visualstudio/test/vstest-console-options} (vstst.xsd in Visual Studio)
 */
export const createTrxReader: CreateReader = (emit, options = {}) =>
  createXmlReader('trx', emit, options, () => {
    const classes = new Map<string, string>();
    const results: XmlElement[] = [];
    const errors: string[] = [];
    const unfinished: Status = options.timedOut === true ? 'timedout' : 'notrun';
    const take = (element: XmlElement): void => {
      const inner = childAt(element, 'InnerResults')?.children.filter(({ name }) => name.endsWith('TestResult')) ?? [];
      if (inner.length === 0) results.push(element);
      else inner.forEach(take);
    };
    return {
      roots: new Set(['TestRun']),
      collect: new Set(['UnitTestResult', 'TestResultAggregation', 'GenericTestResult', 'UnitTest', 'RunInfo']),
      element: (element, _around, isCut) => {
        if (element.name === 'UnitTest') {
          const id = element.attributes.get('id');
          const className = childAt(element, 'TestMethod')?.attributes.get('className');
          // Old files name the assembly behind a comma.
          if (id !== undefined && className !== undefined) classes.set(id, className.replace(/,.*$/, ''));
        } else if (element.name === 'RunInfo') {
          const outcome = element.attributes.get('outcome');
          if (outcome === 'Error' || outcome === 'Failed') errors.push(textAt(element, 'Text') ?? outcome);
        } else take(isCut ? { ...element, attributes: new Map([...element.attributes, ['outcome', 'cut']]) } : element);
      },
      finish: () => {
        for (const result of results) {
          const { attributes } = result;
          const pkg = classes.get(attributes.get('testId') ?? '') ?? '';
          const full = attributes.get('testName') ?? '';
          const status = statusOf(attributes.get('outcome'), unfinished);
          const output = childAt(result, 'Output');
          const message = textAt(output, 'ErrorInfo', 'Message');
          emitTest(emit, {
            test: testId(pkg, pkg !== '' && full.startsWith(`${pkg}.`) ? full.slice(pkg.length + 1) : full),
            attempts: [
              {
                status,
                at: parseMoment(attributes.get('startTime')),
                durationMs: parseClockToMs(attributes.get('duration')),
                failure:
                  status === 'passed' || status === 'skipped' || (message === undefined && status !== 'failed')
                    ? undefined
                    : makeFailure({ message, text: textAt(output, 'ErrorInfo', 'StackTrace') }),
                skipReason: status === 'skipped' ? message?.trim() : undefined,
                stdout: textAt(output, 'StdOut'),
                stderr: textAt(output, 'StdErr'),
              },
            ],
          });
        }
        if (errors.length === 0) return;
        const failure = makeFailure({ message: errors[0], text: errors.join('\n\n'), kind: 'exit' });
        emit({ type: 'package-ended', package: '', status: 'error', failure });
      },
    };
  });

function statusOf(outcome: string | undefined, unfinished: Status): Status {
  switch (outcome) {
    case 'Passed':
    case 'PassedButRunAborted':
    case 'Warning':
    case 'Completed':
      return 'passed';
    case 'Failed':
      return 'failed';
    case 'Error':
      return 'error';
    case 'Timeout':
      return 'timedout';
    case 'NotExecuted':
    case 'NotRunnable':
    case 'Inconclusive':
    case 'Disconnected':
      return outcome === 'Disconnected' ? unfinished : 'skipped';
    default:
      return unfinished;
  }
}
