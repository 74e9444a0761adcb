import type { Status } from '../../model.js';
import type { CreateReader } from '../../reader.js';
import { emitTest } from '../document/emit-test.js';
import { makeFailure } from '../document/failure.js';
import { createJsonReader } from '../document/json-reader.js';
import { testId } from '../document/names.js';
import { asObject, numberField } from '../document/values.js';

/**
 * gopogh's summary JSON: names by result and durations in seconds; it holds no packages, no failure texts and only
 * leaves. Where the lists and the numbers disagree the lists are trusted.
 *
 * @see {@link https://github.com/medyagh/gopogh/blob/master/pkg/report/report.go}
 */
export const createGopoghSummaryReader: CreateReader = (emit, options = {}) =>
  createJsonReader('gopogh-summary', emit, options, ({ repairs }) => {
    const lists = { FailedTests: 'failed', PassedTests: 'passed', SkippedTests: 'skipped' } as const satisfies Record<
      string,
      Status
    >;
    const found: { name: string; status: Status }[] = [];
    let durations: ReturnType<typeof asObject>;
    let claimed: number | undefined;
    return {
      walk: new Set(['']),
      value: (path, value) => {
        if (path === 'FailedTests' || path === 'PassedTests' || path === 'SkippedTests') {
          for (const name of Array.isArray(value) ? value : []) {
            if (typeof name === 'string') found.push({ name, status: lists[path] });
          }
          return true;
        }
        if (path === 'Durations') durations = asObject(value);
        if (path === 'NumberOfTests') claimed = typeof value === 'number' ? value : undefined;
        return path === 'NumberOfTests';
      },
      finish: () => {
        for (const { name, status } of found) {
          const seconds = status === 'skipped' ? undefined : numberField(durations, name);
          emitTest(emit, {
            test: testId('', name),
            attempts: [
              {
                status,
                durationMs: seconds === undefined ? undefined : Math.round(seconds * 1000),
                failure:
                  status === 'failed' ? makeFailure({ message: 'failed (the summary holds no reason)' }) : undefined,
              },
            ],
          });
        }
        if (claimed !== undefined && claimed !== found.length) {
          repairs.add('attributes-disagree', `NumberOfTests is ${claimed}, the lists hold ${found.length}`);
        }
      },
    };
  });
