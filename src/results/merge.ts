import { isFlaky, statusOfAttempts, worstStatus } from './counts.js';
import {
  testKey,
  type CellInfo,
  type CellResult,
  type PackageResult,
  type Repair,
  type RunResult,
  type SourceInfo,
  type TestAttempt,
  type TestResult,
} from './model.js';

/**
 * One run from several: the shards of a run, or runs of other environments.
 *
 * - The order of the runs makes no difference, and the same run twice is the same run once.
 * - Cells of one id with different results are conflicts: their attempts are kept side by side, by time, and a repair
 *   `duplicate-shard` says so.
 * - A shard of which no run holds results is said (`missing-shard`), and the whole is then not complete, so it can not
 *   look passed.
 * - What the runs say of their source is kept where they agree; a repair `source-differs` names the rest.
 *
 * @throws {RangeError} for no runs: there is nothing that a result could say
 */
export function mergeRuns(runs: readonly RunResult[]): RunResult {
  const distinct = distinctSorted(runs);
  const [first] = distinct;
  if (first === undefined) throw new RangeError('no runs to merge');
  if (distinct.length === 1) return withMissingShards(first);
  const repairs: Repair[] = distinctSorted(distinct.flatMap((run) => run.repairs));
  const cells = mergeCellsById(distinct, repairs);
  const missing = missingShards(cells);
  repairs.push(...missing);
  const ended = distinct.flatMap(({ endedAt }) => (endedAt === undefined ? [] : [endedAt]));
  const titles = new Set(distinct.map(({ title }) => title));
  const [title] = titles;
  const exitCodes = distinct.flatMap(({ exitCode }) => (exitCode === undefined ? [] : [exitCode]));
  return {
    runId: [...new Set(distinct.map(({ runId }) => runId))].sort().join('+'),
    toolVersion: [...new Set(distinct.map(({ toolVersion }) => toolVersion))].sort().join('+'),
    startedAt: least(distinct.map(({ startedAt }) => startedAt)),
    ...(ended.length === 0 ? {} : { endedAt: most(ended) }),
    ...(titles.size === 1 && title !== undefined ? { title } : {}),
    source: mergeSources(distinct, repairs),
    environments: mergeEnvironments(distinct, repairs),
    cells,
    phases: distinctSorted(distinct.flatMap(({ phases }) => phases)).sort((a, b) => compare(a.startedAt, b.startedAt)),
    errors: distinctSorted(distinct.flatMap(({ errors }) => errors)),
    repairs,
    complete: missing.length === 0 && distinct.every(({ complete }) => complete),
    ...(exitCodes.length === 0 ? {} : { exitCode: exitCodes.reduce((a, b) => Math.max(a, b)) }),
  };
}

/** A shard alone is not the whole either. */
function withMissingShards(run: RunResult): RunResult {
  const missing = missingShards(run.cells);
  return missing.length === 0
    ? run
    : { ...run, repairs: distinctSorted([...run.repairs, ...missing]), complete: false };
}

/**
 * One cell from lanes: several outputs of one suite, each of which ran a part of the tests and lists the others as
 * skipped. A test keeps the attempts in which it was executed; one that every lane skipped is skipped once.
 *
 * @param info identity of the cell that comes out
 */
export function mergeLanes(lanes: readonly CellResult[], info: CellInfo): CellResult {
  const merged = joinCells(distinctSorted(lanes), info);
  return {
    ...merged,
    tests: merged.tests.map((test) => {
      const executed = test.attempts.filter(({ status }) => status !== 'skipped');
      return withAttempts(test, executed.length > 0 ? executed : test.attempts.slice(0, 1));
    }),
  };
}

function mergeCellsById(runs: readonly RunResult[], repairs: Repair[]): CellResult[] {
  const byId = new Map<string, CellResult[]>();
  for (const run of runs) {
    for (const cell of run.cells) byId.set(cell.id, [...(byId.get(cell.id) ?? []), cell]);
  }
  return [...byId]
    .sort(([a], [b]) => compare(a, b))
    .map(([id, cells]) => {
      // A run that only planned the cell says nothing about it.
      const distinct = distinctSorted(cells);
      const told = distinct.filter((cell) => !isEmpty(cell));
      const [single, other] = told.length > 0 ? told : distinct;
      if (single === undefined) throw new RangeError('a cell without results'); // byId holds no empty lists
      if (other === undefined) return single;
      repairs.push({
        kind: 'duplicate-shard',
        message: `cell ${id} has ${told.length || distinct.length} different results`,
      });
      const { environment, suite, shard } = single;
      return joinCells(told.length > 0 ? told : distinct, {
        id,
        environment,
        suite,
        ...(shard === undefined ? {} : { shard }),
      });
    });
}

function isEmpty(cell: CellResult): boolean {
  return cell.attempts.length + cell.tests.length + cell.packages.length + cell.repairs.length === 0;
}

