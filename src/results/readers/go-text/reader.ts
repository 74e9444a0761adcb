import { MkCiError } from '../../../errors.js';
import type { Repair } from '../../model.js';
import type { CreateReader } from '../../reader.js';
import type { GoEvent } from '../go/event.js';
import { createGoCore } from '../go/core.js';
import { detach } from '../go/failure-lines.js';
import { parsePackageLine } from '../go/frames.js';
import { createLineJoiner } from '../go/lines.js';
import { HEAD_LENGTH } from '../head.js';
import { createConverter, type Converter } from './converter.js';
import { createGotestsumReader, isGotestsum, isSummaryHead } from './gotestsum.js';

/** The beginning of a benchmark's line of results, which may be all that was printed. */
const BENCHMARK = /^Benchmark\S*\s+\d+\s/;

const MOST_PACKAGES = 10_000;

/**
 * Reads what `go test` prints with and without `-v`, for one package or many, and the raw output of a test binary.
 *
 * Without `-v` only tests that fail are in the text: passing ones can not be counted, their packages are. Formats that
 * gotestsum prints for people are told by the first 64 Ki characters.
 */
export const createGoTextReader: CreateReader = (emit, options) => {
  const core = createGoCore(emit, options);
  const stray = (line: string, partial: boolean): void => {
    core.strayLine(line, partial);
  };
  const repair = (one: Repair): void => {
    core.repair(one);
  };
  let found = 0;
  let hasText = false;
  let hasTests = false;
  let isBelowPackage = false;
  /** Named by lines of the go command. */
  const packages: string[] = [];
  const take = (event: GoEvent): void => {
    if (event.action !== 'output' && event.action !== 'build-output') found += 1;
    else if (event.output === 'PASS\n' || event.output === 'FAIL\n' || event.action === 'build-output') found += 1;
    if (event.test !== undefined && event.action !== 'output') hasTests = true;
    core.event(event);
  };
  const plain = createConverter({
    emit: take,
    onGlued: (name) => {
      core.repair({
        kind: 'glued-marker',
        message: 'the result was found in the text of the log',
        test: { package: '', name },
      });
    },
    onLongName: (name) => {
      core.repair({
        kind: 'long-name',
        message: 'a name of more than 60,000 characters was cut',
        test: { package: '', name: name.slice(0, 200) },
      });
    },
  });
  const lines = createLineJoiner((line, partial) => {
    if (line !== '') hasText = true;
    if (BENCHMARK.test(line)) found += 1;
    // An empty line below that of a package is no beginning of another one.
    if (line === '' && isBelowPackage) {
      core.strayLine(line, partial);
      return;
    }
    if (converter === plain && !partial && isSummaryHead(line)) beginSummary();
    const summary = parsePackageLine(line);
    isBelowPackage = summary !== undefined;
    if (summary !== undefined && packages.length < MOST_PACKAGES) packages.push(detach(summary.package));
    converter?.line(line, partial);
  });
  /** Absent until enough was read to tell the one from the other. */
  let converter: Pick<Converter, 'line' | 'end'> | undefined;
  let head = '';

  /** Below its standard formats gotestsum tells failures and skips once more; without `-v` that is all there is of tests. */
  function beginSummary(): void {
    plain.end();
    converter = hasTests
      ? { line: stray, end: () => undefined }
      : createGotestsumReader({ emit: take, repair, stray, summaryOf: packages });
  }

  function decide(): void {
    const begun = head;
    head = '';
    converter = isGotestsum(begun.slice(0, HEAD_LENGTH)) ? createGotestsumReader({ emit: take, repair, stray }) : plain;
    lines.write(begun);
  }

  return {
    format: 'go-text',
    write(piece) {
      if (converter !== undefined) {
        lines.write(piece);
        return;
      }
      head += piece;
      if (head.length >= HEAD_LENGTH) decide();
    },
    end() {
      if (converter === undefined) decide();
      lines.flush();
      (converter ?? plain).end();
      core.end();
      if (found === 0 && hasText) throw new MkCiError('RES_MALFORMED', { message: 'no line of go test in it' });
    },
  };
};
