import { z } from 'zod';

import { MkCiError } from '../../errors.js';
import type { PlanFilters, PlannedCell } from '../plan.js';
import type { EnvironmentFilter } from '../../config/index.js';

const names = z.exactOptional(z.array(z.string()).readonly());
const assignmentSchema = z.object({
  version: z.literal(1),
  runId: z.string(),
  /** The pod of completion index i runs the i-th cell. */
  cells: z.array(z.string()).readonly(),
  environments: z.object({
    drivers: names,
    containerRuntimes: names,
    kubernetesVersions: names,
    environments: names,
  }) satisfies z.ZodType<EnvironmentFilter>,
  filters: z.object({
    retries: z.exactOptional(z.int()),
    timeoutMs: z.exactOptional(z.number()),
    select: z.exactOptional(z.string()),
  }) satisfies z.ZodType<PlanFilters>,
});

/** What a pod is told: enough to plan the run as the machine did that started it, and to take its cell out of it. */
export type Assignment = z.infer<typeof assignmentSchema>;

/** @throws {MkCiError} `CLI_USAGE` for one of another version of mk-ci */
export function parseAssignment(text: string): Assignment {
  try {
    return assignmentSchema.parse(JSON.parse(text));
  } catch (error) {
    throw new MkCiError('CLI_USAGE', {
      message: 'the assignment of the pod can not be read',
      advice: 'The image of the pods must hold the mk-ci that starts the run.',
      cause: error,
    });
  }
}

export interface EngineJobOptions {
  readonly runId: string;
  readonly namespace: string;
  readonly image: string;
  readonly serviceAccount: string;
  readonly cells: readonly PlannedCell[];
  /** Pods at a time. */
  readonly parallelism: number;
  /** Who made it, for `gc` and for people, as annotations: values are not restricted as those of labels are. */
  readonly ownership: Readonly<Record<string, string>>;
}

export const ENGINE_LABELS = {
  'app.kubernetes.io/managed-by': 'mk-ci',
  'app.kubernetes.io/component': 'engine',
} as const;
const RUN_LABEL = 'mk-ci.run';
/** A cell is tried again in a new pod when its pod was lost: so often. Failed tests are not a lost pod. */
export const POD_RETRIES = 2;
const MARGIN_MS = 15 * 60_000;
const MAX_SECONDS = 24 * 3600;
const TTL_SECONDS = 3600;
const ASSIGNMENT_FOLDER = '/etc/mk-ci/engine';

export function jobNameOf(runId: string): string {
  return `mk-ci-${runId.toLowerCase().replaceAll(/[^a-z0-9-]/g, '-')}`.slice(0, 52);
}

export function labelsOf(runId: string): Record<string, string> {
  return { ...ENGINE_LABELS, [RUN_LABEL]: runId };
}

/**
 * The Job of a run: one completion index a cell. Pure.
 *
 * A pod succeeds when it ran its cell to the end and sent everything, whatever the tests said; so only pods that were lost
 * are replaced, and only once the old one has really ended.
 *
 * @see {@link https://kubernetes.io/docs/concepts/workloads/controllers/job/} for indexes, their own back-off limit, pod replacement
 */
export function renderJob(options: EngineJobOptions): object {
  const { runId, namespace, image, serviceAccount, cells, parallelism, ownership } = options;
  const metadata = { labels: labelsOf(runId), annotations: { ...ownership } };
  const name = jobNameOf(runId);
  return {
    apiVersion: 'batch/v1',
    kind: 'Job',
    metadata: { ...metadata, name, namespace },
    spec: {
      completionMode: 'Indexed',
      completions: cells.length,
      parallelism: Math.max(1, Math.min(parallelism, cells.length)),
      backoffLimitPerIndex: POD_RETRIES,
      podReplacementPolicy: 'Failed',
      // A run that nobody watches any more ends all the same, and its Job goes away.
      activeDeadlineSeconds: Math.min(MAX_SECONDS, Math.ceil(sum(cells.map(limitOf)) / 1000)),
      ttlSecondsAfterFinished: TTL_SECONDS,
      template: {
        metadata,
        spec: {
          restartPolicy: 'Never',
          serviceAccountName: serviceAccount,
          // The first process reaps what suites leave.
          shareProcessNamespace: true,
          enableServiceLinks: false,
          terminationGracePeriodSeconds: 30,
          containers: [
            {
              name: CONTAINER,
              image,
              command: ['mk-ci', 'engine-pod', ASSIGNMENT_FOLDER],
              env: [{ name: 'MK_CI_HOME', value: '/tmp/mk-ci' }],
              resources: requestsOf(cells),
              volumeMounts: [{ name: 'assignment', mountPath: ASSIGNMENT_FOLDER, readOnly: true }],
            },
          ],
          volumes: [{ name: 'assignment', secret: { secretName: name } }],
        },
      },
    },
  };
}

export const CONTAINER = 'cell';
/** Files of the assignment. */
export const ASSIGNMENT_FILE = 'assignment.json';
export const CONFIG_FILE = 'mk-ci.yaml';

/**
 * What the pods read, a Secret since the environment of a suite may hold one. It belongs to the Job and goes with it; it is
 * made after it, so that none is ever left alone.
 */
export function renderSecret(options: {
  readonly runId: string;
  readonly namespace: string;
  readonly jobUid: string;
  readonly assignment: Assignment;
  readonly configText: string;
}): object {
  const { runId, namespace, jobUid, assignment, configText } = options;
  const name = jobNameOf(runId);
  return {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: {
      name,
      namespace,
      labels: labelsOf(runId),
      ownerReferences: [{ apiVersion: 'batch/v1', kind: 'Job', name, uid: jobUid, controller: false }],
    },
    immutable: true,
    stringData: { [ASSIGNMENT_FILE]: JSON.stringify(assignment), [CONFIG_FILE]: configText },
  };
}

/** All pods are of one kind: each gets what the largest suite needs. */
function requestsOf(cells: readonly PlannedCell[]): object {
  const cpus = Math.max(...cells.map(({ suiteConfig }) => suiteConfig.cpus));
  const memoryMiB = Math.max(...cells.map(({ suiteConfig }) => suiteConfig.memoryMiB));
  // Processors are shared when they are short; memory is not.
  return { requests: { cpu: `${Math.ceil(cpus * 100)}m`, memory: `${memoryMiB}Mi` } };
}

function limitOf({ timeoutMs, retries }: PlannedCell): number {
  return (timeoutMs * (retries + 1) + MARGIN_MS) * (POD_RETRIES + 1);
}

function sum(values: readonly number[]): number {
  return values.reduce((a, b) => a + b, 0);
}
