import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';

import { MkCiError, isMkCiError, messageOf } from '../errors.js';
import { makeFolder } from '../files.js';
import type { Argv } from '../exec.js';
import type { Labels } from '../process.js';
import { summarizeCell } from '../results/accumulate.js';
import type { RunState } from '../results/accumulate-run.js';
import { outputError } from '../results/event-log.js';
import type { ReadEvent, RunEvent } from '../results/events.js';
import { testKey, type RunError, type Status, type TestId } from '../results/model.js';
import type { RunFolder } from '../results/run-folder.js';
import { runAttempt, type AttemptEnd } from './attempt.js';
import type { CellCluster, RunClusters } from './clusters.js';
import { argvOf, nameVariables } from './command-words.js';
import type { Formats } from './output-reader.js';
import type { PlannedCell } from './plan.js';
import { suiteEnvironment } from './suite-environment.js';
import { planFirst, planRerun, type TestDurations } from './tools/select.js';
import { cellStatus, problemsOf, type AttemptProblem } from './verdict.js';

export interface CellDeps {
  readonly runId: string;
  readonly folder: RunFolder;
  /** Relative working folders start here. */
  readonly configFolder: string;
  readonly clusters: RunClusters;
  readonly formats: Formats;
  /** The record so far; `record` keeps it up to date. */
  readonly state: RunState;
  /** @throws {MkCiError} `RUN_OUTPUT` */
  readonly record: (event: RunEvent) => void;
  readonly now: () => Date;
  readonly hostEnv: Readonly<Record<string, string | undefined>>;
  readonly labels: Labels;
  readonly durations: TestDurations;
  readonly signal: AbortSignal;
  readonly graceMs: number;
}

/**
 * Runs one cell to its end: cluster, attempts, reruns of what failed, verdict. Everything that happens goes into the
 * record; nothing but a record that can not be written is thrown.
 *
 * @returns the status recorded
 * @throws {MkCiError} `RUN_OUTPUT`
 */
export async function runCell(cell: PlannedCell, deps: CellDeps): Promise<Status> {
  const startedAt = performance.now();
  deps.record({ type: 'cell-started', at: deps.now().toISOString(), cell: cell.id });
  const end = (status: Status): Status => {
    deps.record({
      type: 'cell-ended',
      at: deps.now().toISOString(),
      cell: cell.id,
      status,
      durationMs: Math.round(performance.now() - startedAt),
    });
    return status;
  };
  const fail = (error: unknown, infrastructure: boolean): Status => {
    if (isMkCiError(error, 'RUN_OUTPUT')) throw error;
    if (deps.signal.aborted) return end('notrun');
    recordError(cell, deps, errorOf(error, infrastructure));
    return end('error');
  };

  let problems: readonly AttemptProblem[];
  let steps: readonly Argv[] | undefined;
  let selection: readonly TestId[] | undefined;
  for (let attempt = 1; ; attempt += 1) {
    let held: CellCluster;
    try {
      held = await deps.clusters.acquire(
        cell.environmentConfig,
        cell.suiteConfig.cluster,
        `${cell.id}.attempt-${attempt}`,
      );
    } catch (error) {
      return fail(error, true);
    }
    let bad = true;
    try {
      const outcome = await runOnce({ cell, deps, attempt, held, steps, selection });
      if (outcome === 'nothing-to-do') {
        bad = false;
        return end('skipped');
      }
      problems = outcome.problems;
      bad = problems.length > 0 || outcome.failed;
    } catch (error) {
      return fail(error, false);
    } finally {
      await held.release(bad);
    }
    if (!bad || deps.signal.aborted || attempt > cell.retries) break;
    if (problems.some(({ code }) => code === 'RUN_SUITE_START')) break;
    const rerun = planRerun(cell, { tests: testsOf(cell, deps), problems, attempt, exists: existsFrom(cell, deps) });
    steps = rerun.steps;
    selection = rerun.selection;
    if (rerun.note !== undefined) {
      deps.record({ type: 'repair', kind: 'rerun', message: rerun.note, cell: cell.id, attempt: attempt + 1 });
    }
  }
  for (const problem of problems) recordError(cell, deps, problem);
  const { tests, packages } = testsOf(cell, deps);
  return end(cellStatus(tests, packages, problems, deps.signal.aborted));
}

interface OnceOptions {
  readonly cell: PlannedCell;
  readonly deps: CellDeps;
  readonly attempt: number;
  readonly held: CellCluster;
  readonly steps: readonly Argv[] | undefined;
  readonly selection: readonly TestId[] | undefined;
}

