import { createHash } from 'node:crypto';

import { countTests, totalOf } from '../results/counts.js';
import {
  isBad,
  testKey,
  type CellResult,
  type Phase,
  type RunResult,
  type Status,
  type TestAttempt,
  type TestId,
  type TestResult,
} from '../results/model.js';
import { compareRuns } from '../results/compare-runs.js';
import { ancestorOf, failsWithoutReason } from '../results/family.js';
import { pageComparison } from './compare.js';
import { linksOf } from './links.js';
import { plural } from './shared/format.js';
import { cut } from './shared/visible.js';
import type {
  PageAttempt,
  PageBrokenPackage,
  PageCell,
  PageConservation,
  PageData,
  PageHistory,
  PageLog,
  PagePhase,
  PageTest,
  Verdict,
} from './shared/page-data.js';

/** Looks up what earlier runs say of a test in an environment; `undefined` when nothing is known. */
export type HistoryOf = (test: TestId, environment: string) => PageHistory | undefined;

export interface ReportModelOptions {
  readonly history?: HistoryOf;
  /** An earlier run to compare with. */
  readonly against?: RunResult;
  /** Logs as written; their `cell` is filled in here from `cellId`. */
  readonly logs?: readonly (Omit<PageLog, 'cell'> & { readonly cellId?: string })[];
  readonly storage?: PageData['storage'];
  /** @default 'https://github.com' */
  readonly serverUrl?: string;
}

/** Failure text in the page, over all tests: what is left out is in the logs. */
const TEXT_BUDGET_CHARACTERS = 4_000_000;
const TEXT_CHARACTERS = 16_000;
const NAME_CHARACTERS = 2_000;
const REPAIRS_SHOWN = 1_000;

/**
 * Everything the page shows, from a run. Pure: the same run gives the same data.
 *
 * Names longer than 2,000 characters are cut (their ids are made from the whole name), failure texts are cut to 16,000
 * characters each and 4 million in all, failures first come first served in reading order.
 */
export function reportModel(run: RunResult, options: ReportModelOptions = {}): PageData {
  const packages = new Map<string, number>();
  const cells = run.cells.map((cell) => pageCell(cell, run));
  const tests: PageTest[] = [];
  run.cells.forEach((cell, index) => {
    addTests(cell, index, { tests, packages, history: options.history, runStartMs: Date.parse(run.startedAt) });
  });
  const compare = options.against === undefined ? undefined : pageComparison(compareRuns(run, options.against));
  for (const index of compare?.newFailures ?? []) {
    const test = tests[index];
    if (test !== undefined) tests[index] = { ...test, isNew: true };
  }
  const failures = orderFailures(tests);
  withinTextBudget(tests, failures);
  const counts = countTests(run.cells.flatMap((cell) => cell.tests));
  const cellIndex = new Map(run.cells.map((cell, index) => [cell.id, index]));
  return {
    version: 1,
    run: {
      id: run.runId,
      title: visibleTitle(run),
      startedAt: run.startedAt,
      ...(run.endedAt === undefined ? {} : { endedAt: run.endedAt }),
      ...optionalNumber('durationMs', elapsedMs(run.startedAt, run.endedAt)),
      complete: run.complete,
      ...(run.exitCode === undefined ? {} : { exitCode: run.exitCode }),
      toolVersion: run.toolVersion,
      source: run.source,
      links: linksOf(run.source, options.serverUrl),
    },
    verdict: verdictOf(run),
    counts: { ...counts, tests: totalOf(counts) },
    packages: [...packages.keys()].map((name) => cut(name, NAME_CHARACTERS)),
    environments: run.environments,
    suites: [...new Set(run.cells.map((cell) => cell.suite))],
    cells,
    tests,
    failures,
    brokenPackages: brokenPackages(run, tests, [...packages.keys()]),
    errors: run.errors,
    repairs: [
      ...run.repairs,
      ...run.cells.flatMap((cell) => cell.repairs.map((repair) => ({ ...repair, cell: cell.id }))),
    ].slice(0, REPAIRS_SHOWN),
    conservation: conservationOf(run),
    phases: phasesOf(run),
    logs: (options.logs ?? []).map(({ cellId, ...log }) => {
      const cell = cellId === undefined ? undefined : cellIndex.get(cellId);
      return { ...log, ...(cell === undefined ? {} : { cell }) };
    }),
    ...(compare === undefined ? {} : { compare }),
    storage: options.storage ?? { kind: 'inline' },
  };
}

