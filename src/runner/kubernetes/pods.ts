import { z } from 'zod';

/** A pod of the Job as the API shows it. */
export interface EnginePod {
  readonly name: string;
  readonly uid: string;
  /** Completion index: place of its cell in the assignment. */
  readonly index: number;
  readonly createdAt: string;
  readonly phase: string;
  readonly node?: string;
  /** Why its container does not run yet, such as `ErrImagePull`. */
  readonly waiting?: { readonly reason: string; readonly message: string };
  /** Why it ended or is ending, in few words. */
  readonly ended?: string;
}

/** The Job as the API shows it. */
export interface EngineJob {
  readonly uid: string;
  /** Indexes that will get no further pod. */
  readonly failedIndexes: readonly number[];
  /** Its end, such as `DeadlineExceeded`. */
  readonly failed?: string;
}

/** A pod and what has come of it. */
export interface TrackedPod extends Omit<EnginePod, 'waiting'> {
  /** `whole`: it sent everything. `lost`: it will send nothing more. */
  readonly stream: 'none' | 'open' | 'whole' | 'lost';
}

export type CellVerdict =
  | { readonly kind: 'waiting' }
  | { readonly kind: 'running' }
  /** This pod's results count, and no other's. */
  | { readonly kind: 'done'; readonly pod: string }
  /** No pod ran it to the end, and none will. The latest that sent anything may tell how far it came. */
  | { readonly kind: 'lost'; readonly why: string; readonly pod?: string };

/**
 * What is known of each cell. Pure.
 *
 * Exactly one pod counts for a cell, the first that was made and sent everything, so a cell whose pod was replaced is neither
 * lost nor counted twice, in whichever order things are seen.
 *
 * @param job `undefined` once it is gone
 */
export function judgeCells(count: number, pods: readonly TrackedPod[], job: EngineJob | undefined): CellVerdict[] {
  const inOrder = [...pods].sort((a, b) => compare(a.createdAt, b.createdAt) || compare(a.name, b.name));
  return Array.from({ length: count }, (_, index): CellVerdict => {
    const mine = inOrder.filter((pod) => pod.index === index);
    const whole = mine.find(({ stream }) => stream === 'whole');
    if (whole !== undefined) return { kind: 'done', pod: whole.name };
    if (mine.some(({ stream }) => stream === 'open')) return { kind: 'running' };
    // A pod that has not been listened to yet may still have everything to say.
    if (mine.some(({ stream, phase }) => stream === 'none' && phase !== 'Pending')) return { kind: 'running' };
    const last = mine.at(-1);
    const over = job === undefined || job.failed !== undefined || job.failedIndexes.includes(index);
    const succeeded = last?.phase === 'Succeeded';
    if (!over && !succeeded) return { kind: 'waiting' };
    const why = job === undefined ? 'the Job was deleted' : (job.failed ?? reasonOf(last, mine.length));
    const told = mine.findLast(({ stream }) => stream === 'lost');
    return { kind: 'lost', why, ...(told === undefined ? {} : { pod: told.name }) };
  });
}

function reasonOf(last: TrackedPod | undefined, tries: number): string {
  if (last === undefined) return 'no pod was made for it';
  if (last.phase === 'Succeeded') return `the log of pod ${last.name} can not be read to its end`;
  return `${tries === 1 ? '' : `${tries} pods; the last, `}${last.name}${last.node === undefined ? '' : ` on ${last.node}`}: ${last.ended ?? 'gone'}`;
}

/** Reasons that waiting does not cure. `ImagePullBackOff` is said after more than one try. */
const HOPELESS = [
  'ErrImageNeverPull',
  'ImagePullBackOff',
  'InvalidImageName',
  'CreateContainerError',
  'RunContainerError',
];

/** Why pods can not start at all, in the words of the kubelet. Pure. */
export function imageProblem(pods: readonly EnginePod[]): string | undefined {
  const stuck = pods.find(({ waiting }) => waiting !== undefined && HOPELESS.includes(waiting.reason));
  return stuck?.waiting === undefined ? undefined : `${stuck.waiting.reason}: ${stuck.waiting.message.slice(0, 500)}`;
}

/** `1,3-5,7` of a Job's status. @see {@link https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/job-v1/#JobStatus} */
export function parseIndexes(text: string | undefined): number[] {
  return (text ?? '').split(',').flatMap((part) => {
    const match = /^(\d{1,6})(?:-(\d{1,6}))?$/.exec(part);
    if (match === null) return [];
    const from = Number(match[1]);
    const to = Number(match[2] ?? match[1]);
    return Array.from({ length: Math.max(0, to - from + 1) }, (_, at) => from + at);
  });
}

const podList = z.object({
  items: z.array(
    z.object({
      metadata: z.object({
        name: z.string(),
        uid: z.string(),
        creationTimestamp: z.string(),
        deletionTimestamp: z.string().optional(),
        annotations: z.record(z.string(), z.string()).default({}),
      }),
      spec: z.object({ nodeName: z.string().optional() }).default({}),
      status: z
        .object({
          phase: z.string().default('Pending'),
          reason: z.string().optional(),
          containerStatuses: z
            .array(
              z.object({
                state: z.object({
                  waiting: z.object({ reason: z.string().default(''), message: z.string().default('') }).optional(),
                  terminated: z.object({ exitCode: z.number(), reason: z.string().default('') }).optional(),
                }),
              }),
            )
            .default([]),
        })
        .default({ phase: 'Pending', containerStatuses: [] }),
    }),
  ),
});

/** Pods of a list as the API answers it. @throws {ZodError} for something else */
export function readPods(list: unknown): EnginePod[] {
  return podList.parse(list).items.map(({ metadata, spec, status }) => {
    const { waiting, terminated } = status.containerStatuses[0]?.state ?? {};
    const ended =
      status.reason ??
      (terminated === undefined ? undefined : `${terminated.reason} with exit code ${terminated.exitCode}`) ??
      (metadata.deletionTimestamp === undefined ? undefined : 'deleted');
    return {
      name: metadata.name,
      uid: metadata.uid,
      index: Number(metadata.annotations['batch.kubernetes.io/job-completion-index'] ?? -1),
      createdAt: metadata.creationTimestamp,
      phase: status.phase,
      ...(spec.nodeName === undefined ? {} : { node: spec.nodeName }),
      ...(waiting === undefined ? {} : { waiting }),
      ...(ended === undefined ? {} : { ended }),
    };
  });
}

const jobObject = z.object({
  metadata: z.object({ uid: z.string(), deletionTimestamp: z.string().optional() }),
  status: z
    .object({
      failedIndexes: z.string().optional(),
      conditions: z
        .array(z.object({ type: z.string(), status: z.string(), reason: z.string().default('') }))
        .default([]),
    })
    .default({ conditions: [] }),
});

/** @throws {ZodError} for something else than a Job */
export function readJob(object: unknown): EngineJob {
  const { metadata, status } = jobObject.parse(object);
  // A Job fails too when some of its indexes do: that is said for each of them.
  const failed = status.conditions.find(
    ({ type, status: is, reason }) => type === 'Failed' && is === 'True' && reason !== 'FailedIndexes',
  );
  const why = metadata.deletionTimestamp === undefined ? failed?.reason : 'the Job is being deleted';
  return {
    uid: metadata.uid,
    failedIndexes: parseIndexes(status.failedIndexes),
    ...(why === undefined ? {} : { failed: why }),
  };
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
