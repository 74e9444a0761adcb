import type { Status } from '../../model.js';

/** `=== RUN   TestName` and its relatives, which the testing package prints to say who speaks. */
export interface Frame {
  readonly word: 'RUN' | 'PAUSE' | 'CONT' | 'NAME' | 'ATTR' | 'ARTIFACTS';
  /** '' for `=== NAME` alone: nobody in particular. */
  readonly test: string;
  /** What follows the name: key and value of ATTR, folder of ARTIFACTS. */
  readonly rest: string;
}

const FRAME = /^=== (RUN|PAUSE|CONT|NAME|ATTR|ARTIFACTS)(?: +(\S+)(?: (.*))?)? *$/;

/** A frame that fills a whole line, or `undefined`. Old versions of Go put one space behind the word, new ones align. */
export function parseFrame(line: string): Frame | undefined {
  if (!line.startsWith('=== ')) return undefined;
  const match = FRAME.exec(line);
  if (match === null) return undefined;
  const [, word, test = '', rest = ''] = match;
  if (test === '' && word !== 'NAME' && word !== 'CONT') return undefined;
  // The regular expression allows exactly these words.
  return { word: word as Frame['word'], test, rest };
}

/** `--- PASS: TestName (1.23s)`: how a test ended. */
export interface Marker {
  readonly word: 'PASS' | 'FAIL' | 'SKIP' | 'BENCH';
  readonly test: string;
  readonly seconds: number | undefined;
  /** Where `---` stands in the line. */
  readonly index: number;
  /** Index behind the marker. */
  readonly end: number;
}

const MARKER = /--- (PASS|FAIL|SKIP|BENCH): (\S+)(?: \((-?[\d.]+)(?:s| seconds)\))?/g;

/** All result markers of a line, wherever they stand: text without a line end before them glues them to it. */
export function findMarkers(line: string): readonly Marker[] {
  if (!line.includes('--- ')) return [];
  const markers: Marker[] = [];
  for (const match of line.matchAll(MARKER)) {
    const [text, word, test = '', seconds] = match;
    markers.push({
      // The regular expression allows exactly these words.
      word: word as Marker['word'],
      test,
      seconds: seconds === undefined ? undefined : Number(seconds),
      index: match.index,
      end: match.index + text.length,
    });
  }
  return markers;
}

/** Depth of a marker that begins its line: 0 for a test, 1 for a subtest, four spaces each; `undefined` when glued. */
export function markerDepth(line: string, marker: Marker): number | undefined {
  for (let index = 0; index < marker.index; index += 1) if (line[index] !== ' ') return undefined;
  return marker.index % 4 === 0 ? marker.index / 4 : undefined;
}

export function statusOfMarker(word: Marker['word']): Status {
  return word === 'FAIL' ? 'failed' : word === 'SKIP' ? 'skipped' : 'passed';
}

/** `ok  	pkg	0.012s`, `FAIL	pkg [build failed]`, `?   	pkg	[no test files]`: the last line of a package. */
export interface PackageLine {
  readonly package: string;
  readonly status: 'passed' | 'failed' | 'skipped';
  readonly seconds: number | undefined;
  /** Why nothing of it ran. */
  readonly failed: 'build' | 'setup' | undefined;
}

// Between the words stand tabs; some tools that copy such output make spaces of them.
const OK_LINE = /^ok {2}\s*(\S+)\s+(?:([\d.]+)s|\(cached\)|\[)/;
const FAIL_LINE = /^FAIL(?:\t| {2,})(\S+)(?:\s+(?:([\d.]+)s|\(cached\))|\s+\[(build|setup) failed\]|$)/;
const SKIP_LINE = /^\? {3}\s*(\S+)\s+\[no test files\]/;

export function parsePackageLine(line: string): PackageLine | undefined {
  const first = line[0];
  if (first !== 'o' && first !== 'F' && first !== '?') return undefined;
  const match = (first === 'o' ? OK_LINE : first === 'F' ? FAIL_LINE : SKIP_LINE).exec(line);
  if (match === null) return undefined;
  const [, name = '', seconds, failed] = match;
  return {
    package: name,
    status: first === 'o' ? 'passed' : first === 'F' ? 'failed' : 'skipped',
    seconds: seconds === undefined ? undefined : Number(seconds),
    failed: failed === 'build' || failed === 'setup' ? failed : undefined,
  };
}

const BENCHMARK = /^(Benchmark\S*)\s+\d+\s+[\d.]+ ns\/op/;

/** Name in a benchmark's line of results, such as `BenchmarkSum-8`, which says that it passed; else `undefined`. */
export function parseBenchmarkLine(line: string): string | undefined {
  return line.startsWith('Benchmark') ? BENCHMARK.exec(line)?.[1] : undefined;
}
