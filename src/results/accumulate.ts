import { countPackages, countTests, isFlaky, statusOfAttempts } from './counts.js';
import type { ReadEvent } from './events.js';
import {
  STATUSES,
  testKey,
  type Counts,
  type Failure,
  type PackageResult,
  type Repair,
  type Status,
  type TestAttempt,
  type TestId,
  type TestResult,
} from './model.js';

/**
 * Tests, packages and repairs of one cell (or one foreign file) while events come in. Changed only by
 * {@link addReadEvent} and {@link endCellAttempt}; read through {@link summarizeCell}. Every event costs O(1), but for
 * `package-named`, which costs the tests it names.
 */
export interface CellState {
  /** By `testKey`, in the order of first appearance. */
  readonly tests: Map<string, TestState>;
  /** Tests under the package '', by name: a later `package-named` may move them. */
  readonly unnamed: Map<string, TestState>;
  readonly packages: Map<string, PackageResult>;
  readonly repairs: Map<string, { repair: Repair; count: number }>;
  /** Tests whose latest attempt has not ended. */
  readonly open: Set<TestState>;
  /** Attempts begun, for the conservation check. */
  started: number;
  /** Tests seen, to number the next. */
  seen: number;
}

interface TestState {
  id: TestId;
  order: number;
  readonly attempts: AttemptState[];
  readonly attributes: Map<string, string>;
  file: string | undefined;
  line: number | undefined;
}

interface AttemptState {
  status: Status | undefined;
  startedAt: string | undefined;
  durationMs: number | undefined;
  failure: Failure | undefined;
  skipReason: string | undefined;
  cellAttempt: number;
}

/** Repairs kept apart per cell; further ones are folded by kind. */
const MAX_REPAIRS = 1000;

export function createCellState(): CellState {
  return {
    tests: new Map(),
    unnamed: new Map(),
    packages: new Map(),
    repairs: new Map(),
    open: new Set(),
    started: 0,
    seen: 0,
  };
}

/**
 * Takes one event in. A `test-started` always begins a new attempt (an attempt before it that never ended stays
 * `notrun`); a `test-ended` ends the open attempt of its test or is begin and end of a new one.
 *
 * @param cellAttempt 1-based number of the attempt of the cell in which it happened
 */
export function addReadEvent(state: CellState, event: ReadEvent, cellAttempt = 1): void {
  switch (event.type) {
    case 'test-started': {
      const test = testOf(state, event.test);
      beginAttempt(state, test, cellAttempt).startedAt = event.at;
      place(test, event);
      return;
    }
    case 'test-ended': {
      const test = testOf(state, event.test);
      const last = test.attempts.at(-1);
      const isOpen = last !== undefined && last.status === undefined && last.cellAttempt === cellAttempt;
      const attempt = isOpen ? last : beginAttempt(state, test, cellAttempt);
      attempt.status = event.status;
      attempt.durationMs = plausible(event.durationMs);
      attempt.failure = event.failure;
      attempt.skipReason = event.skipReason;
      if (event.at !== undefined && attempt.durationMs !== undefined) {
        attempt.startedAt ??= timeBefore(event.at, attempt.durationMs);
      }
      place(test, event);
      state.open.delete(test);
      return;
    }
    case 'package-ended': {
      const { type: _, ...result } = event;
      state.packages.set(event.package, result);
      return;
    }
    case 'package-named':
      namePackage(state, event.package);
      return;
    case 'attribute':
      testOf(state, event.test).attributes.set(event.key, event.value);
      return;
    case 'repair': {
      const { type: _, ...repair } = event;
      addRepair(state, repair);
      return;
    }
    case 'output':
      return;
    default:
      // Readers of the stream ignore what they do not know; the compiler still checks that all known types are here.
      event satisfies never;
  }
}

/** Ends the attempts that are still open: the cell's process has ended, or its stream was cut. */
export function endCellAttempt(state: CellState, options: { readonly timedOut?: boolean } = {}): void {
  for (const test of state.open) {
    const last = test.attempts.at(-1);
    if (last !== undefined) last.status ??= options.timedOut === true ? 'timedout' : 'notrun';
  }
  state.open.clear();
}

/** Counts a repair; the same one again raises its count. */
export function addRepair(state: Pick<CellState, 'repairs'>, repair: Repair): void {
  const count = repair.count ?? 1;
  const { kind, message, test } = repair;
  const exact = `${kind}\0${message}\0${test === undefined ? '' : testKey(test)}`;
  const known = state.repairs.get(exact);
  if (known !== undefined) {
    known.count += count;
  } else if (state.repairs.size < MAX_REPAIRS) {
    state.repairs.set(exact, { repair, count });
  } else {
    const folded = state.repairs.get(kind);
    if (folded !== undefined) folded.count += count;
    else state.repairs.set(kind, { repair: { kind, message: `further repairs of this kind` }, count });
  }
}

/** What a cell came to. */
export interface CellSummary {
  /** In the order in which they first appeared. */
  readonly tests: readonly TestResult[];
  readonly packages: readonly PackageResult[];
  readonly repairs: readonly Repair[];
  readonly counts: Counts;
  readonly packageCounts: Counts;
}