async function runOnce(
  options: OnceOptions,
): Promise<'nothing-to-do' | { readonly problems: readonly AttemptProblem[]; readonly failed: boolean }> {
  const { cell, deps, attempt, held, selection } = options;
  const suite = cell.suiteConfig;
  const folder = deps.folder.attempt(cell.id, attempt);
  const cwd = resolve(deps.configFolder, suite.workingDirectory);
  const labels = { ...deps.labels, cell: cell.id, cluster: held.cluster.name };
  const rerunFile = selection === undefined ? undefined : join(folder.root, 'rerun.jsonl');
  const env = suiteEnvironment({
    host: deps.hostEnv,
    runId: deps.runId,
    cell,
    attempt,
    cluster: held.cluster,
    artifacts: folder.artifacts,
    extra: suite.env,
    ...(rerunFile === undefined ? {} : { rerunFile }),
    ...(cell.select === undefined ? {} : { select: cell.select }),
  });
  if (rerunFile !== undefined && selection !== undefined) {
    await writeLines(
      rerunFile,
      selection.map((test) => JSON.stringify(test)),
    );
  }

  let steps = options.steps;
  if (steps === undefined) {
    const first = await planFirst(cell, { cwd, env, labels, durations: deps.durations, signal: deps.signal });
    for (const message of first.notes) {
      deps.record({ type: 'repair', kind: 'selection', message, cell: cell.id, attempt });
    }
    if (first.steps === undefined) return 'nothing-to-do';
    steps = first.steps;
  }

  const statuses = new Map<string, Status>();
  const packages = new Map<string, Status>();
  const emit = (event: ReadEvent): void => {
    if (event.type === 'output') return;
    if (event.type === 'test-started') statuses.set(testKey(event.test), 'notrun');
    if (event.type === 'test-ended') statuses.set(testKey(event.test), event.status);
    if (event.type === 'package-ended') packages.set(event.package, event.status);
    deps.record({ ...event, cell: cell.id, attempt });
  };
  deps.record({
    type: 'attempt-started',
    at: deps.now().toISOString(),
    cell: cell.id,
    attempt,
    command: nameVariables(steps[0] ?? argvOf(suite.command)),
    ...(suite.format === 'auto' ? {} : { format: suite.format }),
    folder: folder.relative,
    ...(selection === undefined ? {} : { selection }),
  });
  const patterns = typeof suite.results === 'string' ? [suite.results] : suite.results;
  const end = await runAttempt({
    steps,
    cwd,
    env,
    labels,
    timeoutMs: cell.timeoutMs,
    graceMs: deps.graceMs,
    signal: deps.signal,
    folder,
    format: suite.format,
    ...(patterns === undefined ? {} : { resultPatterns: patterns }),
    ...(selection === undefined ? {} : { selection }),
    formats: deps.formats,
    emit,
  });
  recordAttemptEnd(cell, deps, attempt, end);
  const seen = [...statuses.values()];
  const problems = problemsOf({
    exitCode: end.exitCode,
    signal: end.signal,
    timedOut: end.timedOut,
    aborted: end.aborted || deps.signal.aborted,
    ...(end.startProblem === undefined ? {} : { startProblem: end.startProblem }),
    format: end.format,
    resultPatterns: patterns,
    timeoutMs: cell.timeoutMs,
    lastLines: end.lastLines,
    tests: end.timedOut ? seen.map((status) => (status === 'notrun' ? 'timedout' : status)) : seen,
    packages: [...packages.values()].map((status) => ({ status })),
  });
  const failed = [...seen, ...packages.values()].some((status) => status !== 'passed' && status !== 'skipped');
  return { problems, failed };
}

function recordAttemptEnd(cell: PlannedCell, deps: CellDeps, attempt: number, end: AttemptEnd): void {
  deps.record({
    type: 'attempt-ended',
    at: deps.now().toISOString(),
    cell: cell.id,
    attempt,
    ...(end.format === undefined ? {} : { format: end.format }),
    durationMs: Math.round(end.durationMs),
    ...(end.exitCode === undefined ? {} : { exitCode: end.exitCode }),
    ...(end.signal === undefined ? {} : { signal: end.signal }),
    ...(end.timedOut ? { timedOut: true } : {}),
  });
}

function recordError(cell: PlannedCell, deps: CellDeps, error: Omit<RunError, 'cell' | 'environment'>): void {
  deps.record({
    type: 'error',
    at: deps.now().toISOString(),
    ...error,
    cell: cell.id,
    environment: cell.environment,
  });
}

function errorOf(error: unknown, infrastructure: boolean): Omit<RunError, 'cell' | 'environment'> {
  const known = error instanceof MkCiError ? error : new MkCiError('CLI_INTERNAL', { message: messageOf(error) });
  const { output } = known.details;
  return {
    code: known.code,
    message: known.message,
    advice: known.advice,
    infrastructure: infrastructure || known.code === 'CLI_INTERNAL',
    ...(typeof output === 'string' && output !== '' ? { output } : {}),
  };
}

function testsOf(cell: PlannedCell, deps: CellDeps): ReturnType<typeof summarizeCell> {
  const progress = deps.state.cells.get(cell.id);
  if (progress === undefined) throw new Error(`cell ${cell.id} was never recorded`);
  return summarizeCell(progress.state);
}

function existsFrom(cell: PlannedCell, deps: CellDeps): (path: string) => boolean {
  const cwd = resolve(deps.configFolder, cell.suiteConfig.workingDirectory);
  return (path) => existsSync(resolve(cwd, path));
}

async function writeLines(path: string, lines: readonly string[]): Promise<void> {
  try {
    await makeFolder(dirname(path));
    await writeFile(path, lines.map((line) => `${line}\n`).join(''));
  } catch (error) {
    throw outputError(path, error);
  }
}
