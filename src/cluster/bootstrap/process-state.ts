import { access, rename, rm } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';

import { MkCiError } from '../../errors.js';
import { signalProcess, type ProcessIdentity } from '../../process.js';
import type { ClusterFolder, ClusterRecord } from '../folder.js';
import type { StateAccess } from '../state-access.js';
import { stateOf, type ClusterFacts } from '../status.js';
import type { ProcessClusters } from './process-clusters.js';

/**
 * State of clusters whose control plane runs as processes of this host: etcd's data and the certificates. Everything the
 * API knows is in it; what pods wrote to their own disks is not, for simulated nodes have none.
 */
export function createProcessState(processes: ProcessClusters): StateAccess {
  return {
    read: async (record, { paths, signal }, act) => {
      await checkHasData(paths, record);
      const facts = await processes.facts(paths);
      return await whileFrozen(etcdProcesses(facts), signal, () => act({ etcd: paths.etcd, pki: paths.pki }));
    },
    replace: async (record, call, fill) => {
      const { paths } = call;
      await checkHasData(paths, record);
      const wasRunning = stateOf(await processes.facts(paths)) !== 'stopped';
      const staged = `${paths.etcd}.restoring`;
      const before = `${paths.etcd}.before`;
      await Promise.all([staged, before].map((path) => rm(path, { recursive: true, force: true })));
      try {
        await fill({ etcd: staged });
      } catch (error) {
        await rm(staged, { recursive: true, force: true });
        throw error;
      }
      if (wasRunning) await processes.stop(record, call);
      await rename(paths.etcd, before);
      await rename(staged, paths.etcd);
      try {
        if (wasRunning) await processes.start(record.spec, call, { ...record, wanted: 'stopped' }, {});
      } catch (error) {
        await processes.stop({ ...record, wanted: 'stopped' }, call);
        await rm(paths.etcd, { recursive: true, force: true });
        await rename(before, paths.etcd);
        throw error;
      }
      await rm(before, { recursive: true, force: true });
    },
  };
}

/**
 * Stops processes by SIGSTOP for as long as `act` takes. What they wrote so far is in the files, as after a crash, and etcd
 * recovers from a crash at any moment: its log is written before its database, and the database replaces no page in use.
 */
export async function whileFrozen<T>(
  processes: readonly ProcessIdentity[],
  signal: AbortSignal,
  act: () => Promise<T>,
): Promise<T> {
  const stopped = processes.filter((process) => signalProcess(process, 'SIGSTOP'));
  try {
    // The signal is delivered when it returns from what it does in the kernel, a write for example.
    if (stopped.length > 0) await delay(5, undefined, { signal });
    return await act();
  } finally {
    for (const process of stopped) signalProcess(process, 'SIGCONT');
  }
}

/** etcd of a running cluster; none when it is stopped, or frozen as a whole and to stay so. */
function etcdProcesses(facts: ClusterFacts): ProcessIdentity[] {
  if (stateOf(facts) === 'paused') return [];
  return (facts.supervisor?.components ?? []).flatMap(({ name, process }) =>
    name === 'etcd' && process !== undefined ? [process] : [],
  );
}

/** @throws {MkCiError} `DRV_UNSUPPORTED` */
async function checkHasData(paths: ClusterFolder, { spec }: ClusterRecord): Promise<void> {
  try {
    await access(paths.etcd);
  } catch (cause) {
    throw new MkCiError('DRV_UNSUPPORTED', {
      message: `driver ${spec.driver} has no snapshots of ${spec.name}`,
      cause,
    });
  }
}
