import { mkdir, rename, rm, rmdir, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

import { MkCiError, isMkCiError, messageOf } from '../../errors.js';
import { makeFolder } from '../../files.js';
import { addRunEvent, createRunState, runResult } from '../../results/accumulate-run.js';
import { openEventLog, outputError, readEventLog } from '../../results/event-log.js';
import { EVENTS_VERSION, type RunEvent } from '../../results/events.js';
import { runFolderAt } from '../../results/run-folder.js';
import { renderProwFinished, renderProwStarted } from '../../results/writers/index.js';
import { exitCodeOf } from '../exit-code.js';
import type { PlannedCell } from '../plan.js';
import { environmentInfo, writeOutput, type EngineRun, type RunOutcome } from '../run.js';
import type { JobApi } from './jobs.js';
import { jobNameOf, renderJob, renderSecret, type Assignment } from './manifest.js';
import { imageProblem, judgeCells, type CellVerdict, type EngineJob, type EnginePod, type TrackedPod } from './pods.js';
import { createReceiver } from './receive.js';

export interface KubernetesRunOptions extends EngineRun {
  readonly api: JobApi;
  readonly namespace: string;
  readonly image: string;
  readonly serviceAccount: string;
  readonly parallelism: number;
  readonly environments: Assignment['environments'];
  readonly filters: Assignment['filters'];
  /** Text of `mk-ci.yaml`, so that the pods plan what was planned here. */
  readonly configText: string;
  readonly ownership: Readonly<Record<string, string>>;
  /** The Job and its pods are gone. Not called when they could not be removed. */
  readonly onRemoved?: () => Promise<void>;
  /** One line for people: a pod started, was lost, is tried again. */
  readonly onNote: (message: string) => void;
  /** @default 500 */
  readonly pollMs?: number;
  /** How long the API may be silent. @default 120000 */
  readonly silenceMs?: number;
}

/** Removing the Job has its own limit: pods get 30 s to end their suites. */
const REMOVE_MS = 120_000;
/** For what pods wrote last, after they are gone. */
const DRAIN_MS = 10_000;

/** @throws {MkCiError} `RUN_ENGINE_CELL` naming the cells that need something else than the cluster the Job runs on */
export function checkCells(cells: readonly PlannedCell[]): void {
  const others = cells.filter(({ environmentConfig }) => environmentConfig.driver !== 'existing');
  if (others.length === 0) return;
  throw new MkCiError('RUN_ENGINE_CELL', {
    message: `${others.map(({ id, environmentConfig }) => `${id} (driver ${environmentConfig.driver})`).join(', ')}; pods work in the cluster that they run on`,
  });
}

/**
 * Runs a plan as one Indexed Job, a pod a cell, and leaves what {@link executeRun} leaves. When this returns or throws, the Job
 * and its pods are gone; results are those that were collected until then.
 *
 * The record of a cell is taken whole, from the one pod that counts for it (see `judgeCells`); what came from others is kept
 * below `lost-pods`.
 *
 * @throws {MkCiError} `RUN_ENGINE_CELL`, `RUN_ENGINE_IMAGE`, `RUN_OUTPUT`, `K8S_API_ERROR`, `NET_UNREACHABLE`
 */
export async function executeOnKubernetes(options: KubernetesRunOptions): Promise<RunOutcome> {
  const { plan, folder, api, runId, now, pollMs = 500 } = options;
  const { cells } = plan;
  checkCells(cells);
  try {
    await makeFolder(folder.root);
  } catch (error) {
    throw outputError(folder.root, error);
  }
  const log = openEventLog(folder.events);
  const state = createRunState();
  const record = (event: RunEvent): void => {
    log.append(event);
    addRunEvent(state, event);
    options.onEvent?.(event);
  };
  const problems: string[] = [];
  const job = jobNameOf(runId);
  const pods = new Map<string, PodWork>();
  const podFolder = (pod: string): string => join(folder.root, 'lost-pods', pod);
  const settled = new Set<number>();
  const listening = new AbortController();

  /** Reads the log of a pod to its end, again from the beginning when the connection is cut. */
  const listen = async (work: PodWork): Promise<void> => {
    const receiver = createReceiver(podFolder(work.pod.name));
    for (let triesAfterEnd = 0; triesAfterEnd < 3 && receiver.end() === undefined;) {
      receiver.begin();
      try {
        for await (const piece of api.followLog(work.pod.name, listening.signal)) await receiver.take(piece);
      } catch (error) {
        if (isMkCiError(error, 'RUN_OUTPUT')) throw error;
        if (listening.signal.aborted) break;
      }
      if (work.isGone || work.pod.phase !== 'Running') triesAfterEnd += 1;
      if (receiver.end() === undefined)
        await delay(pollMs, undefined, { signal: listening.signal }).catch(() => undefined);
    }
    const end = receiver.end();
    problems.push(...(end?.problems ?? []));
    if (end?.error !== undefined) work.failure = `${end.error.message} (${end.error.code}); ${end.error.advice}`;
    work.stream = end?.isWhole === true ? 'whole' : 'lost';
  };

  const see = (found: readonly EnginePod[]): void => {
    for (const pod of found) {
      const known = pods.get(pod.name);
      const work = known ?? { pod, stream: 'none' as const, isGone: false };
      work.pod = pod;
      pods.set(pod.name, work);
      const cell = cells[pod.index];
      if (work.stream !== 'none' || pod.phase === 'Pending' || cell === undefined) continue;
      work.stream = 'open';
      options.onNote(`${cell.id}: pod ${pod.name} on ${pod.node ?? 'some node'}`);
      work.listening = listen(work);
      // Looked at with the next round; it must not end the process before that.
      work.listening.catch((error: unknown) => {
        work.error = outputError(folder.root, error);
      });
    }
    for (const work of pods.values()) {
      if (work.isGone || found.some(({ name }) => name === work.pod.name)) continue;
      work.isGone = true;
      if (work.stream === 'none') work.stream = 'lost';
    }
  };

  /** Takes what a pod sent into the record of the run. @returns whether the end of the cell was in it */
  const adopt = async (cell: PlannedCell, pod: string): Promise<boolean> => {
    let hasEnd = false;
    const from = runFolderAt(podFolder(pod));
    if (await exists(from.events)) {
      for await (const event of readEventLog(from.events)) {
        if (event.type === 'run-started' || event.type === 'run-ended') continue;
        if ('cell' in event && event.cell !== cell.id) continue; // not its own
        record(event);
        hasEnd ||= event.type === 'cell-ended';
      }
    }
    await moveFolder(from.cell(cell.id), folder.cell(cell.id));
    await moveFolder(from.clusters, join(folder.clusters, cell.id));
    await rm(from.root, { recursive: true, force: true });
    return hasEnd;
  };

  const settle = async (index: number, verdict: CellVerdict): Promise<void> => {
    const cell = cells[index];
    if (cell === undefined || settled.has(index) || verdict.kind === 'waiting' || verdict.kind === 'running') return;
    settled.add(index);
    const hasEnd = verdict.pod === undefined || (await adopt(cell, verdict.pod));
    const others = [...pods.values()].filter(({ pod }) => pod.index === index && pod.name !== verdict.pod);
    for (const { pod } of verdict.kind === 'done' ? others : []) {
      const message = `pod ${pod.name}${pod.node === undefined ? '' : ` on ${pod.node}`} was lost (${pod.ended ?? 'gone'}), the cell ran again in another one`;
      record({ type: 'repair', kind: 'pod-lost', message, cell: cell.id, attempt: 1 });
      options.onNote(`${cell.id}: ${message}`);
    }
    if (verdict.kind === 'done') return;
    const at = now().toISOString();
    if (options.signal.aborted) {
      if (!hasEnd) record({ type: 'cell-ended', at, cell: cell.id, status: 'notrun', durationMs: 0 });
      return;
    }
    const why = others
      .concat([...pods.values()].filter(({ pod }) => pod.name === verdict.pod))
      .find(({ failure }) => failure);
    const { message, advice } = new MkCiError('RUN_POD_LOST', { message: why?.failure ?? verdict.why });
    const about = { code: 'RUN_POD_LOST', message, advice, cell: cell.id, environment: cell.environment };
    record({ type: 'error', at, ...about, infrastructure: true });
    record({ type: 'cell-ended', at, cell: cell.id, status: 'error', durationMs: 0 });
  };

  const tracked = (): TrackedPod[] =>
    [...pods.values()].map(({ pod: { waiting: _, ...pod }, stream, isGone }) => ({
      ...pod,
      stream,
      ...(isGone ? { ended: pod.ended ?? 'deleted' } : {}),
    }));
  const settleAll = async (found: EngineJob | undefined): Promise<void> => {
    for (const [index, verdict] of judgeCells(cells.length, tracked(), found).entries()) await settle(index, verdict);
  };

  /** Looks until every cell is settled. */
  const watch = async (): Promise<void> => {
    let heardAt = performance.now();
    while (settled.size < cells.length) {
      await delay(pollMs, undefined, { signal: options.signal });
      const look = await Promise.all([api.readJob(job, options.signal), api.listPods(job, options.signal)]).catch(
        (error: unknown) => {
          options.signal.throwIfAborted();
          if (performance.now() - heardAt > (options.silenceMs ?? 120_000)) throw error;
          return undefined;
        },
      );
      if (look === undefined) continue;
      heardAt = performance.now();
      see(look[1]);
      for (const { error } of pods.values()) if (error !== undefined) throw error;
      const stuck = imageProblem(look[1]);
      if (stuck !== undefined && [...pods.values()].every(({ stream }) => stream === 'none')) {
        throw new MkCiError('RUN_ENGINE_IMAGE', { message: `${options.image}: ${stuck}` });
      }
      await settleAll(look[0]);
    }
  };

  let failure: unknown;
  try {
    record({
      type: 'run-started',
      version: EVENTS_VERSION,
      at: now().toISOString(),
      runId,
      toolVersion: options.toolVersion,
      source: options.source,
      environments: plan.environments.map((environment) => ({ ...environmentInfo(environment), os: 'linux' })),
      cells: cells.map(({ id, environment, suite, shard }) => ({
        id,
        environment,
        suite,
        ...(shard === undefined ? {} : { shard }),
      })),
    });
    await writeOutput(folder.started, renderProwStarted(runResult(state)));
    const assignment: Assignment = {
      version: 1,
      runId,
      cells: cells.map(({ id }) => id),
      environments: options.environments,
      filters: options.filters,
    };
    const jobUid = await api.createJob(renderJob({ ...options, cells }), options.signal);
    options.onNote(`Job ${options.namespace}/${job}`);
    await api.createSecret(renderSecret({ ...options, jobUid, assignment }), options.signal);
    await watch();
  } catch (error) {
    if (!options.signal.aborted || isMkCiError(error, 'RUN_OUTPUT')) failure = error;
  }

  try {
    // Not the run's signal: what was made is removed also when the run is interrupted.
    await api.deleteJob(job, AbortSignal.timeout(REMOVE_MS));
    await options.onRemoved?.();
    for (const work of pods.values()) work.isGone = true;
  } catch (error) {
    problems.push(
      `Job ${options.namespace}/${job} could not be removed: ${messageOf(error)}; mk-ci gc --yes tries again`,
    );
  }
  const open = [...pods.values()].flatMap((work) => work.listening ?? []);
  await Promise.race([Promise.allSettled(open), delay(DRAIN_MS, undefined, { ref: false })]);
  listening.abort();
  await Promise.allSettled(open);
  if (failure !== undefined) {
    log.close();
    throw failure instanceof Error ? failure : new MkCiError('CLI_INTERNAL', { message: messageOf(failure) });
  }
  await settleAll(undefined);
  // Empty unless a pod was lost.
  await rmdir(join(folder.root, 'lost-pods')).catch(() => undefined);

  const signalName = options.interruptedBy();
  const exitCode = exitCodeOf(runResult(state), { signalName, failOnFlaky: options.failOnFlaky });
  record({ type: 'run-ended', at: now().toISOString(), exitCode });
  log.close();
  const result = runResult(state);
  await writeOutput(folder.finished, renderProwFinished(result));
  return { result, exitCode, keptClusters: [], problems: [...new Set(problems)] };
}

/** A pod, and what this side does with it. */
interface PodWork {
  pod: EnginePod;
  stream: TrackedPod['stream'];
  isGone: boolean;
  listening?: Promise<void>;
  /** What the pod itself said of its failure. */
  failure?: string;
  /** Of this side: its disk is full. */
  error?: MkCiError;
}

async function moveFolder(from: string, to: string): Promise<void> {
  if (!(await exists(from))) return;
  try {
    await mkdir(dirname(to), { recursive: true });
    await rename(from, to);
  } catch (error) {
    throw outputError(to, error);
  }
}

async function exists(path: string): Promise<boolean> {
  return await stat(path).then(
    () => true,
    () => false,
  );
}
