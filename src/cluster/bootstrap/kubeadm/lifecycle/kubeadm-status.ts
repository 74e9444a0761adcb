import { isMkCiError } from '../../../../errors.js';
import type { MachineState, MachineSummary } from '../../../../drivers/index.js';
import type { ClusterState, ClusterStatus, ComponentStatus } from '../../../cluster.js';
import type { ClusterFolder, ClusterRecord } from '../../../folder.js';
import { NO_VERSION, hasKubernetes } from '../../../without-kubernetes.js';
import { kubeadmClient } from '../nodes/cluster-nodes.js';

interface StatusInput {
  readonly name: string;
  readonly paths: ClusterFolder;
  readonly record: ClusterRecord | undefined;
  readonly machines: readonly MachineSummary[];
  /** Container runtimes of the nodes that run, where there is no Kubernetes that could tell. */
  readonly runtimes: readonly ComponentStatus[];
  readonly state: ClusterState;
  readonly signal: AbortSignal;
}

const ASK_MS = 3000;

/** Machines, runtimes, and what the API says of the pods of `kube-system`. A cluster that runs and does not answer is broken. */
export async function kubeadmStatus({
  name,
  paths,
  record,
  machines,
  runtimes,
  state,
  signal,
}: StatusInput): Promise<ClusterStatus> {
  const nodes = (record?.machines ?? []).map(({ name: machine, node, isBalancer }): ComponentStatus => {
    const found = machines.find((item) => item.name === machine)?.state;
    return { name: isBalancer === true ? node : `node ${node}`, restarts: 0, ...machineStatus(machine, found, record) };
  });
  const isBare = record !== undefined && !hasKubernetes(record.spec);
  const pods =
    state === 'running' && record !== undefined && !isBare ? await readPods(paths, record.server, signal) : undefined;
  const isWhole = isBare ? runtimes.every((runtime) => runtime.state === 'running') : pods !== undefined;
  return {
    name,
    driver: record?.spec.driver ?? 'unknown',
    kubernetesVersion: isBare ? NO_VERSION : (record?.spec.kubernetesVersion ?? 'unknown'),
    state: state === 'running' && !isWhole ? 'broken' : state,
    ...(record === undefined || record.server === '' ? {} : { server: record.server }),
    kubeconfig: paths.kubeconfig,
    nodes: (record?.machines ?? []).filter(({ isBalancer }) => isBalancer !== true).length,
    createdAt: record?.createdAt ?? '',
    ...(record?.runId === undefined ? {} : { runId: record.runId }),
    components: [...nodes, ...runtimes, ...(pods ?? [])],
  };
}

/** @param found `undefined` when there is no such machine */
export function machineStatus(
  machine: string,
  found: MachineState | undefined,
  record: Pick<ClusterRecord, 'wanted'> | undefined,
): Pick<ComponentStatus, 'state' | 'message'> {
  if (found === undefined) return { state: 'failed', message: `${machine} is gone` };
  if (found === 'broken') return { state: 'failed', message: machine };
  if (found === 'stopped' && record?.wanted !== 'stopped') {
    return { state: 'failed', message: `${machine} ended, and nobody stopped it; mk-ci cluster start starts it again` };
  }
  return { state: found, message: machine };
}

async function readPods(
  paths: ClusterFolder,
  server: string,
  signal: AbortSignal,
): Promise<ComponentStatus[] | undefined> {
  try {
    using client = await kubeadmClient(paths, server);
    const answer = await client.request('GET', '/api/v1/namespaces/kube-system/pods', { signal, timeoutMs: ASK_MS });
    return answer.status === 200 ? podComponents(JSON.parse(answer.body)) : undefined;
  } catch (error) {
    if (isMkCiError(error, 'NET_UNREACHABLE')) return undefined;
    throw error;
  }
}

interface PodList {
  readonly items: readonly {
    readonly metadata: { readonly name: string };
    readonly status?: {
      readonly phase?: string;
      readonly initContainerStatuses?: readonly ContainerStatus[];
      readonly containerStatuses?: readonly ContainerStatus[];
    };
  }[];
}

interface ContainerStatus {
  readonly ready: boolean;
  readonly restartCount: number;
  readonly state?: {
    readonly waiting?: { readonly reason?: string };
    readonly terminated?: { readonly reason?: string };
  };
}

/** What a container waits for before its first process; every other reason is one against it. */
const BEFORE_ITS_START = new Set(['ContainerCreating', 'PodInitializing']);

/** @param list of pods as the API has it. Pure. */
export function podComponents(list: unknown): ComponentStatus[] {
  return (list as PodList).items.map(({ metadata, status }) => {
    const containers = status?.containerStatuses ?? [];
    return {
      name: metadata.name,
      restarts: containers.reduce((sum, { restartCount }) => sum + restartCount, 0),
      ...podState(status?.phase ?? 'Pending', containers, status?.initContainerStatuses ?? []),
    };
  });
}

/** @param first containers that have to end well before the others start */
function podState(
  phase: string,
  containers: readonly ContainerStatus[],
  first: readonly ContainerStatus[],
): Pick<ComponentStatus, 'state' | 'message'> {
  if (phase === 'Succeeded') return { state: 'stopped', message: phase };
  if (containers.length > 0 && containers.every(({ ready }) => ready)) return { state: 'running' };
  const reasons = [
    ...first.flatMap(({ state }) => state?.waiting?.reason ?? []),
    ...containers.flatMap(({ state }) => state?.waiting?.reason ?? state?.terminated?.reason ?? []),
  ];
  const failure = reasons.find((reason) => !BEFORE_ITS_START.has(reason)) ?? (phase === 'Failed' ? phase : undefined);
  if (failure !== undefined) return { state: 'failed', message: failure };
  return { state: 'starting', message: reasons[0] ?? (phase === 'Running' ? 'not ready yet' : phase) };
}
