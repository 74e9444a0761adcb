const FRAME = /^\x16?(?:=== (?:RUN|PAUSE|CONT|NAME) |\s*--- (?:PASS|FAIL|SKIP|BENCH): \S+(?: \(|$))/m; // eslint-disable-line no-control-regex -- ^V is what the testing package writes
const PACKAGE = /^(?:ok {2}|FAIL|\? {3})\s+\S+(?:\t|\s+\(cached\)|\s+[\d.]+s|\s+\[)/m;

/** Benchmarks, or the only line of a test binary in which nothing failed. */
const LONE = /^(?:Benchmark\S*\s+\d+\s|\x16?(?:PASS|FAIL)\r?$)/m; // eslint-disable-line no-control-regex -- ^V as above

/** A test or a summary of gotestsum's own formats. */
const GOTESTSUM =
  /^(?: {2}|::group::)?(?:PASS|FAIL|SKIP) \S*?\.(?:Test|Example|Fuzz|Benchmark)\S*(?: \(re-run \d+\))? \(\d+\.\d+s\)$|^DONE (?:\d+ runs, )?\d+ tests?(?:, \d+ \w+)* in [\d.]+s$/m;

/** Recognises what `go test` and test binaries print: frames, results or the lines of packages; and gotestsum's formats for people. */
export function sniffGoText(head: string): number {
  if (FRAME.test(head)) return 0.8;
  if (PACKAGE.test(head)) return 0.7;
  if (GOTESTSUM.test(head)) return 0.75;
  if (LONE.test(head)) return 0.3;
  return 0;
}