/** Stable id of a test for links: from package and name, never from result, run or environment. */
export function testAnchor(id: TestId): string {
  return createHash('sha256').update(testKey(id)).digest('hex').slice(0, 12);
}

/** One word and one sentence for a run. Infrastructure first: its failures say nothing about the tests. */
export function verdictOf(run: RunResult): Verdict {
  const counts = countTests(run.cells.flatMap((cell) => cell.tests));
  const tests = totalOf(counts);
  const bad = counts.failed + counts.error + counts.timedout + counts.notrun;
  const brokenCells = run.cells.filter((cell) => isBad(cell.status)).length;
  const infrastructure = run.errors.filter((error) => error.infrastructure).length;
  if (infrastructure > 0) {
    const rest = bad > 0 ? `; besides, ${plural(bad, 'test')} did not pass` : '';
    return { word: 'infrastructure', sentence: `Infrastructure failed ${times(infrastructure)}${rest}.` };
  }
  if (tests === 0 && brokenCells === 0) return { word: 'empty', sentence: 'No test ran.' };
  if (bad > 0) {
    return { word: 'failed', sentence: `${String(bad)} of ${plural(tests, 'test')} did not pass.` };
  }
  if (!run.complete)
    return { word: 'unfinished', sentence: `The run did not end; ${plural(tests, 'test')} seen so far.` };
  const brokenPackageCount = run.cells.flatMap((cell) => cell.packages).filter(({ status }) => isBad(status)).length;
  if (brokenPackageCount > 0) {
    return {
      word: 'failed',
      sentence: `All ${plural(tests, 'test')} passed, but ${plural(brokenPackageCount, 'package')} failed.`,
    };
  }
  if (brokenCells > 0) {
    return { word: 'failed', sentence: `All tests passed, but ${plural(brokenCells, 'suite')} did not end well.` };
  }
  if (counts.flaky > 0) {
    return {
      word: 'flaky',
      sentence: `All ${plural(tests, 'test')} passed, ${String(counts.flaky)} only after another try.`,
    };
  }
  return {
    word: 'passed',
    sentence: `All ${plural(tests, 'test')} passed${counts.skipped > 0 ? ` or were skipped` : ''}.`,
  };
}

function times(count: number): string {
  return count === 1 ? 'once' : `${String(count)} times`;
}

function visibleTitle(run: RunResult): string {
  return cut(run.title ?? run.source.repository ?? run.runId, 300);
}

function elapsedMs(from: string | undefined, to: string | undefined): number | undefined {
  if (from === undefined || to === undefined) return undefined;
  const elapsed = Date.parse(to) - Date.parse(from);
  return Number.isFinite(elapsed) && elapsed >= 0 ? elapsed : undefined;
}

function optionalNumber<Key extends string>(key: Key, value: number | undefined): Partial<Record<Key, number>> {
  return value === undefined ? {} : ({ [key]: value } as Record<Key, number>);
}

function pageCell(cell: CellResult, run: RunResult): PageCell {
  return {
    id: cell.id,
    environment: run.environments.findIndex(({ name }) => name === cell.environment),
    environmentName: cell.environment,
    suite: cell.suite,
    ...(cell.shard === undefined ? {} : { shard: `${String(cell.shard.index)}/${String(cell.shard.total)}` }),
    status: cell.status,
    counts: countTests(cell.tests),
    ...(cell.startedAt === undefined ? {} : { startedAt: cell.startedAt }),
    ...optionalNumber('durationMs', cell.durationMs),
    attempts: cell.attempts.map((attempt) => ({
      attempt: attempt.attempt,
      command: cut(attempt.command.join(' '), 2_000),
      startedAt: attempt.startedAt,
      ...optionalNumber('durationMs', attempt.durationMs),
      ...(attempt.timedOut === true
        ? { ended: 'timed out' }
        : attempt.signal !== undefined
          ? { ended: attempt.signal }
          : attempt.exitCode !== undefined
            ? { ended: `exit code ${String(attempt.exitCode)}` }
            : {}),
    })),
  };
}

interface Target {
  readonly tests: PageTest[];
  readonly packages: Map<string, number>;
  readonly history: HistoryOf | undefined;
  readonly runStartMs: number;
}

