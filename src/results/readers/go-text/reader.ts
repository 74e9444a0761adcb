import { MkCiError } from '../../../errors.js';
import type { CreateReader } from '../../reader.js';
import { createGoCore } from '../go/core.js';
import { createLineJoiner } from '../go/lines.js';
import { createConverter } from './converter.js';

/** The beginning of a benchmark's line of results, which may be all that was printed. */
const BENCHMARK = /^Benchmark\S*\s+\d+\s/;

/**
 * Reads what `go test` prints with and without `-v`, for one package or many, and the raw output of a test binary.
 *
 * Without `-v` only tests that fail are in the text: passing ones can not be counted, their packages are.
 */
export const createGoTextReader: CreateReader = (emit, options) => {
  const core = createGoCore(emit, options);
  let found = 0;
  let hasText = false;
  const converter = createConverter({
    emit: (event) => {
      if (event.action !== 'output' && event.action !== 'build-output') found += 1;
      else if (event.output === 'PASS\n' || event.output === 'FAIL\n' || event.action === 'build-output') found += 1;
      core.event(event);
    },
    onGlued: (name) => {
      core.repair({
        kind: 'glued-marker',
        message: 'the result was found in the text of the log',
        test: { package: '', name },
      });
    },
  });
  const lines = createLineJoiner((line, partial) => {
    if (line !== '') hasText = true;
    if (BENCHMARK.test(line)) found += 1;
    converter.line(line, partial);
  });
  return {
    format: 'go-text',
    write(piece) {
      lines.write(piece);
    },
    end() {
      lines.flush();
      converter.end();
      core.end();
      if (found === 0 && hasText) throw new MkCiError('RES_MALFORMED', { message: 'no line of go test in it' });
    },
  };
};
