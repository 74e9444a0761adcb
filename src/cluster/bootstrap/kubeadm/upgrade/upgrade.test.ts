import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import type { Machine } from '../../../../drivers/driver.js';
import { MkCiError } from '../../../../errors.js';
import { exec, type ExecResult } from '../../../../exec.js';
import { createTemporaryFolder } from '../../../../files.js';
import { clusterFolderAt, writeClusterRecord, type ClusterRecord, type MachineRecord } from '../../../folder.js';
import type { ClusterCall } from '../../../manager.js';
import { createDeadline, createPhases } from '../../../phases.js';
import type { StateAccess } from '../../../state-access.js';
import { planMachines } from '../machines/cluster-machines.js';
import type { KubeadmContext } from '../context.js';
import { splitMachines } from '../machines/control-planes.js';
import { withImages } from '../machines/find-image.js';
import { parseNodeFacts } from '../render/node-facts.js';
import { planUpgrade } from './plan-upgrade.js';
import { readSettings } from '../settings.js';
import { upgradeCluster } from './upgrade.js';
import { renderApply, renderCheckPods, renderDrain, upgradeNodes } from './upgrade-nodes.js';
import { goBack, readUpgradeNote, saveBeforeUpgrade, writeUpgradeNote } from './way-back.js';

const codeOf = (act: () => unknown): unknown => {
  try {
    return act();
  } catch (error) {
    return error instanceof MkCiError ? error.code : error;
  }
};

describe('the plan of an upgrade', () => {
  it.each([
    ['v1.35.4', 'v1.36.3', true],
    ['v1.35.4', 'v1.35.5', true],
    ['v1.36.0-rc.2', 'v1.36.0-rc.10', true],
    ['v1.36.0-rc.2', 'v1.36.0', true],
    ['v1.36.3', 'v1.36.3', false],
    ['v1.36.3', 'v1.35.4', 'K8S_DOWNGRADE'],
    ['v1.36.3', 'v1.36.2', 'K8S_DOWNGRADE'],
    ['v1.36.0', 'v1.36.0-rc.1', 'K8S_DOWNGRADE'],
    ['v1.34.4', 'v1.36.3', 'K8S_SKIPPED_MINOR'],
    ['v1.9.0', 'v1.10.0', true],
  ])('from %s to %s is %s', (from, to, expected) => {
    expect(codeOf(() => planUpgrade('demo', from, to))).toBe(expected);
  });

  it('is never one in both directions', () => {
    const part = fc.integer({ min: 0, max: 40 });
    const version = fc.tuple(part, part).map(([minor, patch]) => `v1.${minor}.${patch}`);
    fc.assert(
      fc.property(version, version, (left, right) => {
        const both = [codeOf(() => planUpgrade('c', left, right)), codeOf(() => planUpgrade('c', right, left))];
        expect(both.filter((outcome) => outcome === 'K8S_DOWNGRADE')).toHaveLength(left === right ? 0 : 1);
      }),
    );
  });
});

const settingsOf = (kubernetesVersion: string, containerRuntime = 'containerd') =>
  readSettings({ name: 'c', driver: 'docker', kubernetesVersion, nodes: 2, containerRuntime });

const upgradeOf = (runtime: string) => ({
  clusterName: 'c',
  settings: settingsOf('v1.36.3', runtime),
  before: settingsOf('v1.35.4', runtime),
  programs: '/bundle/bin',
  drainSeconds: 60,
});

const callIn = (folder: string): ClusterCall => ({
  name: 'c',
  paths: clusterFolderAt(folder),
  signal: new AbortController().signal,
  deadline: createDeadline(60_000),
  phases: createPhases('c', undefined),
});

