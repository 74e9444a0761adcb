import { describe, expect, it } from 'vitest';

import type { ClusterSpec } from '../../../cluster.js';
import { clusterFolderAt } from '../../../folder.js';
import { needKubernetes } from '../../../without-kubernetes.js';
import { readUnitStates } from './bare-nodes.js';
import { findNode, planMachines } from '../machines/cluster-machines.js';
import { kubeadmStatus } from '../lifecycle/kubeadm-status.js';
import { planWorkers } from './node-changes.js';
import { parseNodeFacts } from '../render/node-facts.js';
import { renderNetworkScript } from '../render/render-network.js';
import { planRuntime } from '../render/render-runtimes.js';
import { readSettings } from '../settings.js';

const spec: ClusterSpec = {
  name: 'c1',
  driver: 'docker',
  kubernetesVersion: 'v1.36.3',
  nodes: 2,
  options: { noKubernetes: true },
};
const machines = planMachines(spec);
const facts = parseNodeFacts('');

describe('nodes without Kubernetes', () => {
  it('are numbered, at least one, and none of them is a control plane', () => {
    expect(machines).toEqual([
      { name: 'c1-node-1', node: 'node-1', isControlPlane: false },
      { name: 'c1-node-2', node: 'node-2', isControlPlane: false },
    ]);
    expect(planMachines({ ...spec, nodes: 0 }).map(({ node }) => node)).toEqual(['node-1']);
    expect(findNode({ spec, machines }, undefined).node).toBe('node-1');
    expect(planWorkers({ spec, machines: machines.slice(1) }, 1)).toMatchObject([{ node: 'node-3' }]);
  });

  it('run the runtime alone: docker with its own bridge and without the interface for a kubelet', () => {
    const settings = readSettings({ ...spec, containerRuntime: 'docker' }, []);
    const { files, units, needs } = planRuntime(settings, facts);
    expect(units).toEqual(['docker.service']);
    expect(needs).not.toContain('cri-dockerd');
    expect(JSON.parse(files.find(({ path }) => path.endsWith('daemon.json'))?.content ?? '')).not.toHaveProperty(
      'bridge',
    );
    expect(planRuntime(readSettings(spec), facts).units).toEqual(['containerd.service']);
  });

  it('know each other by name, and have no rules for pods and Services', () => {
    const peers = [{ node: 'node-1', address: '172.20.0.2', isControlPlane: false }];
    const script = renderNetworkScript(readSettings(spec), 'node-1', peers);
    expect(script).toContain('172.20.0.2 node-1 # mk-ci');
    expect(script).not.toMatch(/iptables|10\.99\.0\.1/);
    expect(readSettings(spec).hasDefaultStorage).toBe(false);
  });

  it('tell of their runtimes, one word of systemd each', () => {
    expect(readUnitStates(['docker.service', 'x.service', 'y.service'], 'node-1', 'active\nfailed\n')).toEqual([
      { name: 'docker on node-1', state: 'running', restarts: 0 },
      { name: 'x on node-1', state: 'failed', restarts: 0, message: 'failed' },
      { name: 'y on node-1', state: 'failed', restarts: 0, message: 'the node does not answer' },
    ]);
  });

  it('are a cluster of no version that runs without any API, and a broken one when a runtime does not run', async () => {
    const record = { version: 1, spec, createdAt: '', wanted: 'running', server: '', binaries: '', machines } as const;
    const statusWith = async (word: string) =>
      await kubeadmStatus({
        name: 'c1',
        paths: clusterFolderAt('/nowhere'),
        record,
        machines: machines.map(({ name }) => ({ name, state: 'running', labels: {} })),
        runtimes: readUnitStates(['containerd.service'], 'node-1', word),
        state: 'running',
        signal: AbortSignal.timeout(1000),
      });
    expect(await statusWith('active')).toMatchObject({ state: 'running', kubernetesVersion: 'none', nodes: 2 });
    expect(await statusWith('activating')).toMatchObject({ state: 'broken' });
  });

  it('refuse what needs Kubernetes by a name of its own', () => {
    expect(() => {
      needKubernetes(spec, 'upgrade');
    }).toThrow(expect.objectContaining({ code: 'K8S_ABSENT' }));
    expect(() => {
      needKubernetes({ name: 'c2' }, 'upgrade');
    }).not.toThrow();
    expect(() => readSettings({ ...spec, options: { noKubernetes: 'yes' } }, [])).toThrow(
      /noKubernetes: true or false/,
    );
  });
});
