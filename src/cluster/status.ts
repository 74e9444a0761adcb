import type { ClusterState, ClusterStatus, ComponentStatus } from './cluster.js';
import type { ClusterFolder, ClusterRecord } from './folder.js';
import type { SupervisedComponent, SupervisorState } from './supervisor/state.js';

/** What is known of a cluster of processes at one moment. */
export interface ClusterFacts {
  /** Absent when the folder holds no readable record: a start was interrupted early. */
  readonly record: ClusterRecord | undefined;
  readonly supervisor: SupervisorState | undefined;
  readonly isSupervisorAlive: boolean;
}

/**
 * State of a cluster from what was asked for and what really runs. Pure.
 *
 * `broken` is everything that `start` repairs and nothing else does: a supervisor that was killed, a start that was
 * interrupted, a component that keeps dying.
 */
export function stateOf({ record, supervisor, isSupervisorAlive }: ClusterFacts): ClusterState {
  if (record === undefined) return 'broken';
  if (!isSupervisorAlive || supervisor === undefined) {
    const endedInOrder = supervisor === undefined || supervisor.phase === 'ended';
    return record.wanted === 'stopped' || (endedInOrder && record.wanted !== 'starting') ? 'stopped' : 'broken';
  }
  switch (supervisor.phase) {
    case 'starting':
      return 'starting';
    case 'running':
      if (record.wanted === 'paused') return 'paused';
      return supervisor.components.some(isDown) ? 'broken' : 'running';
    case 'ending':
    case 'ended':
      return 'stopped';
    case 'failed':
      return 'broken';
  }
}

export function statusOf(name: string, paths: ClusterFolder, facts: ClusterFacts): ClusterStatus {
  const { record, supervisor, isSupervisorAlive } = facts;
  const state = stateOf(facts);
  return {
    name,
    driver: record?.spec.driver ?? 'unknown',
    kubernetesVersion: record?.spec.kubernetesVersion ?? 'unknown',
    state,
    ...(record === undefined || record.server === '' ? {} : { server: record.server }),
    kubeconfig: paths.kubeconfig,
    nodes: record?.spec.nodes ?? 0,
    createdAt: record?.createdAt ?? '',
    ...(record?.runId === undefined ? {} : { runId: record.runId }),
    components: (supervisor?.components ?? []).map((component) => componentStatus(component, state, isSupervisorAlive)),
  };
}

function componentStatus(component: SupervisedComponent, state: ClusterState, isSupervised: boolean): ComponentStatus {
  const { name, process, restarts, lastExit } = component;
  const message = lastExit === undefined ? {} : { message: lastExit };
  if (!isSupervised) return { name, state: state === 'stopped' ? 'stopped' : 'failed', restarts, ...message };
  if (process === undefined)
    return { name, state: component.state === 'ended' ? 'stopped' : 'failed', restarts, ...message };
  return { name, state: state === 'paused' ? 'paused' : 'running', pid: process.pid, restarts, ...message };
}

/** It died and its next start is being waited for. */
function isDown({ state }: SupervisedComponent): boolean {
  return state === 'waiting' || state === 'ended';
}
