import {
  addReadEvent,
  addRepair,
  checkConservation,
  createCellState,
  endCellAttempt,
  repairList,
  summarizeCell,
  timeBefore,
  type CellState,
} from './accumulate.js';
import type { RunEvent } from './events.js';
import type {
  CellAttempt,
  CellInfo,
  CellResult,
  EnvironmentInfo,
  Phase,
  Repair,
  RunError,
  RunResult,
  SourceInfo,
  Status,
} from './model.js';

/** A run while its events come in; changed only by {@link addRunEvent}, read through {@link runResult}. */
export interface RunState {
  head: Head | undefined;
  readonly environments: Map<string, EnvironmentInfo>;
  readonly cells: Map<string, CellProgress>;
  readonly phases: Phase[];
  /** Index of the unfinished phase by scope, environment and name. */
  readonly openPhases: Map<string, number>;
  readonly errors: RunError[];
  readonly repairs: Map<string, { repair: Repair; count: number }>;
  firstAt: string | undefined;
  lastAt: string | undefined;
  end: { readonly at: string; readonly exitCode: number } | undefined;
}

interface Head {
  readonly runId: string;
  readonly toolVersion: string;
  readonly startedAt: string;
  readonly title: string | undefined;
  readonly source: SourceInfo;
}

interface CellProgress {
  info: CellInfo;
  readonly state: CellState;
  readonly attempts: Map<number, CellAttempt>;
  startedAt: string | undefined;
  end: { readonly status: Status; readonly durationMs: number } | undefined;
}

export function createRunState(): RunState {
  return {
    head: undefined,
    environments: new Map(),
    cells: new Map(),
    phases: [],
    openPhases: new Map(),
    errors: [],
    repairs: new Map(),
    firstAt: undefined,
    lastAt: undefined,
    end: undefined,
  };
}

/**
 * Takes one event of a run in. The stream may begin anywhere and stop anywhere: cells that were never planned are added
 * under their id, types that are not known are ignored.
 */
export function addRunEvent(state: RunState, event: RunEvent): void {
  if ('at' in event) {
    state.firstAt ??= event.at;
    state.lastAt = event.at;
  }
  switch (event.type) {
    case 'run-started':
      state.head ??= {
        runId: event.runId,
        toolVersion: event.toolVersion,
        startedAt: event.at,
        title: event.title,
        source: event.source,
      };
      for (const environment of event.environments) state.environments.set(environment.name, environment);
      for (const cell of event.cells) cellOf(state, cell.id).info = cell;
      return;
    case 'phase-started': {
      const { type: _, at, ...phase } = event;
      state.openPhases.set(phaseKey(event), state.phases.length);
      state.phases.push({ ...phase, startedAt: at, status: 'unfinished' });
      return;
    }
    case 'phase-ended':
      endPhase(state, event);
      return;
    case 'cell-started':
      cellOf(state, event.cell).startedAt ??= event.at;
      return;
    case 'attempt-started': {
      const cell = cellOf(state, event.cell);
      cell.startedAt ??= event.at;
      cell.attempts.set(event.attempt, {
        attempt: event.attempt,
        command: event.command,
        ...(event.format === undefined ? {} : { format: event.format }),
        ...(event.folder === undefined ? {} : { folder: event.folder }),
        startedAt: event.at,
      });
      return;
    }
    case 'attempt-ended': {
      const cell = cellOf(state, event.cell);
      endCellAttempt(cell.state, { timedOut: event.timedOut === true });
      const { type: _, at, cell: __, ...end } = event;
      const begun = cell.attempts.get(event.attempt);
      const startedAt = begun?.startedAt ?? timeBefore(at, event.durationMs);
      cell.attempts.set(event.attempt, { command: [], ...begun, ...end, startedAt });
      return;
    }
    case 'cell-ended':
      cellOf(state, event.cell).end = { status: event.status, durationMs: event.durationMs };
      return;
    case 'error': {
      const { type: _, at: __, ...error } = event;
      state.errors.push(error);
      return;
    }
    case 'run-ended':
      state.end = { at: event.at, exitCode: event.exitCode };
      return;
    case 'test-started':
    case 'test-ended':
    case 'package-ended':
    case 'package-named':
    case 'attribute':
    case 'repair': {
      const { cell, attempt, ...read } = event;
      addReadEvent(cellOf(state, cell).state, read, attempt);
      return;
    }
    default:
      event satisfies never;
  }
}

/** The run as far as it is known now: unfinished tests are `notrun`, unfinished phases `unfinished`. */
export function runResult(state: RunState): RunResult {
  const { head, end } = state;
  const cells = [...state.cells.values()].map(cellResult);
  const endedAt = end?.at ?? state.lastAt;
  return {
    runId: head?.runId ?? 'unknown',
    toolVersion: head?.toolVersion ?? 'unknown',
    startedAt: head?.startedAt ?? state.firstAt ?? new Date(0).toISOString(),
    ...(endedAt === undefined ? {} : { endedAt }),
    ...(head?.title === undefined ? {} : { title: head.title }),
    source: head?.source ?? {},
    environments: [...state.environments.values()],
    cells,
    phases: [...state.phases],
    errors: [...state.errors],
    repairs: repairList(state),
    complete: end !== undefined,
    ...(end === undefined ? {} : { exitCode: end.exitCode }),
  };
}

/** A whole stream at once. */
export function accumulateRun(events: Iterable<RunEvent>): RunResult {
  const state = createRunState();
  for (const event of events) addRunEvent(state, event);
  return runResult(state);
}

/** A repair that belongs to no cell, such as a broken line of `events.jsonl`. */
export function addRunRepair(state: RunState, repair: Repair): void {
  addRepair(state, repair);
}

function cellOf(state: RunState, id: string): CellProgress {
  let cell = state.cells.get(id);
  if (cell === undefined) {
    cell = {
      info: { id, environment: '', suite: id },
      state: createCellState(),
      attempts: new Map(),
      startedAt: undefined,
      end: undefined,
    };
    state.cells.set(id, cell);
  }
  return cell;
}

function cellResult({ info, state, attempts, startedAt, end }: CellProgress): CellResult {
  const { tests, packages, repairs } = summarizeCell(state);
  const conservation = checkConservation(state, tests);
  return {
    ...info,
    attempts: [...attempts.values()].sort((a, b) => a.attempt - b.attempt),
    tests,
    packages,
    repairs: conservation.holds ? repairs : [...repairs, conservationRepair(conservation.started)],
    ...(startedAt === undefined ? {} : { startedAt }),
    ...(end === undefined ? {} : { durationMs: end.durationMs }),
    status: end?.status ?? 'notrun',
  };
}

function conservationRepair(started: number): Repair {
  return { kind: 'conservation', message: `${String(started)} attempts were started, the results do not add up to it` };
}

function phaseKey(phase: { readonly scope: string; readonly environment?: string; readonly name: string }): string {
  return `${phase.scope}\0${phase.environment ?? ''}\0${phase.name}`;
}

function endPhase(state: RunState, event: Extract<RunEvent, { type: 'phase-ended' }>): void {
  const { type: _, at, ...phase } = event;
  const key = phaseKey(event);
  const index = state.openPhases.get(key);
  const begun = index === undefined ? undefined : state.phases[index];
  const startedAt = begun?.startedAt ?? timeBefore(at, event.durationMs);
  if (index === undefined) state.phases.push({ ...phase, startedAt });
  else state.phases[index] = { ...phase, startedAt };
  state.openPhases.delete(key);
}