function addTests(cell: CellResult, cellNumber: number, { tests, packages, history, runStartMs }: Target): void {
  const first = tests.length;
  const byKey = new Map<string, number>();
  for (const result of cell.tests) {
    const pkg = packages.get(result.id.package) ?? packages.size;
    packages.set(result.id.package, pkg);
    byKey.set(testKey(result.id), tests.length);
    tests.push(pageTest(result, pkg, cellNumber, { runStartMs, history: history?.(result.id, cell.environment) }));
  }
  const withBadChild = new Set<number>();
  cell.tests.forEach((result, offset) => {
    const parent = ancestorOf(result.id, byKey);
    const test = tests[first + offset];
    if (parent === undefined || test === undefined) return;
    tests[first + offset] = { ...test, parent };
    if (isBad(result.status)) withBadChild.add(parent);
  });
  for (const index of withBadChild) {
    const test = tests[index];
    const result = cell.tests[index - first];
    if (test !== undefined && result !== undefined && failsWithoutReason(result)) {
      tests[index] = { ...test, viaChild: true };
    }
  }
}

function startOf(at: string | undefined, runStartMs: number): number | undefined {
  const start = at === undefined ? NaN : Date.parse(at) - runStartMs;
  return Number.isNaN(start) ? undefined : start;
}

function pageTest(
  result: TestResult,
  pkg: number,
  cell: number,
  { history, runStartMs }: { readonly history: PageHistory | undefined; readonly runStartMs: number },
): PageTest {
  const last = result.attempts.at(-1);
  const where = place(result.file, result.line) ?? place(last?.failure?.file, last?.failure?.line);
  const attempts = pageAttempts(result.attempts);
  const plain = attempts.length === 1 && attempts[0]?.message === undefined && attempts[0]?.skipReason === undefined;
  return {
    id: testAnchor(result.id),
    name: cut(result.id.name, NAME_CHARACTERS),
    pkg,
    cell,
    status: result.status,
    ...(result.flaky ? { flaky: true as const } : {}),
    ...optionalNumber('ms', last?.durationMs),
    ...(plain && last?.cellAttempt === 1
      ? optionalNumber('startMs', startOf(last.startedAt, runStartMs))
      : { attempts }),
    ...(where === undefined ? {} : { where }),
    ...(result.owner === undefined ? {} : { owner: result.owner }),
    ...(history === undefined ? {} : { history }),
    ...(result.attributes === undefined ? {} : { attributes: result.attributes }),
  };
}

function pageAttempts(attempts: readonly TestAttempt[]): PageAttempt[] {
  const seen = new Map<number, number>();
  return attempts.map((attempt) => {
    const occurrence = (seen.get(attempt.cellAttempt) ?? 0) + 1;
    seen.set(attempt.cellAttempt, occurrence);
    const { failure } = attempt;
    const where = place(failure?.file, failure?.line);
    return {
      attempt: attempt.attempt,
      status: attempt.status,
      cellAttempt: attempt.cellAttempt,
      occurrence,
      ...(attempt.startedAt === undefined ? {} : { startedAt: attempt.startedAt }),
      ...optionalNumber('ms', attempt.durationMs),
      ...(failure === undefined ? {} : { message: cut(failure.message, 1_000) }),
      ...(failure?.text === undefined ? {} : textOf(failure.text)),
      ...(failure?.kind === undefined ? {} : { kind: failure.kind }),
      ...(where === undefined ? {} : { where }),
      ...(attempt.skipReason === undefined ? {} : { skipReason: cut(attempt.skipReason, 1_000) }),
    };
  });
}

function textOf(text: string): { readonly text: string; readonly textCut?: true } {
  return text.length <= TEXT_CHARACTERS ? { text } : { text: text.slice(0, TEXT_CHARACTERS), textCut: true };
}

function place(file: string | undefined, line: number | undefined): string | undefined {
  return file === undefined ? undefined : cut(line === undefined ? file : `${file}:${String(line)}`, 500);
}

const KIND_RANK: Readonly<Record<string, number>> = { build: 0, setup: 1, panic: 2, race: 3, timeout: 4 };

/**
 * Failures in the order to read them: what is new before what is known to flake, what breaks many tests (build, panic)
 * before assertions; parents that fail only through a subtest are left out. Tests that flaked come last.
 */
