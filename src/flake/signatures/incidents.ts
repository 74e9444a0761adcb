import type { SignatureRow } from '../store/store.js';

/** One cause that showed in many tests. */
export interface Incident {
  readonly key: string;
  readonly text: string;
  /** `package test`, sorted; each once, however many environments it failed in. */
  readonly tests: readonly string[];
  readonly environments: readonly string[];
  readonly failures: number;
  readonly firstAtMs: number;
  readonly lastAtMs: number;
}

/** Below this many tests a signature is a matter of these tests. */
export const FEWEST_TESTS = 3;

/**
 * Signatures seen on many tests: one cause (a registry that is down, a full disk), not many flakes. Messages that name no
 * cause are left out, for these every failure shares.
 *
 * @param rows one for each test, environment and signature, in any order
 * @returns most tests first, then most failures, then by key
 */
export function incidentsOf(rows: readonly SignatureRow[], fewestTests = FEWEST_TESTS): Incident[] {
  const groups = new Map<string, SignatureRow[]>();
  for (const row of rows) {
    if (row.weak) continue;
    const group = groups.get(row.key);
    if (group === undefined) groups.set(row.key, [row]);
    else group.push(row);
  }
  return [...groups.entries()]
    .map(([key, group]) => ({
      key,
      text: group[0]?.text ?? '',
      tests: sortedSet(group.map((row) => (row.package === '' ? row.test : `${row.package} ${row.test}`))),
      environments: sortedSet(group.map(({ environment }) => environment)),
      failures: group.reduce((sum, { failures }) => sum + failures, 0),
      firstAtMs: Math.min(...group.map(({ firstAtMs }) => firstAtMs)),
      lastAtMs: Math.max(...group.map(({ lastAtMs }) => lastAtMs)),
    }))
    .filter(({ tests }) => tests.length >= fewestTests)
    .sort(
      (left, right) =>
        right.tests.length - left.tests.length ||
        right.failures - left.failures ||
        (left.key < right.key ? -1 : left.key > right.key ? 1 : 0),
    );
}

function sortedSet(texts: readonly string[]): string[] {
  return [...new Set(texts)].sort();
}
