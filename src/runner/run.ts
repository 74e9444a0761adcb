import type { ClusterSource } from '../cluster/cluster.js';
import type { Environment } from '../config/index.js';
import { MkCiError, isMkCiError, messageOf } from '../errors.js';
import { writeFileAtomically, makeFolder } from '../files.js';
import type { Labels } from '../process.js';
import { addRunEvent, createRunState, runResult } from '../results/accumulate-run.js';
import { openEventLog, outputError, type EventLog } from '../results/event-log.js';
import { EVENTS_VERSION, type RunEvent } from '../results/events.js';
import type { EnvironmentInfo, RunResult, SourceInfo } from '../results/model.js';
import type { RunFolder } from '../results/run-folder.js';
import { renderProwFinished, renderProwStarted } from '../results/writers/index.js';
import type { Candidate, Limits, Load } from './admission.js';
import { runCell } from './cell.js';
import { createRunClusters, type KeepClusters } from './clusters.js';
import { exitCodeOf } from './exit-code.js';
import type { Formats } from './output-reader.js';
import type { PlannedCell, RunPlan } from './plan.js';
import { schedule } from './schedule.js';
import type { TestDurations } from './tools/select.js';

export interface RunOptions {
  readonly plan: RunPlan;
  readonly runId: string;
  readonly toolVersion: string;
  readonly title?: string;
  readonly source: SourceInfo;
  readonly folder: RunFolder;
  /** Relative working folders of suites start here. */
  readonly configFolder: string;
  readonly clusters: ClusterSource;
  readonly clusterLoad: (environment: Environment) => Load;
  readonly limits: Limits;
  readonly formats: Formats;
  readonly hostEnv: Readonly<Record<string, string | undefined>>;
  /** On everything that suites start. */
  readonly labels: Labels;
  readonly keep: KeepClusters;
  readonly failOnFlaky: boolean;
  /** Aborted by the first interrupt. */
  readonly signal: AbortSignal;
  /** Signal that interrupted the run, asked at its end. */
  readonly interruptedBy: () => NodeJS.Signals | undefined;
  /** For the times in the record: one that nobody can set, see `steadyClock`. Durations and limits do not depend on it. */
  readonly now: () => Date;
  readonly durations?: TestDurations;
  /** Sees every event after it was recorded. */
  readonly onEvent?: (event: RunEvent) => void;
  /** From SIGTERM to SIGKILL for suites. @default 5000 */
  readonly graceMs?: number;
}

/** What is told of a run to whatever runs its cells: this host, or pods. */
export type EngineRun = Pick<
  RunOptions,
  | 'plan'
  | 'runId'
  | 'toolVersion'
  | 'source'
  | 'folder'
  | 'failOnFlaky'
  | 'signal'
  | 'interruptedBy'
  | 'now'
  | 'onEvent'
>;

export interface RunOutcome {
  readonly result: RunResult;
  readonly exitCode: number;
  readonly keptClusters: readonly { readonly name: string; readonly kubeconfig: string }[];
  /** Clusters that could not be removed, or whose logs could not be saved. */
  readonly problems: readonly string[];
}

/**
 * Runs a plan to its end, whatever happens in it: suites and clusters that fail are results. When this returns, suites
 * have ended, clusters are gone (unless kept), `events.jsonl` and `finished.json` are complete.
 *
 * @throws {MkCiError} `RUN_OUTPUT` when the run folder can not be written; suites have ended and clusters are gone then too
 */