function orderFailures(tests: readonly PageTest[]): number[] {
  const rank = (test: PageTest): number[] => [
    isBad(test.status) ? 0 : 1,
    test.isNew === true ? 0 : 1,
    KIND_RANK[test.attempts?.at(-1)?.kind ?? ''] ?? 9,
    test.history?.rate ?? 0,
  ];
  const ranks = new Map<number, number[]>();
  tests.forEach((test, index) => {
    if ((isBad(test.status) && test.viaChild !== true) || test.flaky === true) ranks.set(index, rank(test));
  });
  return [...ranks]
    .sort(([a, first], [b, second]) => {
      for (let level = 0; level < first.length; level += 1) {
        const difference = (first[level] ?? 0) - (second[level] ?? 0);
        if (difference !== 0) return difference;
      }
      return a - b;
    })
    .map(([index]) => index);
}

/** Takes failure texts out of tests that come after the budget is spent. */
function withinTextBudget(tests: PageTest[], order: readonly number[]): void {
  let left = TEXT_BUDGET_CHARACTERS;
  const inOrder = new Set([...order, ...tests.keys()]);
  for (const index of inOrder) {
    const test = tests[index];
    if (test?.attempts?.some(({ text }) => text !== undefined) !== true) continue;
    tests[index] = {
      ...test,
      attempts: test.attempts.map((attempt) => {
        if (attempt.text === undefined) return attempt;
        left -= attempt.text.length;
        if (left >= 0) return attempt;
        const { text: _text, ...rest } = attempt;
        return { ...rest, textCut: true as const };
      }),
    };
  }
}

/** Packages that failed and have no failing test to show for it, and those with a reason of their own. */
function brokenPackages(run: RunResult, tests: readonly PageTest[], names: readonly string[]): PageBrokenPackage[] {
  const explained = new Set(
    tests.filter((test) => isBad(test.status)).map((test) => `${String(test.cell)}\0${names[test.pkg] ?? ''}`),
  );
  return run.cells.flatMap((cell, index) =>
    cell.packages
      .filter(
        (result) =>
          isBad(result.status) &&
          (!explained.has(`${String(index)}\0${result.package}`) ||
            (result.failure?.kind !== undefined && !['assertion', 'exit', 'other'].includes(result.failure.kind))),
      )
      .map((result) => ({
        cell: index,
        name: cut(result.package, NAME_CHARACTERS),
        status: result.status,
        ...(result.failure === undefined ? {} : { message: cut(result.failure.message, 1_000) }),
        ...(result.failure?.text === undefined ? {} : { text: cut(result.failure.text, TEXT_CHARACTERS) }),
      })),
  );
}

function conservationOf(run: RunResult): PageConservation {
  const started = run.cells.reduce((sum, cell) => sum + new Set(cell.tests.map(({ id }) => testKey(id))).size, 0);
  const accounted = totalOf(countTests(run.cells.flatMap((cell) => cell.tests)));
  return { holds: started === accounted, started, accounted };
}

function phasesOf(run: RunResult): PagePhase[] {
  const phases = run.phases.map((phase) => phaseBar(phase, run));
  const cells = run.cells.flatMap((cell, index) =>
    cell.attempts.map((attempt): PagePhase => ({
      lane: cell.id,
      name: attempt.attempt === 1 ? cell.suite : `attempt ${String(attempt.attempt)}`,
      kind: 'cell',
      startMs: startOffset(attempt.startedAt, run),
      durationMs: attempt.durationMs ?? 0,
      status:
        attempt.durationMs === undefined ? 'unfinished' : endedWell(attempt.exitCode, cell.status) ? 'ok' : 'failed',
      cell: index,
    })),
  );
  return [...phases, ...cells].filter((phase) => Number.isFinite(phase.startMs));
}

function endedWell(exitCode: number | undefined, status: Status): boolean {
  return exitCode === undefined ? !isBad(status) : exitCode === 0;
}

function phaseBar(phase: Phase, run: RunResult): PagePhase {
  return {
    lane: phase.scope,
    name: phase.name,
    kind: phase.scope.startsWith('cluster:') ? 'cluster' : 'run',
    startMs: startOffset(phase.startedAt, run),
    durationMs: phase.durationMs ?? 0,
    status: phase.status,
    ...(phase.message === undefined ? {} : { message: cut(phase.message, 1_000) }),
  };
}

function startOffset(at: string, run: RunResult): number {
  return Math.max(0, Date.parse(at) - Date.parse(run.startedAt));
}
