/** Written anew by other programs an event has spaces in it. */
const ACTION = /"Action" ?: ?"/;
const EVENT = /^[^\n]*?\{(?=[^\n]*"Action" ?: ?"[a-z-]+")[^\n]*$/gm;
/** What only text for people has at the beginning of a line. */
const FRAME =
  /^(?:=== RUN {3}|\s*--- (?:PASS|FAIL|SKIP): |(?:::group::| {2})?(?:PASS|FAIL|SKIP) \S+\.(?:Test|Example)\S* \()/gm;

/**
 * Recognises `go test -json` by a line that holds an object with an `Action`, also behind lines of other text; but text in
 * which frames of `go test -v` outnumber such objects is output of a test that prints events.
 */
export function sniffGoJson(head: string): number {
  if (!ACTION.test(head)) return 0;
  const events = head.match(EVENT)?.length ?? 0;
  if (events === 0) return 0;
  return (head.match(FRAME)?.length ?? 0) > events ? 0.4 : 0.95;
}
