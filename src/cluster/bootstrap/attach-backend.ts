import { rm } from 'node:fs/promises';

import { MkCiError, hostErrorOf } from '../../errors.js';
import { writeFileAtomically } from '../../files.js';
import type { ClusterBackend } from '../backend.js';
import { writeClusterRecord, type ClusterRecord } from '../folder.js';
import { saveClusterLogs } from '../logs.js';
import { statusOf } from '../status.js';
import { attachOptions, attachToCluster, isReachable, kubeconfigClient } from './attach.js';

/** Clusters of somebody else: only our own notes of them are made and removed. */
export function createAttachBackend({
  env,
  now,
}: {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly now: () => Date;
}): ClusterBackend {
  const refuse = (name: string, verb: string): never => {
    throw new MkCiError('DRV_UNSUPPORTED', {
      message: `${name} is attached to, not made by mk-ci: it can not be ${verb}`,
      advice: 'Use the tool that made the cluster.',
    });
  };
  return {
    startMs: 120_000,
    validate: (spec) => {
      attachOptions(spec, env);
    },
    start: async (spec, { paths, phases, signal }, have) => {
      const found = await phases.run(
        'attach',
        async () => await attachToCluster({ ...attachOptions(spec, env), signal }),
      );
      const record: ClusterRecord = {
        version: 1,
        spec,
        createdAt: have?.createdAt ?? now().toISOString(),
        wanted: 'running',
        server: found.server,
        binaries: have?.binaries ?? '',
      };
      await writeFileAtomically(paths.kubeconfig, found.kubeconfig, { mode: 0o600 });
      await writeClusterRecord(paths, record);
      return record;
    },
    stop: async (record) => refuse(record.spec.name, 'stopped'),
    pause: async (record) => refuse(record.spec.name, 'paused'),
    unpause: async (record) => refuse(record.spec.name, 'unpaused'),
    remove: async (_record, { paths }) => {
      await rm(paths.folder, { recursive: true, force: true, maxRetries: 3 }).catch((error: unknown) => {
        throw hostErrorOf(error, paths.folder) ?? error;
      });
    },
    status: async (name, paths, record, signal) => {
      const isUp = await isReachable(paths.kubeconfig, AbortSignal.any([signal, AbortSignal.timeout(5000)]));
      const facts = { record, supervisor: undefined, isSupervisorAlive: false };
      return { ...statusOf(name, paths, facts), state: isUp ? 'running' : 'broken' };
    },
    saveLogs: async (request) => {
      using client = request.record === undefined ? undefined : await kubeconfigClient(request.paths.kubeconfig);
      await saveClusterLogs({ ...request, ...(client === undefined ? {} : { client }) });
    },
  };
}
