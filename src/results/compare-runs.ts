import { ancestorOf, failsWithoutReason } from './family.js';
import { isBad, testKey, type CellResult, type RunResult, type TestId, type TestResult } from './model.js';

/** A test is slower when it took this much longer, by both measures: small tests jitter, long ones drift. */
const SLOWER_FACTOR = 1.3;
const SLOWER_MS = 1_000;

/** A test of the newer run. */
export interface ComparedTest {
  readonly id: TestId;
  /** Id of its cell. */
  readonly cell: string;
  /** Place among all tests of the run, cell by cell, from 0. */
  readonly index: number;
}

export interface SlowerTest extends ComparedTest {
  readonly beforeMs: number;
  readonly afterMs: number;
}

/** What changed from an earlier run to this one. */
export interface RunComparison {
  /** Of the earlier run. */
  readonly title: string;
  /** Failing now and not before, or new and failing. Parents that fail only through a subtest are left out. */
  readonly newFailures: readonly ComparedTest[];
  /** Packages that fail now, did not before, and have no failing test to show for it: builds, set-ups, late exits. */
  readonly newBrokenPackages: readonly { readonly package: string; readonly cell: string }[];
  readonly fixed: readonly ComparedTest[];
  /** Passed both times, and took 1.3 times and a second longer; the largest difference first. */
  readonly slower: readonly SlowerTest[];
  readonly added: readonly ComparedTest[];
  /** Only in the earlier run. */
  readonly removed: readonly TestId[];
}

/**
 * Compares a run with an earlier one. Pure. Tests are matched by package, name, environment and suite; where the earlier
 * run has nothing of that environment and suite (a foreign file has neither), by package and name.
 */
export function compareRuns(run: RunResult, against: RunResult): RunComparison {
  const earlier = new EarlierRun(against);
  const newFailures: ComparedTest[] = [];
  const newBrokenPackages: RunComparison['newBrokenPackages'][number][] = [];
  const fixed: ComparedTest[] = [];
  const added: ComparedTest[] = [];
  const slower: SlowerTest[] = [];
  let index = -1;
  for (const cell of run.cells) {
    const viaChild = failingThroughChildren(cell);
    for (const test of cell.tests) {
      index += 1;
      const compared: ComparedTest = { id: test.id, cell: cell.id, index };
      const before = earlier.test(cell, test.id);
      if (before === undefined) added.push(compared);
      const isNew = isBad(test.status) && (before === undefined || !isBad(before.status));
      if (isNew && !viaChild.has(test)) newFailures.push(compared);
      if (test.status === 'passed' && before !== undefined && isBad(before.status)) fixed.push(compared);
      const times = before === undefined ? undefined : slowdown(before, test);
      if (times !== undefined) slower.push({ ...compared, ...times });
    }
    const explained = new Set(cell.tests.filter(({ status }) => isBad(status)).map(({ id }) => id.package));
    for (const result of cell.packages) {
      if (!isBad(result.status) || explained.has(result.package) || earlier.isBrokenPackage(cell, result.package))
        continue;
      newBrokenPackages.push({ package: result.package, cell: cell.id });
    }
  }
  slower.sort((a, b) => b.afterMs - b.beforeMs - (a.afterMs - a.beforeMs));
  const title = against.title ?? against.runId;
  return { title, newFailures, newBrokenPackages, fixed, slower, added, removed: earlier.unseen() };
}

class EarlierRun {
  readonly #exact = new Map<string, TestResult>();
  readonly #byName = new Map<string, TestResult>();
  readonly #places = new Set<string>();
  readonly #brokenPackages = new Set<string>();
  readonly #seen = new Set<TestResult>();

  constructor(run: RunResult) {
    for (const cell of run.cells) {
      this.#places.add(placeOf(cell));
      for (const test of cell.tests) {
        this.#exact.set(`${placeOf(cell)}\0${testKey(test.id)}`, test);
        this.#byName.set(testKey(test.id), test);
      }
      for (const result of cell.packages) {
        if (!isBad(result.status)) continue;
        this.#brokenPackages.add(`${placeOf(cell)}\0${result.package}`).add(`\0\0${result.package}`);
      }
    }
  }

  test(cell: CellResult, id: TestId): TestResult | undefined {
    const found = this.#places.has(placeOf(cell))
      ? this.#exact.get(`${placeOf(cell)}\0${testKey(id)}`)
      : this.#byName.get(testKey(id));
    if (found !== undefined) this.#seen.add(found);
    return found;
  }

  isBrokenPackage(cell: CellResult, name: string): boolean {
    return this.#brokenPackages.has(`${this.#places.has(placeOf(cell)) ? placeOf(cell) : '\0'}\0${name}`);
  }

  /** Tests that were never asked for; of several of one name that none asked for, one. */
  unseen(): TestId[] {
    const seenNames = new Set([...this.#seen].map(({ id }) => testKey(id)));
    const ids = new Map<string, TestId>();
    for (const test of this.#exact.values()) {
      const key = testKey(test.id);
      if (!this.#seen.has(test) && !seenNames.has(key)) ids.set(key, test.id);
    }
    return [...ids.values()];
  }
}

function placeOf({ environment, suite }: CellResult): string {
  return `${environment}\0${suite}`;
}

function failingThroughChildren(cell: CellResult): ReadonlySet<TestResult> {
  const byKey = new Map(cell.tests.map((test) => [testKey(test.id), test]));
  const parents = new Set<TestResult>();
  for (const test of cell.tests) {
    const parent = isBad(test.status) ? ancestorOf(test.id, byKey) : undefined;
    if (parent !== undefined && failsWithoutReason(parent)) parents.add(parent);
  }
  return parents;
}

function slowdown(before: TestResult, after: TestResult): { beforeMs: number; afterMs: number } | undefined {
  if (before.status !== 'passed' || after.status !== 'passed') return undefined;
  const beforeMs = before.attempts.at(-1)?.durationMs;
  const afterMs = after.attempts.at(-1)?.durationMs;
  if (beforeMs === undefined || afterMs === undefined) return undefined;
  return afterMs > beforeMs * SLOWER_FACTOR && afterMs > beforeMs + SLOWER_MS ? { beforeMs, afterMs } : undefined;
}
