import { relative, resolve, sep } from 'node:path';

import { isMkCiError, MkCiError } from '../../errors.js';
import {
  addReadEvent,
  addRepair,
  checkConservation,
  createCellState,
  isBad,
  summarizeCell,
  type CellResult,
  type Format,
  type ReadEvent,
  type RunResult,
} from '../../results/index.js';
import { findInputs, readInput, type FoundInput } from '../../results/input/index.js';
import type { Background } from './background.js';
import { readAttemptLog } from './attempt-log.js';
import { cellIdOf, cellOfInput, joinParts, titleOfInputs } from './cell-of-input.js';
import {
  summaryOfCells,
  summaryOfError,
  totalOfInputs,
  type InputSummary,
  type ReportSummary,
} from './input-summary.js';
import type { LogSink, OpenOutput } from './outputs.js';
import { keepHeapSteady } from './steady-heap.js';

export interface ReadReportOptions {
  /** As given on the command line: files, folders, globs, `-`. */
  readonly inputs: readonly string[];
  readonly format?: Format | undefined;
  /** Name of the environment of foreign files. */
  readonly environment: string;
  readonly title?: string | undefined;
  readonly outputs: readonly OpenOutput[];
  readonly stdin: AsyncIterable<Uint8Array>;
  readonly signal: AbortSignal;
  readonly toolVersion: string;
  readonly runId: string;
  readonly now: Date;
  /** Told of all that is read, after unpacking, in bytes. What it throws ends the reading of every input. */
  readonly onBytes?: (count: number) => void;
  /** What the run is set against; asked once the run is known and before the outputs are finished. */
  readonly background?: (run: RunResult) => Promise<Background>;
  /** Told of each input that could not be read, besides the error that is thrown. */
  readonly onError: (path: string, error: MkCiError) => void;
}

export interface ReportRead {
  readonly run: RunResult;
  readonly background: Background;
  readonly summary: ReportSummary;
  /** Of the inputs that could not be read, in their order. */
  readonly errors: readonly MkCiError[];
  /** A test, package or run did not pass. */
  readonly hasFailed: boolean;
}

/**
 * Reads all inputs into one run, gives their logs to the outputs while it reads and lets the outputs finish.
 *
 * @throws {MkCiError} the error of an input when none could be read; errors of the outputs
 */
export async function readReport(options: ReadReportOptions): Promise<ReportRead> {
  keepHeapSteady();
  const now = options.now.toISOString();
  const inputs: InputSummary[] = [];
  const failures: { readonly path: string; readonly error: MkCiError }[] = [];
  const runs: RunResult[] = [];
  const cells: CellResult[] = [];
  const fail = (path: string, error: MkCiError): void => {
    failures.push({ path, error });
    inputs.push(summaryOfError(path, error));
  };
  const taken = new Set<string>();
  let refusal: unknown;
  const onBytes = (count: number): void => {
    try {
      options.onBytes?.(count);
    } catch (error) {
      refusal = error;
      throw error;
    }
  };
  for (const found of await findInputs(options.inputs, { stdin: options.stdin })) {
    if ('error' in found) {
      fail(found.path, found.error);
      continue;
    }
    try {
      const read = await readOne(found, taken, now, { ...options, onBytes });
      inputs.push(read.summary);
      runs.push(...read.runs);
      cells.push(...read.cells);
    } catch (error) {
      if (error === refusal || !(error instanceof MkCiError) || !isInputError(error)) throw error;
      // In a folder lies what it likes; only what was named must be readable.
      if (found.isOptional && (error.code === 'RES_UNKNOWN_FORMAT' || error.code === 'RES_EMPTY')) continue;
      fail(found.path, error);
    }
  }
  const hasRead = inputs.length > failures.length;
  // The first one is thrown when nothing could be read: once is enough.
  for (const { path, error } of hasRead ? failures : failures.slice(1)) options.onError(path, error);
  if (!hasRead) {
    throw (
      failures[0]?.error ?? new MkCiError('CLI_NO_INPUT', { message: `no test output in ${options.inputs.join(', ')}` })
    );
  }
  const { runId, toolVersion } = options;
  // A run knows what it is called; files have their names only.
  const title = options.title ?? (runs.length > 0 ? undefined : titleOfInputs(options.inputs, cells.length));
  const run = joinParts({ runId, toolVersion, title, now, runs, cells });
  const background = (await options.background?.(run)) ?? {};
  for (const output of options.outputs) await output.finish(run, background);
  return {
    run,
    background,
    summary: { inputs, total: totalOfInputs(inputs) },
    errors: failures.map(({ error }) => error),
    hasFailed: hasFailed(run),
  };
}