describe('nodes that are upgraded', () => {
  /** Machines that write down what is done to them; a script with `fails` in it ends badly. */
  const record = ({ fails, controlPlanes }: { readonly fails?: string; readonly controlPlanes?: number } = {}) => {
    const done: string[] = [];
    const planned = planMachines({ name: 'c', nodes: 3, ...(controlPlanes && { options: { controlPlanes } }) });
    const nodes = splitMachines(planned.map((entry) => ({ machine: machineOf(entry), record: entry }))).nodes;
    return { nodes, done };

    function machineOf(entry: MachineRecord): Machine {
      const machine: Machine = {
        name: entry.name,
        internalAddress: '',
        exec: async (argv, options): Promise<ExecResult> => {
          const text = typeof options?.input === 'string' ? options.input : '';
          const steps = text.match(
            /syncFrequency: \w+|coredns|upgrade apply \S+ --yes|upgrade node \$|drain \S+|restart kubelet|uncordon \S+/g,
          );
          if (steps !== null) done.push(`${entry.node}: ${[...new Set(steps)].join(', ')}`);
          if (fails !== undefined && text.includes(fails))
            throw new MkCiError('HOST_COMMAND_FAILED', { message: fails });
          const end = { exitCode: 0, signal: undefined, timedOut: false, aborted: false, leftChildren: false };
          return { ...end, argv, stdout: 'program kubelet /opt/kubelet\n', stderr: '', durationMs: 1 };
        },
        copyTo: async (from, to) => {
          done.push(`${entry.node}: ${from} to ${to}`);
        },
        copyFrom: async () => undefined,
        endpoint: async () => ({ host: '', port: 0 }),
      };
      return machine;
    }
  };
  const upgrade = async ({ nodes }: ReturnType<typeof record>): Promise<void> => {
    const { signal, deadline, phases } = callIn('/none');
    await upgradeNodes(nodes, upgradeOf('containerd'), { settings: settingsOf('v1.36.3'), signal, deadline }, phases);
  };
  const stepsOf = (node: string, kubelet: string, kubeadm: string) => [
    `${node}: ${kubelet}`,
    `control-plane: drain ${node}`,
    `${node}: /bundle/bin/kubeadm to /usr/local/bin/kubeadm`,
    `${node}: ${kubeadm}`,
    `${node}: /bundle/bin/kubelet to /opt/kubelet`,
    `${node}: /bundle/bin/kubectl to /usr/local/bin/kubectl`,
    `${node}: restart kubelet`,
    `control-plane: uncordon ${node}`,
  ];
  const first = stepsOf('control-plane', 'syncFrequency: 2s, restart kubelet', 'coredns, upgrade apply v1.36.3 --yes');
  const workerSteps = (node: string) => stepsOf(node, 'restart kubelet', 'upgrade node $');

  it('go one after the other, the control plane first, each drained while its kubelet knows the API server', async () => {
    const recorded = record();
    await upgrade(recorded);
    expect(recorded.done).toEqual([...first, ...workerSteps('worker-1'), ...workerSteps('worker-2')]);
  });

  it('of several control planes follow the first one; the last of them makes DNS anew, and has what is patched', async () => {
    const recorded = record({ controlPlanes: 2 });
    await upgrade(recorded);
    const second = stepsOf('control-plane-2', 'syncFrequency: 2s, restart kubelet', 'coredns, upgrade node $');
    expect(recorded.done).toEqual([...first, ...second, ...workerSteps('worker-1')]);
  });

  it('stop at the first that fails', async () => {
    const recorded = record({ fails: 'drain worker-1' });
    await expect(upgrade(recorded)).rejects.toThrow('drain worker-1');
    expect(recorded.done.at(-1)).toBe('control-plane: drain worker-1');
  });

  it('ask again while the API server starts, and say at once what else is wrong', async () => {
    const folder = await createTemporaryFolder();
    try {
      const calls = join(folder.path, 'calls');
      const kubectl = join(folder.path, 'kubectl');
      const drain = async (answers: string): Promise<ExecResult> => {
        await writeFile(calls, '');
        await writeFile(kubectl, `#!/bin/sh\necho x >>${calls}\ncase $(wc -l <${calls}) in ${answers} esac\n`, {
          mode: 0o755,
        });
        const script = renderDrain('a', 60).replaceAll('sleep 0.5', ':');
        const env = { ...process.env, PATH: `${folder.path}:${process.env['PATH'] ?? ''}` };
        return await exec(['sh', '-e'], { input: script, env, allowFailure: true });
      };
      // Of a node that it asks for, and of a DaemonSet that it looks at because of a pod.
      const starting =
        '1) echo "Error from server (Forbidden): nodes" >&2; exit 1;;' +
        `2) echo 'cannot delete daemonsets.apps "a" is forbidden: User "b" cannot get resource' >&2; exit 1;;`;
      expect((await drain(`${starting} *) exit 0;;`)).exitCode).toBe(0);
      const refused = await drain(
        `${starting} *) echo "cannot delete Pods that declare no controller: lonely" >&2; exit 1;;`,
      );
      expect([refused.exitCode, refused.stderr]).toEqual([1, expect.stringContaining('lonely')]);
      expect((await readFile(calls, 'utf8')).length).toBe(6);
    } finally {
      await folder[Symbol.asyncDispose]();
    }
  });

  it('keep pods that nobody would make again', () => {
    expect(renderDrain('a', 60)).not.toContain('--force');
    expect(renderCheckPods(['a', 'b'])).toMatch(/drain a b .*--dry-run=client\n/);
    expect(renderCheckPods(['a', 'b'])).not.toContain('--force');
  });

  it('stay nodes of the image that they were made from', () => {
    const spec = { name: 'c', driver: 'docker', kubernetesVersion: 'v1.35.4', nodes: 2 };
    const [first, second] = planMachines(spec);
    if (first === undefined || second === undefined) throw new Error('two nodes');
    const machines = [first, { ...second, image: 'sha256:added' }];
    const cluster: ClusterRecord = {
      ...{ version: 1, spec, createdAt: '', wanted: 'running', server: '', binaries: '' },
      machines,
    };
    expect(withImages(cluster, 'sha256:old').machines).toEqual([{ ...first, image: 'sha256:old' }, machines[1]]);
    expect(withImages(cluster, undefined)).toEqual(cluster);
  });

  it('get settings of the kubelet that only the new version needs', () => {
    const facts = parseNodeFacts('');
    expect(renderApply(upgradeOf('docker'), 'control-plane', facts)).toContain('init phase upload-config kubelet');
    expect(renderApply(upgradeOf('containerd'), 'control-plane', facts)).not.toContain('upload-config');
  });
});

