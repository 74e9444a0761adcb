/** TAP is known by its version line; without one by a plan and results at the beginning of lines. */
export function sniffTap(head: string): number {
  if (/^TAP version \d+\s*$/m.test(head)) return 0.95;
  const hasPlan = /^1\.\.\d+(?:\s|$)/m.test(head);
  const hasResult = /^(?:not )?ok\b(?!\s+\S+\t)/m.test(head);
  // `ok  \tpkg\t0.1s` is a line of go test.
  if (hasPlan && hasResult) return 0.85;
  if (hasPlan || /^(?:not )?ok(?: \d+)?(?: -|$)/m.test(head)) return 0.6;
  return hasResult || /^Bail out!/m.test(head) ? 0.3 : 0;
}
