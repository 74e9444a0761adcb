import { isFlaky } from '../../results/counts.js';
import type { RunEvent } from '../../results/events.js';
import { isBad, testKey, type Status, type TestId } from '../../results/model.js';
import { failureText } from './failure-text.js';
import { oneLine, seconds } from './line-text.js';

/** What the terminal knows of a run; changed only by {@link addToView}. */
export interface ViewState {
  readonly cells: Map<string, ViewCell>;
  /** Phases of clusters that have begun and not ended, by scope. */
  readonly phases: Map<string, { readonly environment: string; readonly name: string; readonly sinceMs: number }>;
  failures: number;
}

interface ViewCell {
  readonly id: string;
  state: 'waiting' | 'running' | 'ended';
  sinceMs: number;
  attempt: number;
  /** Statuses of the attempts of each test, in order. */
  readonly tests: Map<string, Status[]>;
  /** Test that started last and has not ended. */
  current: TestId | undefined;
}

/** A line that stays, and how it reads. */
export interface ViewLine {
  readonly tone: 'plain' | 'good' | 'bad' | 'faint';
  readonly text: string;
}

/** Failed tests named one by one; beyond it only the counts grow, the report has them all. */
const MAX_NAMED_FAILURES = 50;

export function createView(): ViewState {
  return { cells: new Map(), phases: new Map(), failures: 0 };
}

/**
 * Takes one event in.
 *
 * @returns lines that stay on the screen, or go to a log: clusters, cells, failures as they happen
 */
export function addToView(view: ViewState, event: RunEvent): readonly ViewLine[] {
  switch (event.type) {
    case 'run-started':
      for (const { id } of event.cells) cellOf(view, id);
      return [];
    case 'phase-started':
      view.phases.set(event.scope, {
        environment: event.environment ?? event.scope,
        name: event.name,
        sinceMs: Date.parse(event.at),
      });
      return [];
    case 'phase-ended': {
      if (view.phases.get(event.scope)?.name === event.name) view.phases.delete(event.scope);
      const text = `${event.environment ?? event.scope}: ${event.name} (${seconds(event.durationMs)})`;
      if (event.status === 'ok') return [{ tone: 'faint', text }];
      return [
        { tone: 'bad', text: `${text} failed${event.message === undefined ? '' : `: ${oneLine(event.message)}`}` },
      ];
    }
    case 'cell-started': {
      const cell = cellOf(view, event.cell);
      cell.state = 'running';
      cell.sinceMs = Date.parse(event.at);
      return [];
    }
    case 'attempt-started': {
      const cell = cellOf(view, event.cell);
      cell.attempt = event.attempt;
      const rerun = event.attempt > 1 ? `, attempt ${event.attempt}` : '';
      return [{ tone: 'plain', text: `▶ ${event.cell}${rerun}` }];
    }
    case 'test-started': {
      const cell = cellOf(view, event.cell);
      cell.current = event.test;
      statusesOf(cell, event.test).push('notrun');
      return [];
    }
    case 'test-ended':
      return endTest(view, event);
    case 'package-ended': {
      if (!isBad(event.status) || event.failure === undefined) return [];
      return [{ tone: 'bad', text: `✗ ${event.cell}: ${failureText(event.package, event.status, event.failure)}` }];
    }
    case 'repair':
      return event.kind.startsWith('left-') || event.kind === 'rerun' || event.kind === 'selection'
        ? [{ tone: 'faint', text: `· ${event.cell}: ${oneLine(event.message)}` }]
        : [];
    case 'error':
      return [
        {
          tone: 'bad',
          text: `✗ ${event.cell ?? event.environment ?? 'run'}: ${oneLine(event.message)} (${event.code})`,
        },
      ];
    case 'cell-ended': {
      const cell = cellOf(view, event.cell);
      cell.state = 'ended';
      const tone = isBad(event.status) ? 'bad' : 'good';
      const mark = tone === 'good' ? '✓' : '✗';
      return [
        { tone, text: `${mark} ${event.cell} ${event.status}: ${describeTests(cell)} (${seconds(event.durationMs)})` },
      ];
    }
    case 'package-named':
    case 'attribute':
    case 'attempt-ended':
    case 'run-ended':
      return [];
    default:
      event satisfies never;
      return [];
  }
}

