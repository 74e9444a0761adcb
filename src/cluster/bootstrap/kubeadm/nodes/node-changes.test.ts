import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';

import { describe, expect, it } from 'vitest';

import type { Machine } from '../../../../drivers/driver.js';
import { createTemporaryFolder } from '../../../../files.js';
import { clusterFolder, readClusterRecord, type ClusterRecord } from '../../../folder.js';
import { createJournal } from '../../../journal.js';
import { createDeadline, createPhases } from '../../../phases.js';
import { planMachines } from '../machines/cluster-machines.js';
import { planControlPlanes } from '../machines/control-planes.js';
import { addNodes, deleteNode, planWorkers, type NodeChange } from './node-changes.js';

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

interface Rig extends AsyncDisposable {
  readonly change: NodeChange;
  readonly record: ClusterRecord;
  /** What was asked of the first control plane and of the driver, in order. */
  readonly done: string[];
}

/** A cluster of two nodes, one more control plane of which does not answer. */
async function createRig({ leftMs }: { readonly leftMs: number }): Promise<Rig> {
  const folder = await createTemporaryFolder();
  const spec = {
    ...{ name: 'c', driver: 'docker', kubernetesVersion: 'v1.36.3', nodes: 2 },
    options: { controlPlanes: 1 },
  };
  const machines = planMachines(spec);
  const record: ClusterRecord = {
    ...{ version: 1, spec, createdAt: '', wanted: 'running', server: '', binaries: '' },
    machines,
  };
  const paths = clusterFolder(folder.path, 'c');
  await mkdir(paths.folder, { recursive: true });
  const done: string[] = [];
  const living = (name: string): Machine =>
    machineOf(name, async (argv, { input, timeoutMs = 0 } = {}) => {
      const what = /member\/\w+|delete (?:node|pods .*spec\.nodeName=\S+)|drain \S+/.exec(String(input))?.[0] ?? '';
      // A command has no time to end in less.
      if (what !== '') done.push(timeoutMs > 1000 ? what : `${what} in ${timeoutMs} ms`);
      const members = [{ ID: '7', peerURLs: ['https://10.99.0.12:2380'] }];
      return { ...ENDED, argv, stdout: JSON.stringify({ members }) };
    });
  const change: NodeChange = {
    record,
    call: {
      ...{ name: 'c', paths, phases: createPhases('c', undefined) },
      signal: new AbortController().signal,
      deadline: createDeadline(leftMs),
    },
    journal: createJournal({ folder: join(folder.path, 'journal') }),
    operations: {
      create: async ({ name }) =>
        machineOf(name, async () => {
          throw new Error('no answer');
        }),
      remove: async (name) => {
        done.push(`remove ${name}`);
      },
    },
    balancer: undefined,
    nodes: machines.map((entry) => ({ machine: living(entry.name), record: entry })),
    ownership: { cluster: 'c', folder: paths.folder },
  };
  return {
    change,
    record,
    done,
    [Symbol.asyncDispose]: async () => {
      await folder[Symbol.asyncDispose]();
    },
  };
}

const FACTS = 'program containerd /usr/bin/containerd\nprogram runc /usr/sbin/runc\ncontainerd containerd v2.0.0\n';
const PODS_OF = 'delete pods --all-namespaces --field-selector spec.nodeName=';

describe('a control plane that could not be added', () => {
  it('leaves etcd while its machine lives, also when the deadline has passed', async () => {
    await using rig = await createRig({ leftMs: 0 });
    const wanted = { image: 'node', pinned: undefined, planned: planControlPlanes(rig.record, 1), size: {} };
    await expect(addNodes(rig.change, wanted)).rejects.toThrow('no answer');
    expect(rig.done).toEqual([
      ...['member/list', 'member/remove', 'remove c-control-plane-2', 'delete node'],
      `${PODS_OF}control-plane-2`,
    ]);
    expect((await rig.change.journal.list()).entries).toEqual([]);
  });
});

describe('nodes that were added and can not be handed over', () => {
  it('are removed, and in no record', async () => {
    await using rig = await createRig({ leftMs: 60_000 });
    const spec = { ...rig.record.spec, kubernetesVersion: 'none', options: { noKubernetes: true } };
    const record: ClusterRecord = { ...rig.record, spec, machines: planMachines(spec) };
    const change: NodeChange = {
      ...rig.change,
      record,
      operations: {
        ...rig.change.operations,
        create: async ({ name }) => machineOf(name, async (argv) => ({ ...ENDED, argv, stdout: FACTS })),
      },
      journal: {
        ...rig.change.journal,
        update: async () => {
          throw new Error('disk full');
        },
      },
    };
    const wanted = { image: 'node', pinned: undefined, planned: planWorkers(record, 1), size: {} };
    await expect(addNodes(change, wanted)).rejects.toThrow('disk full');
    expect(rig.done).toEqual(['remove c-node-3']);
    expect((await readClusterRecord(change.call.paths))?.machines).toEqual(record.machines);
  });
});

describe('a node that is deleted', () => {
  it('leaves Kubernetes with its pods, which nobody else would take away for a minute', async () => {
    await using rig = await createRig({ leftMs: 60_000 });
    const { machines } = await deleteNode(rig.change, 'worker-1');
    expect(machines?.map(({ node }) => node)).toEqual(['control-plane', 'balancer']);
    // Once its machine is gone: a kubelet that lives would report them again.
    expect(rig.done).toEqual(['drain worker-1', 'delete node', 'remove c-worker-1', `${PODS_OF}worker-1`]);
  });
});
