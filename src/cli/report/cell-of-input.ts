import { basename, resolve } from 'node:path';

import {
  isBad,
  worstStatus,
  type CellResult,
  type CellSummary,
  type EnvironmentInfo,
  type Phase,
  type Repair,
  type RunError,
  type RunResult,
  type Status,
} from '../../results/index.js';

/** A folder name for an input: its file name without the endings of formats and packing. */
export function cellIdOf(path: string, taken: ReadonlySet<string>): string {
  const name =
    path === '-'
      ? 'stdin'
      : basename(path)
          .replace(/\.(?:gz|zst|zstd)$/i, '')
          .replace(/\.(?:jsonl?|ndjson|xml|tap|txt|log|out|trx)$/i, '')
          .replace(/[^\w.-]+/g, '-')
          .replace(/^[.-]+/, '') || 'input';
  let id = name;
  for (let next = 2; taken.has(id); next += 1) id = `${name}-${String(next)}`;
  return id;
}

/**
 * What to call a report of files: the name of the one that was given, and how many there were behind it.
 *
 * @param words as given on the command line
 * @param read how many of what they stand for could be read
 */
export function titleOfInputs(words: readonly string[], read: number): string {
  const [first = '-'] = words;
  const name = first === '-' ? 'Standard input' : basename(resolve(first)) || first;
  if (words.length === 1) return read > 1 ? `${name} (${String(read)} files)` : name;
  return read > 1 ? `${name} and ${String(read - 1)} more` : name;
}

export interface ForeignInput {
  readonly id: string;
  readonly environment: string;
  readonly format: string;
  readonly summary: CellSummary;
  readonly repairs: readonly Repair[];
  /** When no test tells when it began. */
  readonly now: string;
}

/** A foreign file as a cell with one attempt. */
export function cellOfInput({ id, environment, format, summary, repairs, now }: ForeignInput): CellResult {
  const span = spanOf(summary);
  const startedAt = span?.startedAt ?? now;
  return {
    id,
    environment,
    suite: id,
    attempts: [
      {
        attempt: 1,
        command: [],
        format,
        startedAt,
        ...(span === undefined ? {} : { durationMs: span.durationMs }),
      },
    ],
    tests: summary.tests,
    packages: summary.packages,
    repairs,
    startedAt,
    ...(span === undefined ? {} : { durationMs: span.durationMs }),
    status: statusOf(summary),
  };
}

/** `notrun` for an input in which nothing ran: it did not pass. */
function statusOf({ tests, packages }: CellSummary): Status {
  return worstStatus([...tests.map((test) => test.status), ...packages.map((pkg) => pkg.status)]);
}

function spanOf(summary: CellSummary): { readonly startedAt: string; readonly durationMs: number } | undefined {
  let first = Infinity;
  let last = -Infinity;
  for (const { attempts } of summary.tests) {
    for (const { startedAt, durationMs } of attempts) {
      const start = startedAt === undefined ? NaN : Date.parse(startedAt);
      if (Number.isNaN(start)) continue;
      first = Math.min(first, start);
      last = Math.max(last, start + (durationMs ?? 0));
    }
  }
  if (first === Infinity) return undefined;
  return { startedAt: new Date(first).toISOString(), durationMs: last - first };
}

/** Runs and cells that become one run. */
export interface RunParts {
  readonly runId: string;
  readonly toolVersion: string;
  readonly title: string | undefined;
  readonly now: string;
  readonly runs: readonly RunResult[];
  readonly cells: readonly CellResult[];
}

/** One run out of everything that was read; a single run stays as it is. */
export function joinParts({ runId, toolVersion, title, now, runs, cells }: RunParts): RunResult {
  const [only] = runs;
  if (only !== undefined && runs.length === 1 && cells.length === 0) {
    return title === undefined ? only : { ...only, title };
  }
  const taken = new Set<string>();
  const all: CellResult[] = [];
  for (const cell of [...runs.flatMap((run) => run.cells), ...cells]) {
    let id = cell.id;
    for (let next = 2; taken.has(id); next += 1) id = `${cell.id}-${String(next)}`;
    taken.add(id);
    all.push(id === cell.id ? cell : { ...cell, id });
  }
  const environments = new Map<string, EnvironmentInfo>();
  for (const environment of runs.flatMap((run) => run.environments)) environments.set(environment.name, environment);
  for (const { environment } of all) {
    if (!environments.has(environment)) environments.set(environment, { name: environment });
  }
  const starts = [...runs.map((run) => run.startedAt), ...cells.map((cell) => cell.startedAt ?? now)].sort();
  const errors: RunError[] = runs.flatMap((run) => [...run.errors]);
  const phases: Phase[] = runs.flatMap((run) => [...run.phases]);
  const bad = errors.length > 0 || all.some((cell) => isBad(cell.status));
  return {
    runId,
    toolVersion,
    startedAt: starts[0] ?? now,
    ...(title === undefined ? {} : { title }),
    source: only?.source ?? {},
    environments: [...environments.values()],
    cells: all,
    phases,
    errors,
    repairs: runs.flatMap((run) => [...run.repairs]),
    complete: runs.every((run) => run.complete),
    exitCode: bad ? 1 : 0,
  };
}