function endTest(view: ViewState, event: Extract<RunEvent, { type: 'test-ended' }>): readonly ViewLine[] {
  const cell = cellOf(view, event.cell);
  const statuses = statusesOf(cell, event.test);
  if (statuses.at(-1) === 'notrun') statuses[statuses.length - 1] = event.status;
  else statuses.push(event.status);
  if (cell.current !== undefined && testKey(cell.current) === testKey(event.test)) cell.current = undefined;
  if (!isBad(event.status)) return [];
  view.failures += 1;
  if (view.failures > MAX_NAMED_FAILURES) return [];
  const more = view.failures === MAX_NAMED_FAILURES ? ' (further failures are in the report)' : '';
  const text = failureText(event.test.name, event.status, event.failure);
  return [{ tone: 'bad', text: `✗ ${event.cell}: ${text}${more}` }];
}

/** The lines below the ones that stay: what runs now and how far it is. Each is cut to the width. */
export function liveLines(view: ViewState, nowMs: number, columns: number, rows: number): string[] {
  const cells = [...view.cells.values()];
  const running = cells.filter((cell) => cell.state === 'running');
  const ended = cells.filter((cell) => cell.state === 'ended').length;
  const waiting = cells.length - running.length - ended;
  const lines = [...view.phases.values()].map(
    ({ environment, name, sinceMs }) => `  ${environment}: ${name} ${seconds(nowMs - sinceMs)}`,
  );
  for (const cell of running) {
    if (cell.attempt === 0) continue; // its cluster is starting: the phases above say so
    const current = cell.current === undefined ? '' : ` ${cell.current.name}`;
    lines.push(`  ${cell.id} ${seconds(nowMs - cell.sinceMs)} ${describeTests(cell)}${current}`);
  }
  const room = Math.max(1, rows - 3);
  const shown = lines.length <= room ? lines : [...lines.slice(0, room - 1), `  … ${lines.length - room + 1} more`];
  const head = `${progressBar(ended, cells.length)} ${ended}/${cells.length} cells, ${running.length} running, ${waiting} waiting`;
  return [head, ...shown].map((line) => cut(line, columns - 1));
}

function describeTests(cell: ViewCell): string {
  let passed = 0;
  let bad = 0;
  let skipped = 0;
  let flaky = 0;
  for (const statuses of cell.tests.values()) {
    const status = statuses.findLast((one) => one !== 'skipped') ?? 'skipped';
    if (status === 'passed') passed += 1;
    else if (status === 'skipped') skipped += 1;
    else if (cell.state === 'ended' || status !== 'notrun') bad += 1;
    if (isFlaky(statuses.map((one) => ({ status: one })))) flaky += 1;
  }
  const parts = [`${passed} passed`];
  if (bad > 0) parts.push(`${bad} failed`);
  if (flaky > 0) parts.push(`${flaky} flaky`);
  if (skipped > 0) parts.push(`${skipped} skipped`);
  return parts.join(', ');
}

function cellOf(view: ViewState, id: string): ViewCell {
  let cell = view.cells.get(id);
  if (cell === undefined) {
    cell = { id, state: 'waiting', sinceMs: 0, attempt: 0, tests: new Map(), current: undefined };
    view.cells.set(id, cell);
  }
  return cell;
}

function statusesOf(cell: ViewCell, test: TestId): Status[] {
  const key = testKey(test);
  let statuses = cell.tests.get(key);
  if (statuses === undefined) {
    statuses = [];
    cell.tests.set(key, statuses);
  }
  return statuses;
}

function progressBar(done: number, total: number): string {
  const width = 20;
  const full = total === 0 ? 0 : Math.round((done / total) * width);
  return `[${'='.repeat(full)}${' '.repeat(width - full)}]`;
}

function cut(line: string, columns: number): string {
  const characters = Array.from(line);
  return characters.length <= columns ? line : `${characters.slice(0, Math.max(0, columns - 1)).join('')}…`;
}