/** @param cells distinct and sorted */
function joinCells(cells: readonly CellResult[], info: CellInfo): CellResult {
  const tests = new Map<string, TestResult[]>();
  const packages = new Map<string, PackageResult[]>();
  for (const cell of cells) {
    for (const test of cell.tests) append(tests, testKey(test.id), test);
    for (const result of cell.packages) append(packages, result.package, result);
  }
  const started = cells.flatMap(({ startedAt }) => (startedAt === undefined ? [] : [startedAt]));
  const durations = cells.flatMap(({ durationMs }) => (durationMs === undefined ? [] : [durationMs]));
  const attempts = distinctSorted(cells.flatMap((cell) => cell.attempts)).sort((a, b) =>
    compare(a.startedAt, b.startedAt),
  );
  return {
    id: info.id,
    environment: info.environment,
    suite: info.suite,
    ...(info.shard === undefined ? {} : { shard: info.shard }),
    attempts,
    tests: [...tests.values()].map(joinTests),
    packages: [...packages.values()].map(joinPackages),
    repairs: distinctSorted(cells.flatMap(({ repairs }) => repairs)),
    ...(started.length === 0 ? {} : { startedAt: least(started) }),
    ...(durations.length === 0 ? {} : { durationMs: durations.reduce((a, b) => Math.max(a, b)) }),
    status: worstStatus(cells.map(({ status }) => status)),
  };
}

/** @param tests the same test in different cells, at least one */
function joinTests(tests: readonly TestResult[]): TestResult {
  const [first] = tests;
  if (first === undefined) throw new RangeError('no tests to join');
  if (tests.length === 1) return first;
  const attempts = tests
    .flatMap((test) => test.attempts)
    // Without times the order of the cells decides; sort is stable.
    .sort((a, b) => (a.startedAt === undefined || b.startedAt === undefined ? 0 : compare(a.startedAt, b.startedAt)));
  const attributes = Object.fromEntries(tests.flatMap((test) => Object.entries(test.attributes ?? {})));
  return withAttempts({ ...first, ...(Object.keys(attributes).length === 0 ? {} : { attributes }) }, attempts);
}

function withAttempts(test: TestResult, attempts: readonly TestAttempt[]): TestResult {
  const numbered = attempts.map((attempt, index) => ({ ...attempt, attempt: index + 1 }));
  return { ...test, attempts: numbered, status: statusOfAttempts(numbered), flaky: isFlaky(numbered) };
}

/** The worst result speaks; times add up no further than the longest. */
function joinPackages(results: readonly PackageResult[]): PackageResult {
  const worst = worstStatus(results.map(({ status }) => status));
  const found = results.find(({ status }) => status === worst) ?? results[0];
  if (found === undefined) throw new RangeError('no packages to join');
  return found;
}

/** Shards i of n of a suite in an environment that no cell stands for, or whose cell holds nothing. */
function missingShards(cells: readonly CellResult[]): Repair[] {
  const groups = new Map<string, { readonly name: string; readonly total: number; readonly seen: Set<number> }>();
  for (const cell of cells) {
    if (cell.shard === undefined) continue;
    const { index, total } = cell.shard;
    const key = `${cell.environment}\0${cell.suite}\0${total}`;
    const group = groups.get(key) ?? { name: `${cell.environment}.${cell.suite}`, total, seen: new Set() };
    groups.set(key, group);
    if (!isEmpty(cell)) group.seen.add(index);
  }
  return [...groups.values()].flatMap(({ name, total, seen }) =>
    // A hostile total must not make a million repairs.
    Array.from({ length: Math.min(total, 10_000) }, (_, index) => index + 1)
      .filter((index) => !seen.has(index))
      .map((index) => ({ kind: 'missing-shard', message: `shard ${index} of ${total} of ${name} has no results` })),
  );
}

function mergeSources(runs: readonly RunResult[], repairs: Repair[]): SourceInfo {
  const values = new Map<string, Set<unknown>>();
  for (const { source } of runs) {
    for (const [key, value] of Object.entries(source)) values.set(key, (values.get(key) ?? new Set()).add(value));
  }
  const agreed: Record<string, unknown> = {};
  for (const [key, set] of [...values].sort(([a], [b]) => compare(a, b))) {
    if (set.size === 1) [agreed[key]] = set;
    else if (key === 'dirty') agreed[key] = true;
    // Each job has its page; only one can not stand for all.
    else if (key !== 'jobUrl') {
      repairs.push({ kind: 'source-differs', message: `${key}: ${[...set].map(String).sort().join(', ')}` });
    }
  }
  return agreed satisfies SourceInfo;
}

function mergeEnvironments(runs: readonly RunResult[], repairs: Repair[]): RunResult['environments'] {
  const byName = new Map<string, RunResult['environments'][number]>();
  for (const environment of distinctSorted(runs.flatMap(({ environments }) => environments))) {
    if (byName.has(environment.name)) {
      repairs.push({ kind: 'environment-differs', message: `${environment.name} is described differently` });
    } else byName.set(environment.name, environment);
  }
  return [...byName.values()];
}

function append<T>(map: Map<string, T[]>, key: string, value: T): void {
  const list = map.get(key);
  if (list === undefined) map.set(key, [value]);
  else list.push(value);
}

/** Without repetitions, in an order that depends on the content alone. */
function distinctSorted<T>(items: readonly T[]): T[] {
  const byText = new Map(items.map((item) => [canonical(item), item]));
  return [...byText].sort(([a], [b]) => compare(a, b)).map(([, item]) => item);
}

/** JSON with sorted keys: equal content gives equal text. */
function canonical(value: unknown): string {
  return JSON.stringify(value, (_key, item: unknown) =>
    typeof item === 'object' && item !== null && !Array.isArray(item)
      ? Object.fromEntries(Object.entries(item).sort(([a], [b]) => compare(a, b)))
      : item,
  );
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function least(texts: readonly string[]): string {
  return texts.reduce((a, b) => (a < b ? a : b));
}

function most(texts: readonly string[]): string {
  return texts.reduce((a, b) => (a > b ? a : b));
}
