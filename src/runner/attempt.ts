import { open, type FileHandle, realpath } from 'node:fs/promises';
import type { Readable } from 'node:stream';

import { MkCiError } from '../errors.js';
import { makeFolder } from '../files.js';
import { lastLines, startProcess, type Argv, type ProcessEnd } from '../exec.js';
import type { Labels } from '../process.js';
import { outputError } from '../results/event-log.js';
import type { TestId } from '../results/model.js';
import { plural } from '../results/text.js';
import type { Emit, Format } from '../results/reader.js';
import type { AttemptFolder } from '../results/run-folder.js';
import { endLabelledProcesses } from './leftovers.js';
import { expandVariables } from './command-words.js';
import { createOutputReader, type Formats } from './output-reader.js';
import { readResultFiles } from './result-files.js';
import { createSelectionFilter } from './selected-events.js';

export interface AttemptSpec {
  /** Commands run one after the other, their outputs joined; the first is the suite's own, or what a rerun needs. */
  readonly steps: readonly Argv[];
  readonly cwd: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Found on everything the suite starts, as long as it keeps its environment. */
  readonly labels: Labels;
  /** For all steps together. */
  readonly timeoutMs: number;
  /** From SIGTERM to SIGKILL. */
  readonly graceMs: number;
  readonly signal: AbortSignal;
  readonly folder: AttemptFolder;
  readonly format: Format | 'auto';
  /** Files read in place of standard output, as globs below the artifacts folder. */
  readonly resultPatterns?: readonly string[];
  /** What a rerun asked for; results of other tests that were only skipped are dropped. */
  readonly selection?: readonly TestId[];
  readonly formats: Formats;
  readonly emit: Emit;
}

export interface AttemptEnd {
  readonly exitCode: number | undefined;
  readonly signal: string | undefined;
  readonly timedOut: boolean;
  readonly aborted: boolean;
  readonly durationMs: number;
  readonly format: Format | undefined;
  /** The command could not be started: why. */
  readonly startProblem: string | undefined;
  /** Last lines of standard error, else of standard output; at most 20. */
  readonly lastLines: readonly string[];
}

/**
 * Runs the command of a suite once: standard output and error go byte for byte to files, and are read while they are
 * written, at the pace of the disk and with bounded memory. Nothing the suite started is left when this returns.
 *
 * @throws {MkCiError} `RUN_OUTPUT` when the files can not be written; the suite is ended first
 */
export async function runAttempt(spec: AttemptSpec): Promise<AttemptEnd> {
  const startedAt = performance.now();
  const filter = spec.selection === undefined ? undefined : createSelectionFilter(spec.selection, spec.emit);
  const emit = filter?.emit ?? spec.emit;
  // Tools resolve links before they name their files.
  const baseFolder = await realpath(spec.cwd).catch(() => spec.cwd);
  const reader = await createOutputReader({ formats: spec.formats, format: spec.format, emit, baseFolder });
  const readsStdout = spec.resultPatterns === undefined;
  await using files = await openFiles(spec.folder);
  const stdoutTail = createTail();
  const stderrTail = createTail();
  let end: ProcessEnd | undefined;
  let exitCode: number | undefined = 0;
  let startProblem: string | undefined;

  for (const argv of spec.steps) {
    const leftMs = Math.max(1, spec.timeoutMs - (performance.now() - startedAt));
    try {
      end = await runStep(argv, spec, leftMs, {
        stdout: async (piece) => {
          await append(files.stdout, spec.folder.stdout, piece);
          stdoutTail.add(piece);
          if (readsStdout) await reader.write(piece);
        },
        stderr: async (piece) => {
          await append(files.stderr, spec.folder.stderr, piece);
          stderrTail.add(piece);
        },
      });
    } catch (error) {
      if (!(error instanceof MkCiError) || !['HOST_MISSING_TOOL', 'HOST_COMMAND_FAILED'].includes(error.code))
        throw error;
      startProblem = error.message;
      exitCode = undefined;
      break;
    }
    if (end.exitCode !== 0) exitCode = exitCode === 0 ? end.exitCode : exitCode;
    if (end.leftChildren) {
      emit({
        type: 'repair',
        kind: 'left-children',
        message: 'children outlived the command of the suite and were ended',
      });
    }
    if (end.timedOut || end.aborted || end.signal !== undefined) break;
  }

  const left = await endLabelledProcesses(spec.labels);
  if (left.length > 0) {
    const names = left.slice(0, 5).map((process) => `${process.pid} ${process.command.slice(0, 80)}`);
    const message = `the suite left ${plural(left.length, 'process', 'processes')} running, ended then: ${names.join(', ')}${left.length > 5 ? ' …' : ''}`;
    emit({ type: 'repair', kind: 'left-processes', message, count: left.length });
  }

  const timedOut = end?.timedOut === true;
  if (readsStdout) await reader.end({ timedOut });
  let { format } = reader;
  if (reader.resultCount === 0 && startProblem === undefined) {
    const read = await readResultFiles({
      folder: spec.folder.artifacts,
      ...(spec.resultPatterns === undefined ? {} : { patterns: spec.resultPatterns }),
      format: spec.format,
      formats: spec.formats,
      emit,
      timedOut,
      baseFolder,
    });
    format = read[0]?.format ?? format;
  }
  filter?.end();

  const stderrLines = lastLines(stderrTail.text(), 20);
  const lines = stderrLines.length > 0 ? stderrLines : lastLines(stdoutTail.text(), 20);
  return {
    exitCode: end?.signal === undefined ? exitCode : undefined,
    signal: end?.signal,
    timedOut,
    aborted: end?.aborted === true,
    durationMs: performance.now() - startedAt,
    format,
    startProblem: startProblem ?? shellProblem(spec.steps, exitCode, reader.resultCount, lines),
    lastLines: lines,
  };
}

