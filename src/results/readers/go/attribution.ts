import type { GoTest } from './go-test.js';

/**
 * To whom a line belongs. The event names a test, but old versions of test2json give a line to whoever spoke last, so
 * the text is asked first where it is explicit.
 */
export interface Attribution {
  /** Tests reported together, outermost first: `--- FAIL: A`, below it `    --- FAIL: A/b`. */
  readonly reports: GoTest[];
  /** The test that `=== NAME` or `=== CONT` named in the text, until the next event. */
  spoken: GoTest | undefined;
  /** The test to which the line before was given, when the text decided it. */
  last: GoTest | undefined;
}

/** A log line as Go 1.14 wrote it: `    TestName: file.go:12: text`. */
const NAMED_LOG = /^ {4,}([^\s:]+): [^\s:]+\.go:\d+: /;
const LOG = /^( {4,})[^\s:]+\.go:\d+: /;

/**
 * @param given the test that the event names
 * @returns the test to which the line belongs
 */
export function attributeLine(
  attribution: Attribution,
  tests: ReadonlyMap<string, GoTest>,
  given: GoTest | undefined,
  line: string,
): GoTest | undefined {
  if (!line.startsWith('    ')) {
    attribution.last = undefined;
    return attribution.spoken ?? given;
  }
  if (line.includes('.go:')) {
    const name = NAMED_LOG.exec(line)?.[1];
    const named = name === undefined ? undefined : tests.get(name);
    if (named !== undefined) {
      attribution.last = named === given ? undefined : named;
      return named;
    }
    const indent = LOG.exec(line)?.[1]?.length;
    const { reports } = attribution;
    if (indent !== undefined && reports.length > 1 && given === reports.at(-1)) {
      // Logs stand one step deeper than the line that reports their test.
      const reported = reports[indent / 4 - 1];
      attribution.last = reported === undefined || reported === given ? undefined : reported;
      return reported ?? given;
    }
    attribution.last = undefined;
    return attribution.spoken ?? given;
  }
  // Further lines of a log of several lines stay with its first.
  return attribution.last ?? attribution.spoken ?? given;
}
