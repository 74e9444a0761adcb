/** Whether the beginning of an input is JSON of one of the JavaScript test runners; told apart by their own keys. */
function keysIn(head: string): ReadonlySet<string> {
  const start = head.search(/^\s*\{/m);
  if (start === -1) return new Set();
  return new Set(
    [...head.slice(start).matchAll(/"(\w+)"\s*:/g)].flatMap(([, key]) => (key === undefined ? [] : [key])),
  );
}

/** vitest and Jest share their keys but for some that only Jest has. */
function isJestLike(keys: ReadonlySet<string>): boolean {
  return (
    keys.has('numTotalTests') ||
    keys.has('numTotalTestSuites') ||
    (keys.has('testResults') && keys.has('assertionResults'))
  );
}

const JEST_ONLY = ['openHandles', 'numRuntimeErrorTestSuites', 'wasInterrupted'];

export function sniffVitestJson(head: string): number {
  const keys = keysIn(head);
  return isJestLike(keys) && !JEST_ONLY.some((key) => keys.has(key)) ? 0.9 : 0;
}

export function sniffJestJson(head: string): number {
  const keys = keysIn(head);
  return isJestLike(keys) && JEST_ONLY.some((key) => keys.has(key)) ? 0.95 : 0;
}

export function sniffMochaJson(head: string): number {
  const keys = keysIn(head);
  return keys.has('stats') && keys.has('passes') && keys.has('suites') && !keys.has('config') ? 0.9 : 0;
}

export function sniffPlaywrightJson(head: string): number {
  const keys = keysIn(head);
  if (keys.has('config') && (keys.has('suites') || keys.has('rootDir')))
    return keys.has('projects') || keys.has('specs') ? 0.9 : 0.6;
  return keys.has('suites') && keys.has('specs') ? 0.8 : 0;
}