async function runStep(
  argv: Argv,
  spec: AttemptSpec,
  timeoutMs: number,
  take: Record<'stdout' | 'stderr', (piece: Buffer) => Promise<void>>,
): Promise<ProcessEnd> {
  const running = await startProcess(expandVariables(argv, spec.env), {
    cwd: spec.cwd,
    env: spec.env,
    labels: spec.labels,
    signal: spec.signal,
    timeoutMs,
    graceMs: spec.graceMs,
  });
  const pump = async (stream: Readable, name: 'stdout' | 'stderr'): Promise<void> => {
    try {
      for await (const piece of stream as AsyncIterable<Buffer>) await take[name](piece);
    } catch (error) {
      await running.end();
      throw error;
    }
  };
  const pumps = await Promise.allSettled([pump(running.stdout, 'stdout'), pump(running.stderr, 'stderr')]);
  const end = await running.ended;
  for (const pumped of pumps) if (pumped.status === 'rejected') throw pumped.reason;
  return end;
}

/** A shell says by 126 and 127 that it could not start what it was told to. */
function shellProblem(
  steps: readonly Argv[],
  exitCode: number | undefined,
  resultCount: number,
  lines: readonly string[],
): string | undefined {
  const isShell = steps.length === 1 && steps[0]?.[0] === '/bin/sh';
  if (!isShell || resultCount > 0 || (exitCode !== 126 && exitCode !== 127)) return undefined;
  return lines.at(-1) ?? `the shell exited ${exitCode}`;
}

interface AttemptFiles extends AsyncDisposable {
  readonly stdout: FileHandle;
  readonly stderr: FileHandle;
}

async function openFiles(folder: AttemptFolder): Promise<AttemptFiles> {
  try {
    await makeFolder(folder.artifacts);
    const stdout = await open(folder.stdout, 'a');
    const stderr = await open(folder.stderr, 'a');
    return {
      stdout,
      stderr,
      [Symbol.asyncDispose]: async () => {
        await stdout.close();
        await stderr.close();
      },
    };
  } catch (error) {
    throw outputError(folder.root, error);
  }
}

async function append(file: FileHandle, path: string, piece: Uint8Array): Promise<void> {
  try {
    await file.appendFile(piece);
  } catch (error) {
    throw outputError(path, error);
  }
}

const TAIL_BYTES = 16 * 1024;

/** The end of a stream. */
function createTail(): { add: (piece: Buffer) => void; text: () => string } {
  let tail = Buffer.alloc(0);
  return {
    add: (piece) => {
      tail = Buffer.concat([tail, piece.subarray(-TAIL_BYTES)]).subarray(-TAIL_BYTES);
    },
    text: () => tail.toString('utf8'),
  };
}
