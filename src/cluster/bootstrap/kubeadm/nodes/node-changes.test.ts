import { join } from 'node:path';

import { describe, expect, it } from 'vitest';

import type { Machine } from '../../../../drivers/driver.js';
import type { MachineOperations } from '../../../../drivers/index.js';
import { createTemporaryFolder } from '../../../../files.js';
import { clusterFolder, type ClusterRecord } from '../../../folder.js';
import { createJournal } from '../../../journal.js';
import { createDeadline, createPhases } from '../../../phases.js';
import { planMachines } from '../machines/cluster-machines.js';
import { planControlPlanes } from '../machines/control-planes.js';
import { addNodes } from './node-changes.js';

const ENDED = {
  ...{ exitCode: 0, signal: undefined, timedOut: false, aborted: false, leftChildren: false, durationMs: 0 },
  stderr: '',
};

const machineOf = (name: string, exec: Machine['exec']): Machine => ({
  ...{ name, internalAddress: '', exec },
  copyTo: async () => undefined,
  copyFrom: async () => undefined,
  endpoint: async () => ({ host: '', port: 0 }),
});

describe('a control plane that could not be added', () => {
  it('leaves etcd while its machine lives, also when the deadline has passed', async () => {
    await using folder = await createTemporaryFolder();
    const spec = {
      ...{ name: 'c', driver: 'docker', kubernetesVersion: 'v1.36.3', nodes: 1 },
      options: { controlPlanes: 1 },
    };
    const machines = planMachines(spec);
    const record: ClusterRecord = {
      ...{ version: 1, spec, createdAt: '', wanted: 'running', server: '', binaries: '' },
      machines,
    };
    const paths = clusterFolder(folder.path, 'c');
    const journal = createJournal({ folder: join(folder.path, 'journal') });
    const done: string[] = [];
    const first = machineOf('c-control-plane', async (argv, { input, timeoutMs = 0 } = {}) => {
      const what = /member\/\w+|delete node/.exec(String(input))?.[0] ?? '';
      // A command has no time to end in less.
      done.push(timeoutMs > 1000 ? what : `${what} in ${timeoutMs} ms`);
      const members = [{ ID: '7', peerURLs: ['https://10.99.0.12:2380'] }];
      return { ...ENDED, argv, stdout: JSON.stringify({ members }) };
    });
    const second = machineOf('c-control-plane-2', async () => {
      throw new Error('no answer');
    });
    const operations: Pick<MachineOperations, 'create' | 'remove'> = {
      create: async () => second,
      remove: async (name) => {
        done.push(`remove ${name}`);
      },
    };
    const call = {
      ...{ name: 'c', paths, phases: createPhases('c', undefined) },
      signal: new AbortController().signal,
      deadline: createDeadline(0),
    };
    const [entry] = machines;
    if (entry === undefined) throw new Error('a cluster has a control plane');
    const change = {
      ...{ record, call, journal, operations, balancer: undefined },
      nodes: [{ machine: first, record: entry }],
      ownership: { cluster: 'c', folder: paths.folder },
    };
    const wanted = { image: 'node', pinned: undefined, planned: planControlPlanes(record, 1), size: {} };
    await expect(addNodes(change, wanted)).rejects.toThrow('no answer');
    expect(done).toEqual(['member/list', 'member/remove', 'remove c-control-plane-2', 'delete node']);
    expect((await journal.list()).entries).toEqual([]);
  });
});
