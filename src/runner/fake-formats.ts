import type { CreateReader } from '../results/reader.js';
import type { Formats } from './output-reader.js';

interface Line {
  readonly Action: string;
  readonly Package: string;
  readonly Test?: string;
}

/** Reads the plain cases of `go test -json`, line by line: enough for tests of whatever runs suites. */
const createPlainReader: CreateReader = (emit) => {
  let rest = '';
  const open = new Map<string, Line>();
  const take = (text: string): void => {
    let line: Line;
    try {
      line = JSON.parse(text) as Line;
    } catch {
      return;
    }
    const { Action: action, Package: name, Test: test } = line;
    const status = ({ pass: 'passed', fail: 'failed', skip: 'skipped' } as const)[action];
    if (test === undefined) {
      if (status !== undefined) emit({ type: 'package-ended', package: name, status });
      return;
    }
    const id = { package: name, name: test };
    if (action === 'run') {
      open.set(test, line);
      emit({ type: 'test-started', test: id });
    } else if (status !== undefined) {
      open.delete(test);
      emit({ type: 'test-ended', test: id, status, ...(status === 'failed' ? { failure: { message: 'no' } } : {}) });
    }
  };
  return {
    format: 'go-json',
    write: (piece) => {
      const lines = (rest + piece).split('\n');
      rest = (lines.pop() ?? '').slice(0, 100_000);
      lines.forEach(take);
    },
    end: () => {
      if (rest !== '') take(rest);
      for (const { Package: name, Test: test = '' } of open.values()) {
        emit({ type: 'test-ended', test: { package: name, name: test }, status: 'notrun' });
      }
    },
  };
};

/** A registry with one format, recognised by its first lines. */
export const fakeFormats: Formats = {
  detect: (head) => (head.includes('{"Time"') ? { format: 'go-json', certainty: 1 } : undefined),
  load: async (format) => (format === 'go-json' ? createPlainReader : undefined),
};
