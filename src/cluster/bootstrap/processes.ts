import { cp, readFile, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

import { MkCiError, hostErrorOf, systemErrorCode } from '../../errors.js';
import { writeFileAtomically, makeFolder } from '../../files.js';
import { formatIdentity, isAlive, type ProcessIdentity } from '../../process.js';
import { createCertificateClient, type ApiClient } from '../api-client.js';
import type { Bundle } from '../bundle/bundle.js';
import type { ClusterFolder, ClusterPorts } from '../folder.js';
import { renderKubeconfig } from '../kubeconfig.js';
import { ownershipLabels, type Ownership } from '../ownership.js';
import type { Deadline, Phases } from '../phases.js';
import { clusterPkiFiles, createClusterPki, type CertificateFiles } from '../pki.js';
import { waitForDefaults, waitForNodes, waitForReadyz, type ReadinessOptions } from '../readiness.js';
import type { ClusterSeed } from '../state-access.js';
import type { SupervisorPlan } from '../supervisor/plan.js';
import type { SupervisorState } from '../supervisor/state.js';
import {
  LOOPBACK,
  SERVER_ADDRESSES,
  SERVER_NAMES,
  componentKubeconfig,
  kwokConfig,
  planControlPlane,
} from './component-plans.js';
import { DISK_FULL_FAILURE, codeOfFailure, recogniseFailure, type KnownFailure } from './known-failures.js';
import { renderKwokStages } from './kwok-stages.js';
import { fakeNode } from './nodes.js';
import { launchSupervisor, readLogTail, readSupervisorState } from './supervisor-control.js';

export interface ControlPlaneOptions {
  readonly name: string;
  readonly nodes: number;
  readonly paths: ClusterFolder;
  readonly ports: ClusterPorts;
  readonly bundle: Pick<Bundle, 'path'>;
  readonly ownership: Ownership;
  /** The cluster ends with this process. */
  readonly isTied: boolean;
  readonly supervisorEntry: string;
  readonly extraFlags?: Readonly<Record<string, readonly string[]>>;
  readonly signal: AbortSignal;
  readonly deadline: Deadline;
  readonly phases: Phases;
}

const LOG_BYTES = 64 * 1024 * 1024;
/** Pause between two looks at the supervisor's state. */
const LOOK_MS = 25;

export function serverOf(ports: ClusterPorts): string {
  return `https://${LOOPBACK}:${ports.apiServer}`;
}

/**
 * Makes what a control plane needs before its first process: certificates, or a copy of the seed, and folders. Does nothing
 * for what is there.
 *
 * @throws {MkCiError} `HOST_DISK_FULL`, `HOST_PERMISSION`
 */
export async function prepareClusterFolder(
  paths: ClusterFolder,
  { now, seed, signal }: { readonly now: Date; readonly seed?: ClusterSeed; readonly signal: AbortSignal },
): Promise<void> {
  try {
    for (const folder of [paths.folder, paths.logs, paths.run]) await makeFolder(folder, { mode: 0o700 });
    if ((await seed?.copyTo({ etcd: paths.etcd, pki: paths.pki })) === true) await seed?.check(signal);
    await readFile(clusterPkiFiles(paths.pki).ca.certificate).catch(async (error: unknown) => {
      if (systemErrorCode(error) !== 'ENOENT') throw error;
      await createClusterPki({
        folder: paths.pki,
        serverNames: [...SERVER_NAMES],
        serverAddresses: [...SERVER_ADDRESSES],
        now,
      });
    });
  } catch (error) {
    throw hostErrorOf(error, paths.folder) ?? error;
  }
}

/**
 * Renders everything that depends on ports and paths, starts the supervisor and hands back its identity. What was rendered
 * for an earlier start is replaced.
 */
export async function startComponents(options: ControlPlaneOptions): Promise<ProcessIdentity> {
  const { name, nodes, paths, ports, bundle, ownership, deadline } = options;
  const pki = clusterPkiFiles(paths.pki);
  const server = serverOf(ports);
  const components = planControlPlane({
    paths,
    pki,
    ports,
    bundle,
    hasNodes: nodes > 0,
    ownership,
    ...(options.extraFlags === undefined ? {} : { extraFlags: options.extraFlags }),
  });
  const plan: SupervisorPlan = {
    version: 1,
    components,
    stateFile: paths.supervisorState,
    logsFolder: paths.logs,
    logBytes: LOG_BYTES,
    readyTimeoutMs: Math.round(deadline.leftMs(0.8)),
  };
  const ca = await readFile(pki.ca.certificate, 'utf8');
  const kubeconfig = async (path: string, files: CertificateFiles): Promise<void> => {
    const [certificate, key] = await Promise.all([readFile(files.certificate, 'utf8'), readFile(files.key, 'utf8')]);
    await writeFileAtomically(path, renderKubeconfig({ name, server, ca, certificate, key }), { mode: 0o600 });
  };
  await makeFolder(paths.run, { mode: 0o700 });
  await Promise.all([
    kubeconfig(paths.kubeconfig, pki.admin),
    kubeconfig(componentKubeconfig(paths, 'kube-controller-manager'), pki.controllerManager),
    kubeconfig(componentKubeconfig(paths, 'kube-scheduler'), pki.scheduler),
    ...(nodes > 0
      ? [
          kubeconfig(componentKubeconfig(paths, 'kwok'), pki.kwok),
          writeFileAtomically(kwokConfig(paths), renderKwokStages()),
        ]
      : []),
    writeFileAtomically(paths.plan, JSON.stringify(plan), { mode: 0o600 }),
  ]);
  return await launchSupervisor({
    paths,
    labels: ownershipLabels({ ...ownership, role: 'supervisor' }),
    isTied: options.isTied,
    entry: options.supervisorEntry,
  });
}

/** Client with the cluster's own administrator certificate. */
export async function adminClient(paths: ClusterFolder, server: string): Promise<ApiClient> {
  const pki = clusterPkiFiles(paths.pki);
  return await createCertificateClient(server, { ca: pki.ca.certificate, ...pki.admin });
}

/**
 * Follows a start until pods can be created and run.
 *
 * @throws {MkCiError} `K8S_COMPONENT_FAILED` with the component's own last lines; `K8S_START_TIMEOUT` with what was seen last
 */
export async function followStart(options: ControlPlaneOptions, supervisor: ProcessIdentity): Promise<void> {
  const { paths, nodes, signal, deadline, phases } = options;
  using client = await adminClient(paths, serverOf(options.ports));
  const told = new Set<string>();
  const look = async (): Promise<SupervisorState | undefined> => {
    const state = await readSupervisorState(paths);
    if (state !== undefined && formatIdentity(state.supervisor) === formatIdentity(supervisor)) {
      tellComponents(state, told, phases);
      if (state.failure !== undefined) throw await failureOf(paths, state);
    }
    if (!isAlive(supervisor)) throw await supervisorEnded(paths);
    return state;
  };
  const check = async (): Promise<void> => {
    await look();
  };
  const ready = (share?: number): ReadinessOptions => ({ signal, deadlineMs: deadline.leftMs(share), check });

  await waitForApiServer(look, options);
  await phases.run('readyz', async () => {
    await waitForReadyz(client, ready());
  });
  const names = Array.from({ length: nodes }, (_, index) => fakeNode(index).metadata.name);
  await Promise.all([
    phases.run('default-serviceaccount', async () => {
      await waitForDefaults(client, ready());
    }),
    createNodes(client, nodes, signal),
  ]);
  if (nodes > 0) {
    await phases.run('nodes', async () => {
      await waitForNodes(client, names, ready());
    });
  }
  for (let state = await look(); state?.phase !== 'running'; state = await look()) {
    if (deadline.leftMs() <= 1) throw await timedOut(paths, state, deadline);
    await delay(LOOK_MS, undefined, { signal });
  }
}

async function waitForApiServer(
  look: () => Promise<SupervisorState | undefined>,
  { paths, signal, deadline }: ControlPlaneOptions,
): Promise<void> {
  for (;;) {
    const state = await look();
    if (state?.components.some(({ name, state }) => name === 'kube-apiserver' && state === 'ready') === true) return;
    if (deadline.leftMs() <= 1) throw await timedOut(paths, state, deadline);
    await delay(LOOK_MS, undefined, { signal });
  }
}

async function createNodes(client: ApiClient, count: number, signal: AbortSignal): Promise<void> {
  await Promise.all(
    Array.from({ length: count }, async (_, index) => {
      const answer = await client.request('POST', '/api/v1/nodes', {
        signal,
        body: fakeNode(index),
        timeoutMs: 30_000,
      });
      // 409: it is there, from before a stop or from a seed.
      if (answer.status !== 201 && answer.status !== 409) {
        throw new MkCiError('K8S_API_ERROR', {
          message: `creating node-${index}: HTTP ${answer.status}`,
          details: { output: answer.body.slice(0, 2000) },
        });
      }
    }),
  );
}

/** Phases of the components come from the supervisor: what happened between two looks is told with its real duration. */
function tellComponents(state: SupervisorState, told: Set<string>, phases: Phases): void {
  for (const { name, state: at, readyAfterMs } of state.components) {
    if (at !== 'waiting' && !told.has(name)) {
      told.add(name);
      phases.started(name);
    }
    if (readyAfterMs !== undefined && !told.has(`${name} ready`)) {
      told.add(`${name} ready`);
      phases.ended(name, readyAfterMs);
    }
  }
  const { failure } = state;
  if (failure !== undefined && !told.has('failure')) {
    told.add('failure');
    phases.ended(failure.component, 0, failure.seen);
  }
}

async function failureOf(paths: ClusterFolder, state: SupervisorState): Promise<MkCiError> {
  const { component, kind, seen } = state.failure ?? { component: 'supervisor', kind: 'exited', seen: '' };
  // A Go panic says the reason first and its stack after it.
  const tail = await readLogTail(paths, component, 100);
  const known = await explain(paths, tail);
  const panic = tail.findIndex((line) => line.startsWith('panic: '));
  const lines =
    known?.kind === 'disk-full'
      ? tail.filter((line) => known.pattern.test(line)).slice(0, 2)
      : panic === -1
        ? tail.slice(-15)
        : tail.slice(Math.max(0, panic - 2), panic + 13);
  const where = known?.kind === 'disk-full' ? `${paths.folder}: ` : '';
  return new MkCiError(codeOfFailure(known, kind === 'exited' ? 'K8S_COMPONENT_FAILED' : 'K8S_START_TIMEOUT'), {
    message: kind === 'exited' ? `${where}${component} (${seen})` : `${where}${component}; seen last: ${seen}`,
    ...(known === undefined ? {} : { advice: known.advice }),
    details: { component, known: known?.kind, output: lines.join('\n') },
  });
}

async function timedOut(
  paths: ClusterFolder,
  state: SupervisorState | undefined,
  { totalMs }: Deadline,
): Promise<MkCiError> {
  const waiting = state?.components.find((component) => component.state !== 'ready');
  const lines = await readLogTail(paths, waiting?.name ?? 'supervisor', 15);
  return new MkCiError('K8S_START_TIMEOUT', {
    message: `${(totalMs / 1000).toFixed(1)} s were not enough; seen last: ${waiting?.name ?? 'supervisor'} ${waiting?.state ?? 'not started'}`,
    details: { component: waiting?.name, output: lines.join('\n') },
  });
}

/** Bytes below which a component can not work. */
const LEAST_FREE_BYTES = 1024 * 1024;

async function explain(paths: ClusterFolder, lines: readonly string[]): Promise<KnownFailure | undefined> {
  const known = recogniseFailure(lines);
  if (known !== undefined) return known;
  const room = await statfs(paths.folder).catch(() => undefined);
  return room !== undefined && room.bavail * room.bsize < LEAST_FREE_BYTES ? DISK_FULL_FAILURE : undefined;
}

async function supervisorEnded(paths: ClusterFolder): Promise<MkCiError> {
  const lines = await readLogTail(paths, 'supervisor', 15);
  const known = await explain(paths, lines);
  return new MkCiError(codeOfFailure(known, 'K8S_COMPONENT_FAILED'), {
    message: 'the supervisor of the components ended',
    ...(known === undefined ? {} : { advice: known.advice }),
    details: { component: 'supervisor', known: known?.kind, output: lines.join('\n') },
  });
}

/** Where a failed start put the logs. */
export async function keepLogs(paths: ClusterFolder, target: string): Promise<void> {
  await makeFolder(target, { mode: 0o700 });
  await cp(paths.logs, join(target, 'logs'), { recursive: true });
}
