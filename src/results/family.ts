import { testKey, type TestId, type TestResult } from './model.js';

/**
 * Nearest ancestor by name that is a test itself: `A/b` of `A/b/c`, else `A`. Go separates subtests by `/`, JavaScript tools
 * by ` > `.
 *
 * @param known what there is, by {@link testKey}
 * @returns the value of the ancestor, `undefined` for a test that has none
 */
export function ancestorOf<Value>(id: TestId, known: ReadonlyMap<string, Value>): Value | undefined {
  for (const separator of ['/', ' > ']) {
    let end = id.name.lastIndexOf(separator);
    // Names with thousands of separators are hostile; ancestors beyond are not looked for.
    for (let steps = 0; end > 0 && steps < 64; steps += 1) {
      const parent = known.get(testKey({ package: id.package, name: id.name.slice(0, end) }));
      if (parent !== undefined) return parent;
      end = id.name.lastIndexOf(separator, end - 1);
    }
  }
  return undefined;
}

/** A parent whose last attempt has no reason of its own: `failed` with nothing to say. */
export function failsWithoutReason(result: TestResult): boolean {
  const failure = result.attempts.at(-1)?.failure;
  return result.status === 'failed' && (failure === undefined || failure.kind === 'other');
}