/** Results as far as they are known now; attempts still open are `notrun`. The state may go on changing afterwards. */
export function summarizeCell(state: CellState): CellSummary {
  const all = [...state.tests.values(), ...state.unnamed.values()].filter((test) => test.attempts.length > 0);
  const tests = all.sort((a, b) => a.order - b.order).map(testResult);
  const packages = [...state.packages.values()];
  return {
    tests,
    packages,
    repairs: repairList(state),
    counts: countTests(tests),
    packageCounts: countPackages(packages),
  };
}

export function repairList(state: Pick<CellState, 'repairs'>): Repair[] {
  return [...state.repairs.values()].map(({ repair, count }) => (count === 1 ? repair : { ...repair, count }));
}

/** Does what was started add up to what is shown? */
export interface Conservation {
  /** Attempts that the stream began. */
  readonly started: number;
  /** Attempts in the results, by status. */
  readonly attempts: Readonly<Record<Status, number>>;
  readonly holds: boolean;
}

/**
 * The check that ends each read: attempts counted as they began against those in the results, and every test with at
 * least one attempt and the status that its attempts give.
 */
export function checkConservation(state: Pick<CellState, 'started'>, tests: readonly TestResult[]): Conservation {
  const attempts = { passed: 0, failed: 0, skipped: 0, error: 0, timedout: 0, notrun: 0 } satisfies Record<
    Status,
    number
  >;
  let sound = true;
  const keys = new Set<string>();
  for (const test of tests) {
    for (const attempt of test.attempts) attempts[attempt.status] += 1;
    if (test.attempts.length === 0 || test.status !== statusOfAttempts(test.attempts)) sound = false;
    keys.add(testKey(test.id));
  }
  const sum = STATUSES.reduce((total, status) => total + attempts[status], 0);
  return { started: state.started, attempts, holds: sound && sum === state.started && keys.size === tests.length };
}

function testOf(state: CellState, id: TestId): TestState {
  const map = id.package === '' ? state.unnamed : state.tests;
  const key = id.package === '' ? id.name : testKey(id);
  let test = map.get(key);
  if (test === undefined) {
    test = { id, order: state.seen, attempts: [], attributes: new Map(), file: undefined, line: undefined };
    state.seen += 1;
    map.set(key, test);
  }
  return test;
}

function beginAttempt(state: CellState, test: TestState, cellAttempt: number): AttemptState {
  const before = test.attempts.at(-1);
  if (before !== undefined) before.status ??= 'notrun';
  const attempt: AttemptState = {
    status: undefined,
    startedAt: undefined,
    durationMs: undefined,
    failure: undefined,
    skipReason: undefined,
    cellAttempt,
  };
  test.attempts.push(attempt);
  state.open.add(test);
  state.started += 1;
  return attempt;
}

function place(test: TestState, event: { readonly file?: string; readonly line?: number }): void {
  if (event.file === undefined) return;
  test.file = event.file;
  test.line = event.line;
}

function namePackage(state: CellState, name: string): void {
  if (name === '') return;
  for (const test of state.unnamed.values()) {
    const id = { package: name, name: test.id.name };
    const key = testKey(id);
    const known = state.tests.get(key);
    if (known === undefined) {
      test.id = id;
      state.tests.set(key, test);
      continue;
    }
    // A rerun of a test that an earlier attempt of the cell has named already. One that still runs stays the last: its end is
    // to come.
    const last = known.attempts.at(-1);
    const runs = last !== undefined && last.status === undefined;
    known.attempts.splice(runs ? -1 : known.attempts.length, 0, ...test.attempts);
    for (const [attribute, value] of test.attributes) known.attributes.set(attribute, value);
    known.file = test.file ?? known.file;
    known.line = test.line ?? known.line;
    if (state.open.delete(test)) state.open.add(known);
  }
  state.unnamed.clear();
}

function testResult({ id, attempts, attributes, file, line }: TestState): TestResult {
  const list: TestAttempt[] = attempts.map((attempt, index) => ({
    attempt: index + 1,
    status: attempt.status ?? 'notrun',
    ...(attempt.startedAt === undefined ? {} : { startedAt: attempt.startedAt }),
    ...(attempt.durationMs === undefined ? {} : { durationMs: attempt.durationMs }),
    ...(attempt.failure === undefined ? {} : { failure: attempt.failure }),
    ...(attempt.skipReason === undefined ? {} : { skipReason: attempt.skipReason }),
    cellAttempt: attempt.cellAttempt,
  }));
  const owner = attributes.get('owner');
  return {
    id,
    attempts: list,
    status: statusOfAttempts(list),
    flaky: isFlaky(list),
    ...(file === undefined ? {} : { file }),
    ...(line === undefined ? {} : { line }),
    ...(attributes.size === 0 ? {} : { attributes: Object.fromEntries(attributes) }),
    ...(owner === undefined ? {} : { owner }),
  };
}

function plausible(durationMs: number | undefined): number | undefined {
  return durationMs !== undefined && Number.isFinite(durationMs) && durationMs >= 0 ? durationMs : undefined;
}

/** The time so many milliseconds before another, or that other time itself when it can not be read. */
export function timeBefore(at: string, durationMs: number): string {
  const ms = Date.parse(at) - durationMs;
  return Number.isFinite(ms) && Math.abs(ms) <= 8.64e15 ? new Date(ms).toISOString() : at;
}