interface InputParts {
  readonly summary: InputSummary;
  readonly runs: readonly RunResult[];
  readonly cells: readonly CellResult[];
}

async function readOne(
  found: FoundInput,
  taken: Set<string>,
  now: string,
  options: ReadReportOptions,
): Promise<InputParts> {
  const id = cellIdOf(found.path, taken);
  const state = createCellState();
  const logs = new OpenLogs(options.outputs, { cell: id, attempt: 1 });
  const read = await readInput(found.open(), {
    ...(found.isRun ? { format: 'mk-ci' as const } : { format: options.format }),
    signal: options.signal,
    ...(options.onBytes === undefined ? {} : { onBytes: options.onBytes }),
    emit: (event) => {
      addReadEvent(state, event);
      logs.add(event);
    },
    drain: () => logs.drain(),
  });
  if (read.run !== undefined) {
    if (found.isRun) for (const cell of read.run.cells) await readLogs(found.path, cell, options);
    return {
      summary: summaryOfCells(found.path, read.format, read.run.cells, read.run.repairs),
      runs: [read.run],
      cells: [],
    };
  }
  await logs.end();
  taken.add(id);
  const summary = summarizeCell(state);
  const conservation = checkConservation(state, summary.tests);
  if (!conservation.holds) {
    addRepair(state, {
      kind: 'conservation',
      message: `${String(conservation.started)} attempts were started, the results do not add up to it`,
    });
  }
  const repairs = conservation.holds ? summary.repairs : summarizeCell(state).repairs;
  const { environment } = options;
  const cell = cellOfInput({ id, environment, format: read.format, summary, repairs, now });
  return { summary: summaryOfCells(found.path, read.format, [cell], []), runs: [], cells: [cell] };
}

/** Logs of one attempt, one in each output that shows logs; opened with the first event. */
class OpenLogs {
  readonly #outputs: readonly OpenOutput[];
  readonly #source: { readonly cell: string; readonly attempt: number };
  #sinks: readonly LogSink[] | undefined;

  constructor(outputs: readonly OpenOutput[], source: { readonly cell: string; readonly attempt: number }) {
    this.#outputs = outputs;
    this.#source = source;
  }

  add(event: ReadEvent): void {
    this.#sinks ??= this.#outputs.flatMap((output) => (output.log === undefined ? [] : [output.log(this.#source)]));
    for (const sink of this.#sinks) sink.add(event);
  }

  async drain(): Promise<void> {
    for (const sink of this.#sinks ?? []) await sink.drain();
  }

  async end(): Promise<void> {
    for (const sink of this.#sinks ?? []) await sink.end();
  }
}

/** Reads the logs that a run folder keeps once more, for the outputs that show them. */
async function readLogs(root: string, cell: CellResult, options: ReadReportOptions): Promise<void> {
  if (!options.outputs.some((output) => output.log !== undefined)) return;
  for (const { attempt, folder, format } of cell.attempts) {
    if (folder === undefined) continue;
    const path = resolve(root, folder);
    // The record is a file like any other: it must not lead out of its folder.
    const inside = relative(resolve(root), path);
    if (inside.startsWith(`..${sep}`) || inside === '..') continue;
    const logs = new OpenLogs(options.outputs, { cell: cell.id, attempt });
    await readAttemptLog(path, {
      format,
      add: (event) => {
        logs.add(event);
      },
      drain: () => logs.drain(),
      signal: options.signal,
    });
    await logs.end();
  }
}

function isInputError(error: unknown): boolean {
  return (
    isMkCiError(error) &&
    (error.code.startsWith('RES_') || error.code === 'CLI_NO_INPUT' || error.code === 'HOST_PERMISSION')
  );
}

function hasFailed(run: RunResult): boolean {
  return (
    run.errors.length > 0 ||
    run.cells.some(
      (cell) =>
        isBad(cell.status) ||
        cell.tests.some((test) => isBad(test.status)) ||
        cell.packages.some((pkg) => isBad(pkg.status)),
    )
  );
}