describe('the state of before an upgrade', () => {
  const spec = { name: 'c', driver: 'docker', kubernetesVersion: 'v1.35.4', nodes: 1 };
  const before: ClusterRecord = {
    version: 1,
    spec,
    createdAt: '',
    wanted: 'running',
    server: '',
    binaries: '/old',
    machines: planMachines(spec),
  };

  /** The state is one file of a folder; `replace` fills another. */
  const stateIn = (folder: string) => {
    const replaced: ClusterRecord[] = [];
    const state: StateAccess = {
      read: async (_record, { paths }, act) => {
        const nodes = join(folder, 'saving', 'nodes');
        await mkdir(nodes, { recursive: true });
        await writeFile(join(nodes, 'control-plane.tar'), 'old');
        return await act({ nodes, pki: paths.pki });
      },
      replace: async (record, _call, fill) => {
        await mkdir(join(folder, 'restoring'), { recursive: true });
        await fill({ nodes: join(folder, 'restoring', 'nodes'), pki: join(folder, 'restoring', 'pki') });
        replaced.push(record);
      },
    };
    return { state, replaced };
  };

  it('is there whole or not at all, and comes back with the version of then, as often as it takes', async () => {
    await using folder = await createTemporaryFolder();
    const call = callIn(folder.path);
    const { state, replaced } = stateIn(folder.path);
    await mkdir(call.paths.pki, { recursive: true });
    await writeFile(join(call.paths.pki, 'ca.crt'), 'ca');
    const failing: StateAccess = {
      ...state,
      read: async () => {
        throw new Error('interrupted');
      },
    };
    await expect(saveBeforeUpgrade(failing, before, call, 'v1.36.3')).rejects.toThrow('interrupted');
    expect(await readUpgradeNote(call.paths)).toBeUndefined();

    const note = await saveBeforeUpgrade(state, before, call, 'v1.36.3');
    expect(await readUpgradeNote(call.paths)).toEqual({ ...note, isDone: false });
    await writeUpgradeNote(call.paths, { ...note, isDone: true });
    expect((await readUpgradeNote(call.paths))?.isDone).toBe(true);

    const upgraded = { ...before, spec: { ...spec, kubernetesVersion: 'v1.36.3', nodes: 2 }, binaries: '/new' };
    const broken: StateAccess = {
      ...state,
      replace: async () => {
        throw new Error('no disk');
      },
    };
    await expect(goBack(broken, upgraded, call, note)).rejects.toThrow('no disk');
    await goBack(state, upgraded, call, note);
    expect(replaced).toMatchObject([{ spec: { kubernetesVersion: 'v1.35.4', nodes: 2 }, binaries: '/old' }]);
    expect(await readFile(join(folder.path, 'restoring', 'nodes', 'control-plane.tar'), 'utf8')).toBe('old');
    expect(await readFile(join(folder.path, 'restoring', 'pki', 'ca.crt'), 'utf8')).toBe('ca');
    expect(await readUpgradeNote(call.paths)).toBeUndefined();
  });

  it('stays where it is when the upgrade had come to its end but for the note', async () => {
    await using folder = await createTemporaryFolder();
    const call = callIn(folder.path);
    const { state, replaced } = stateIn(folder.path);
    await mkdir(call.paths.pki, { recursive: true });
    await saveBeforeUpgrade(state, before, call, 'v1.36.3');
    const upgraded: ClusterRecord = { ...before, spec: { ...spec, kubernetesVersion: 'v1.36.3' } };
    await writeClusterRecord(call.paths, upgraded);
    const context = {} as KubeadmContext; // nothing of it is used
    expect(await upgradeCluster(context, state, upgraded, call, { version: 'v1.36.3' })).toEqual(upgraded);
    expect(replaced).toEqual([]);
  });
});
