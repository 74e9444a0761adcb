import type { ClusterBackend } from '../backend.js';
import { saveClusterLogs } from '../logs.js';
import { stateOf, statusOf } from '../status.js';
import { createProcessState } from './process-state.js';
import { createProcessClusters, extraFlagsOf, type ProcessClustersOptions } from './process-clusters.js';
import { adminClient } from './processes.js';

/** Clusters whose control plane is processes of this host, as the manager uses them. */
export function createProcessBackend(options: ProcessClustersOptions): ClusterBackend {
  const processes = createProcessClusters(options);
  return {
    startMs: 120_000,
    validate: (spec) => {
      extraFlagsOf(spec);
    },
    state: createProcessState(processes),
    start: async (spec, call, have, startOptions) => await processes.start(spec, call, have, startOptions),
    stop: async (record, call) => {
      await processes.stop(record, call);
    },
    pause: async (record, call) => {
      await processes.pause(record, call);
    },
    unpause: async (record, call) => await processes.unpause(record, call),
    remove: async (record, call) => {
      await processes.remove(record, call);
    },
    status: async (name, paths) => statusOf(name, paths, await processes.facts(paths)),
    saveLogs: async (request) => {
      const { record, paths } = request;
      // A paused API server takes connections and never answers: it is not asked.
      const isUp = record !== undefined && stateOf(await processes.facts(paths)) === 'running';
      using client = isUp ? await adminClient(paths, record.server) : undefined;
      await saveClusterLogs({ ...request, ...(client === undefined ? {} : { client }) });
    },
  };
}