export async function executeRun(options: RunOptions): Promise<RunOutcome> {
  const { plan, folder, now } = options;
  try {
    await makeFolder(folder.root);
  } catch (error) {
    throw outputError(folder.root, error);
  }
  const log = openEventLog(folder.events);
  const broken = new AbortController();
  const signal = AbortSignal.any([options.signal, broken.signal]);
  const state = createRunState();
  let failure: MkCiError | undefined;
  const record = (event: RunEvent): void => {
    if (failure !== undefined) throw failure;
    try {
      log.append(event);
    } catch (error) {
      failure = outputError(folder.events, error);
      broken.abort(failure);
      throw failure;
    }
    addRunEvent(state, event);
    options.onEvent?.(event);
  };
  const problems: string[] = [];

  const clusters = createRunClusters({
    source: options.clusters,
    folder,
    signal,
    keep: options.keep,
    onPhase: (environment, phase) => {
      const common = { at: now().toISOString(), scope: `cluster:${phase.cluster}`, environment, name: phase.name };
      // A phase that can not be recorded any more: the cells stop for the same reason and say so.
      if (failure !== undefined) return;
      if (phase.state === 'started') record({ type: 'phase-started', ...common });
      else {
        record({
          type: 'phase-ended',
          ...common,
          durationMs: Math.round(phase.durationMs ?? 0),
          status: phase.state,
          ...(phase.message === undefined ? {} : { message: phase.message }),
        });
      }
    },
    onProblem: (environment, message) => {
      problems.push(`${environment}: ${message}`);
    },
  });

  try {
    record({
      type: 'run-started',
      version: EVENTS_VERSION,
      at: now().toISOString(),
      runId: options.runId,
      toolVersion: options.toolVersion,
      ...(options.title === undefined ? {} : { title: options.title }),
      source: options.source,
      environments: plan.environments.map(environmentInfo),
      cells: plan.cells.map(({ id, environment, suite, shard }) => ({
        id,
        environment,
        suite,
        ...(shard === undefined ? {} : { shard }),
      })),
    });
    await writeOutput(folder.started, renderProwStarted(runResult(state)));
    await schedule(
      plan.cells.map((cell) => candidateOf(cell, options.clusterLoad)),
      {
        limits: options.limits,
        signal,
        run: async ({ cell }) => {
          await runCell(cell, {
            runId: options.runId,
            folder,
            configFolder: options.configFolder,
            clusters,
            formats: options.formats,
            state,
            record,
            now,
            hostEnv: options.hostEnv,
            labels: options.labels,
            durations: options.durations ?? (() => undefined),
            signal,
            graceMs: options.graceMs ?? 5000,
          });
        },
        onClusterUnused: async ({ cell }) => {
          if (cell.suiteConfig.cluster === 'shared') await clusters.finish(cell.environment);
        },
      },
    );
  } catch (error) {
    failure ??= isMkCiError(error) ? error : new MkCiError('CLI_INTERNAL', { message: messageOf(error), cause: error });
  }

  await clusters.finishAll();
  try {
    await options.clusters[Symbol.asyncDispose]();
  } catch (error) {
    problems.push(`clusters could not be removed: ${messageOf(error)}`);
  }
  if (failure !== undefined) {
    closeQuietly(log);
    throw failure;
  }

  const exitCode = exitCodeOf(runResult(state), {
    signalName: options.interruptedBy(),
    failOnFlaky: options.failOnFlaky,
  });
  record({ type: 'run-ended', at: now().toISOString(), exitCode });
  log.close();
  const result = runResult(state);
  await writeOutput(folder.finished, renderProwFinished(result));
  return { result, exitCode, keptClusters: clusters.kept, problems };
}

function candidateOf(
  cell: PlannedCell,
  clusterLoad: (environment: Environment) => Load,
): Candidate & { readonly cell: PlannedCell } {
  const { suiteConfig: suite, environmentConfig: environment } = cell;
  return {
    id: cell.id,
    cell,
    load: { cpus: suite.cpus, memoryMiB: suite.memoryMiB },
    exclusive: suite.exclusive,
    cluster: {
      key: suite.cluster === 'shared' ? `shared ${cell.environment}` : `fresh ${cell.id}`,
      load: clusterLoad(environment),
    },
  };
}

export function environmentInfo(environment: Environment): EnvironmentInfo {
  return {
    name: environment.name,
    driver: environment.driver,
    ...(environment.containerRuntime === undefined ? {} : { containerRuntime: environment.containerRuntime }),
    kubernetesVersion: environment.kubernetesVersion,
    nodes: environment.nodes,
    os: process.platform,
    architecture: process.arch,
  };
}

/** A file of the run folder, whole or not at all. @throws {MkCiError} `RUN_OUTPUT` */
export async function writeOutput(path: string, text: string): Promise<void> {
  try {
    await writeFileAtomically(path, text);
  } catch (error) {
    throw outputError(path, error instanceof MkCiError ? error.cause : error);
  }
}

function closeQuietly(log: EventLog): void {
  try {
    log.close();
  } catch {
    // The failure that is about to be thrown came first and says more.
  }
}
