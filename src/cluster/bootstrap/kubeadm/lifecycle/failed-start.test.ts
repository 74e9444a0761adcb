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
    const context: Pick<KubeadmContext, 'log' | 'machines' | 'now' | 'stateFolder' | 'drivers'> = {
      log: silentLogger,
      now: () => new Date(0),
      stateFolder: folder.path,
      drivers: { names: [], get: () => ({ info: {} }) as Driver },
      machines: {
        attach: async () => [],
        stateOf: async () => 'broken' as const,
        operationsOf: () => ({ attach }),
      } as unknown as KubeadmContext['machines'],
    };
    const error = new MkCiError('K8S_START_TIMEOUT', { message: 'a node to be Ready' });
    const call = {
      name: 'c',
      paths: clusterFolder(folder.path, 'c'),
      signal: controller.signal,
      deadline: createDeadline(60_000),
      phases: createPhases('c', undefined),
    };
    expect(await explain(context, error, record, call)).toMatchObject({ code: 'K8S_START_TIMEOUT' });
  });
});
