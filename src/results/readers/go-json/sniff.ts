const EVENT = /^[^\n]*?\{(?=[^\n]*"Action":"[a-z-]+")[^\n]*$/m;

/** Recognises `go test -json` by a line that holds an object with an `Action`, also behind lines of other text. */
export function sniffGoJson(head: string): number {
  if (!head.includes('"Action":"')) return 0;
  return EVENT.test(head) ? 0.95 : 0;
}
