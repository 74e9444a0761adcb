import { isBad, testKey, type RunResult, type TestResult } from '../results/model.js';
import type { PageComparison, PageTest } from './shared/page-data.js';
import { cut } from './shared/visible.js';

/** A test is slower when it took this much longer, by both measures: small tests jitter, long ones drift. */
const SLOWER_FACTOR = 1.3;
const SLOWER_MS = 1_000;
const REMOVED_SHOWN = 500;

/**
 * What changed from one run to another. Tests are matched by package, name, environment and suite; when the other run
 * has only one environment and suite (a foreign file), by package and name.
 *
 * @param tests the tests of `run` in the order of its cells; the result holds indexes into it
 */
export function compareRuns(run: RunResult, against: RunResult, tests: readonly PageTest[]): PageComparison {
  const exact = run.cells.length > 1 && against.cells.length > 1;
  const keyOf = (cell: RunResult['cells'][number], test: TestResult): string =>
    exact ? `${cell.environment}\0${cell.suite}\0${testKey(test.id)}` : testKey(test.id);
  const before = new Map<string, TestResult>();
  for (const cell of against.cells) for (const test of cell.tests) before.set(keyOf(cell, test), test);

  const newFailures: number[] = [];
  const fixed: number[] = [];
  const added: number[] = [];
  const slower: { test: number; beforeMs: number; afterMs: number }[] = [];
  const seen = new Set<string>();
  let index = -1;
  for (const cell of run.cells) {
    for (const test of cell.tests) {
      index += 1;
      const key = keyOf(cell, test);
      seen.add(key);
      const earlier = before.get(key);
      const bad = isBad(test.status);
      if (earlier === undefined) added.push(index);
      if (bad && (earlier === undefined || !isBad(earlier.status)) && tests[index]?.viaChild !== true)
        newFailures.push(index);
      if (test.status === 'passed' && earlier !== undefined && isBad(earlier.status)) fixed.push(index);
      const beforeMs = earlier?.attempts.at(-1)?.durationMs;
      const afterMs = test.attempts.at(-1)?.durationMs;
      if (test.status !== 'passed' || earlier?.status !== 'passed' || beforeMs === undefined || afterMs === undefined)
        continue;
      if (afterMs > beforeMs * SLOWER_FACTOR && afterMs > beforeMs + SLOWER_MS)
        slower.push({ test: index, beforeMs, afterMs });
    }
  }
  slower.sort((a, b) => b.afterMs - b.beforeMs - (a.afterMs - a.beforeMs));
  const removed = [...before]
    .filter(([key]) => !seen.has(key))
    .map(([, { id }]) => cut(`${id.package} ${id.name}`.trim(), 300));
  return {
    title: cut(against.title ?? against.runId, 300),
    newFailures,
    fixed,
    slower,
    added,
    removed: removed.slice(0, REMOVED_SHOWN),
  };
}
