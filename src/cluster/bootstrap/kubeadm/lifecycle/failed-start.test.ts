import { describe, expect, it } from 'vitest';

import type { Driver, Machine } from '../../../../drivers/driver.js';
import { MkCiError } from '../../../../errors.js';
import { createTemporaryFolder } from '../../../../files.js';
import { silentLogger } from '../../../../log.js';
import { clusterFolder, type ClusterRecord } from '../../../folder.js';
import { createDeadline, createPhases } from '../../../phases.js';
import { planMachines } from '../machines/cluster-machines.js';
import type { KubeadmContext } from '../context.js';
import { explain } from './failed-start.js';

const spec = { name: 'c', driver: 'docker', kubernetesVersion: 'v1.36.3', nodes: 1 };
const record: ClusterRecord = {
  ...{ version: 1, spec, createdAt: '', wanted: 'starting', server: '', binaries: '' },
  machines: planMachines(spec),
};

/** What a start has that failed. */
function failedStart(folder: string, machines: object, signal: AbortSignal) {
  const context: Pick<KubeadmContext, 'log' | 'machines' | 'now' | 'stateFolder' | 'drivers'> = {
    log: silentLogger,
    now: () => new Date(0),
    stateFolder: folder,
    drivers: { names: [], get: () => ({ info: {} }) as Driver },
    machines: { stateOf: async () => 'broken' as const, ...machines } as unknown as KubeadmContext['machines'],
  };
  const call = {
    name: 'c',
    paths: clusterFolder(folder, 'c'),
    signal,
    deadline: createDeadline(60_000),
    phases: createPhases('c', undefined),
  };
  return { context, call };
}

describe('a start that failed', () => {
  it('is explained at once when an interrupt comes while its logs are gathered', async () => {
    await using folder = await createTemporaryFolder();
    const controller = new AbortController();
    /** A node that never answers. */
    const attach = async (_name: string, signal: AbortSignal): Promise<Machine> =>
      await new Promise((_, reject) => {
        signal.addEventListener('abort', () => {
          reject(new DOMException('ended', 'AbortError'));
        });
        controller.abort();
      });
    const machines = { attach: async () => [], operationsOf: () => ({ attach }) };
    const { context, call } = failedStart(folder.path, machines, controller.signal);
    const error = new MkCiError('K8S_START_TIMEOUT', { message: 'a node to be Ready' });
    expect(await explain(context, error, record, call)).toMatchObject({ code: 'K8S_START_TIMEOUT' });
  });

  it.each([
    [
      'what failed says so',
      'no space left on device: /var',
      'OCI runtime exec failed: exit status 255',
      'HOST_DISK_FULL',
    ],
    ['the engine says so', '', 'write /run/runc/x: no space left on device', 'HOST_DISK_FULL'],
    ['nobody says so', 'connection refused', 'OCI runtime exec failed: exit status 255', 'HOST_COMMAND_FAILED'],
  ])('is for want of room where nodes can not be asked and %s', async (_, output, refusal, code) => {
    await using folder = await createTemporaryFolder();
    const attach = async (): Promise<never> => await Promise.reject(new Error(refusal));
    const machines = { attach, operationsOf: () => ({ attach }) };
    const { context, call } = failedStart(folder.path, machines, AbortSignal.timeout(60_000));
    const error = new MkCiError('HOST_COMMAND_FAILED', { message: 'docker exec', details: { output } });
    expect(await explain(context, error, record, call)).toMatchObject({ code });
  });
});
