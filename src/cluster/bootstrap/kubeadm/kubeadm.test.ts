import { describe, expect, it } from 'vitest';

import { nodesWithoutProxy, podSubnetsOf, readyDnsPods, silentNodes } from './lifecycle/kubeadm-readiness.js';
import { findNode, judgeMachines, nodeNamesOf, planMachines } from './machines/cluster-machines.js';
import { machineStatus, podComponents } from './lifecycle/kubeadm-status.js';
import { planWorkers } from './nodes/node-changes.js';
import { readNodeFailure, renderFailureScript, renderWriteFiles } from './render/node-scripts.js';

describe('state of a cluster of machines', () => {
  const machines = planMachines({ name: 'c1', nodes: 2 });
  const judge = (
    wanted: 'running' | 'paused' | 'stopped' | 'starting',
    ...states: ('running' | 'paused' | 'stopped' | 'broken')[]
  ) =>
    judgeMachines(
      { wanted, machines },
      states.map((state, index) => ({ name: machines[index]?.name ?? '', state, labels: {} })),
    );

  it('is that of its machines when they agree', () => {
    expect(judge('running', 'running', 'running')).toBe('running');
    expect(judge('stopped', 'stopped', 'stopped')).toBe('stopped');
    expect(judge('paused', 'paused', 'paused')).toBe('paused');
  });

  it('is broken when one is gone, when any ended that nobody stopped, and when it was never finished', () => {
    expect(judge('running', 'running')).toBe('broken');
    expect(judge('running', 'running', 'stopped')).toBe('broken');
    expect(judge('running', 'stopped', 'stopped')).toBe('broken');
    expect(judge('paused', 'stopped', 'stopped')).toBe('broken');
    expect(judge('starting', 'running', 'running')).toBe('broken');
    expect(judgeMachines({ wanted: 'running' }, [])).toBe('broken');
  });

  it('says of a machine that ended by itself that it did, and what to do', () => {
    expect(machineStatus('c1-control-plane', 'stopped', { wanted: 'running' })).toEqual({
      state: 'failed',
      message: 'c1-control-plane ended, and nobody stopped it; mk-ci cluster start starts it again',
    });
    expect(machineStatus('c1-control-plane', 'stopped', { wanted: 'stopped' }).state).toBe('stopped');
    expect(machineStatus('c1-control-plane', 'running', { wanted: 'running' }).state).toBe('running');
    expect(machineStatus('c1-control-plane', undefined, { wanted: 'running' }).message).toBe(
      'c1-control-plane is gone',
    );
  });

  it('is paused when a pause was interrupted', () => {
    expect(judge('paused', 'running', 'paused')).toBe('paused');
  });

  it('has a control plane first and always, and names of nodes without the name of the cluster', () => {
    expect(planMachines({ name: 'c1', nodes: 0 })).toEqual([
      { name: 'c1-control-plane', node: 'control-plane', isControlPlane: true },
    ]);
    expect(planMachines({ name: 'c1', nodes: 3 }).map(({ node }) => node)).toEqual([
      'control-plane',
      'worker-1',
      'worker-2',
    ]);
  });
});

describe('a node by its name', () => {
  const spec = { name: 'c1', driver: 'docker', kubernetesVersion: 'v1.36.3', nodes: 2 };
  const machines = planMachines(spec);

  it('are nodes of Kubernetes, but for the way to several control planes, for which nobody has to wait', () => {
    const machines = planMachines({ name: 'c1', nodes: 4, options: { controlPlanes: 3 } });
    expect(machines).toHaveLength(5);
    expect(nodeNamesOf({ machines })).toEqual(['control-plane', 'control-plane-2', 'control-plane-3', 'worker-1']);
    expect(nodeNamesOf({})).toEqual([]);
  });

  it('is the control plane without one', () => {
    expect(findNode({ spec, machines }, undefined).name).toBe('c1-control-plane');
    expect(findNode({ spec, machines }, 'worker-1').name).toBe('c1-worker-1');
  });

  it('is refused with those that there are', () => {
    expect(() => findNode({ spec, machines }, 'worker-9')).toThrow(
      expect.objectContaining({ code: 'K8S_NODE_NOT_FOUND', advice: 'Nodes of c1: control-plane, worker-1.' }),
    );
  });
});

describe('workers that are added', () => {
  it('get the next numbers, also after one in between was removed', () => {
    const spec = { name: 'c1', driver: 'docker', kubernetesVersion: 'v1.36.3', nodes: 3 };
    const [controlPlane, , second] = planMachines(spec);
    const machines = [controlPlane, second].filter((machine) => machine !== undefined);
    expect(planWorkers({ spec, machines }, 2)).toEqual([
      { name: 'c1-worker-3', node: 'worker-3', isControlPlane: false },
      { name: 'c1-worker-4', node: 'worker-4', isControlPlane: false },
    ]);
    expect(planWorkers({ spec, machines: planMachines({ name: 'c1', nodes: 1 }) }, 1)).toMatchObject([
      { node: 'worker-1' },
    ]);
  });
});

describe('readiness', () => {
  it('does not take DNS pods of before a restart for ready', () => {
    const pod = (startedAt: string, ready = true) => ({
      status: { containerStatuses: [{ ready, state: { running: { startedAt } } }] },
    });
    const list = {
      items: [pod('2026-11-21T15:00:00Z'), pod('2026-11-21T16:00:00Z'), pod('2026-11-21T16:00:00Z', false)],
    };
    expect(readyDnsPods(list, undefined)).toEqual({ ready: 2, all: 3 });
    expect(readyDnsPods(list, new Date('2026-11-21T15:30:00Z'))).toEqual({ ready: 1, all: 3 });
    expect(readyDnsPods({ items: [{}] }, undefined)).toEqual({ ready: 0, all: 1 });
  });

  it('looks for a kube-proxy that runs on each node', () => {
    const proxy = (nodeName: string, ready: boolean): object => ({
      spec: { nodeName },
      status: { containerStatuses: [{ ready }] },
    });
    const items = [
      proxy('control-plane', true),
      proxy('worker-1', false),
      { spec: { nodeName: 'worker-2' }, status: {} },
    ];
    const nodes = ['control-plane', 'worker-1', 'worker-2', 'worker-3'];
    expect(nodesWithoutProxy({ items }, nodes)).toEqual(['worker-1', 'worker-2', 'worker-3']);
    expect(nodesWithoutProxy({ items: [] }, [])).toEqual([]);
  });

  it('waits for a lease renewed after the restart, from each node', () => {
    const leases = {
      items: [{ metadata: { name: 'a' }, spec: { renewTime: '2026-11-21T16:00:00.5Z' } }, { metadata: { name: 'b' } }],
    };
    expect(silentNodes(leases, ['a', 'b', 'c'], new Date('2026-11-21T16:00:00Z'))).toEqual(['b', 'c']);
    expect(silentNodes(leases, ['a'], new Date('2026-11-21T16:00:01Z'))).toEqual(['a']);
  });

  it('knows the subnets of nodes that have one', () => {
    const list = {
      items: [{ metadata: { name: 'a' }, spec: { podCIDR: '10.244.0.0/24' } }, { metadata: { name: 'b' } }],
    };
    expect([...podSubnetsOf(list)]).toEqual([['a', '10.244.0.0/24']]);
  });

  describe('of a pod', () => {
    const stateOf = (phase: string, ...containers: object[]) => {
      const containerStatuses = containers.map((container) => ({ ready: false, restartCount: 1, ...container }));
      const [component] = podComponents({ items: [{ metadata: { name: 'x' }, status: { phase, containerStatuses } }] });
      expect(component).toMatchObject({ name: 'x', restarts: containers.length });
      return [component?.state, component?.message];
    };
    const waiting = (reason: string) => ({ state: { waiting: { reason } } });

    it('is running when all of its containers serve', () => {
      expect(stateOf('Running', { ready: true }, { ready: true })).toEqual(['running', undefined]);
    });

    it('is no failure while it starts, as the control plane does for some seconds after the nodes', () => {
      expect(stateOf('Running', { ready: true }, { state: { running: {} } })).toEqual(['starting', 'not ready yet']);
      expect(stateOf('Pending', waiting('ContainerCreating'))).toEqual(['starting', 'ContainerCreating']);
      expect(stateOf('Pending')).toEqual(['starting', 'Pending']);
    });

    it('is a failure with its reason when one does not run', () => {
      expect(stateOf('Running', { ready: true }, waiting('CrashLoopBackOff'))).toEqual(['failed', 'CrashLoopBackOff']);
      expect(stateOf('Pending', waiting('ContainerCreating'), waiting('ErrImagePull'))).toEqual([
        'failed',
        'ErrImagePull',
      ]);
      expect(stateOf('Running', { state: { terminated: { reason: 'OOMKilled' } } })).toEqual(['failed', 'OOMKilled']);
      expect(stateOf('Failed')).toEqual(['failed', 'Failed']);
    });

    it('is a failure when a container that comes before them does not run', () => {
      const before = [{ ready: false, restartCount: 4, ...waiting('CrashLoopBackOff') }];
      const status = {
        phase: 'Pending',
        initContainerStatuses: [
          { ready: true, restartCount: 0, state: { terminated: { reason: 'Completed' } } },
          ...before,
        ],
        containerStatuses: [{ ready: false, restartCount: 0, ...waiting('PodInitializing') }],
      };
      expect(podComponents({ items: [{ metadata: { name: 'x' }, status }] })).toMatchObject([
        { state: 'failed', message: 'CrashLoopBackOff' },
      ]);
    });

    it('is stopped when it did what it was there for', () => {
      const completed = { state: { terminated: { reason: 'Completed' } } };
      expect(stateOf('Succeeded', completed)).toEqual(['stopped', 'Succeeded']);
    });
  });
});

describe('who is to blame for a start that failed', () => {
  it('is the runtime before the kubelet, which only waits for it', () => {
    const text =
      '== unit kubelet.service activating 9\nE0101 no runtime\n== unit containerd.service failed 5\nlevel=fatal msg="bad config"\n';
    expect(readNodeFailure(text)).toMatchObject({ component: 'containerd', lines: ['level=fatal msg="bad config"'] });
  });

  it('is a kubelet that keeps ending, with its error lines', () => {
    const text =
      '== unit kubelet.service activating 12\nI0101 starting\nE1121 15:00:00 run.go:72] "command failed" err="unknown flag: --nope"\n== unit containerd.service active 0\n';
    expect(readNodeFailure(text)).toMatchObject({
      component: 'kubelet',
      lines: [expect.stringContaining('unknown flag: --nope')],
    });
  });

  it('is a container of the control plane that was started again', () => {
    const text =
      '== unit kubelet.service active 0\nI0101 ok\n== unit containerd.service active 0\n== container etcd 0\n{"level":"info"}\n== container kube-apiserver 2\nError: unknown flag: --x\n';
    expect(readNodeFailure(text)).toMatchObject({ component: 'kube-apiserver', lines: ['Error: unknown flag: --x'] });
  });

  it('is nobody when the node says nothing', () => {
    expect(readNodeFailure('')).toEqual({ component: 'node', lines: [] });
    expect(renderFailureScript(['crio.service'])).toContain('kubelet.service crio.service');
  });

  it('is also what the node lacks, which no component can tell; a full disk before all', () => {
    const text = '== unit kubelet.service active 0\nI0101 ok\n';
    expect(readNodeFailure(text)).toEqual({ component: 'kubelet', lines: ['I0101 ok'] });
    expect(readNodeFailure(`${text}== lacks memory\n`)).toMatchObject({ component: 'kubelet', lacks: 'memory' });
    expect(readNodeFailure(`${text}== lacks memory\n== lacks disk\n`).lacks).toBe('disk');
  });
});

describe('files of a node', () => {
  it('are written beside and renamed, whatever is in them', () => {
    const script = renderWriteFiles([{ path: '/etc/a/b.conf', content: "it's\n$x", mode: 0o600 }]);
    expect(script).toContain(Buffer.from("it's\n$x").toString('base64'));
    expect(script).toContain("chmod 600 '/etc/a/b.conf.mk-ci' && mv -f '/etc/a/b.conf.mk-ci' '/etc/a/b.conf'");
  });
});
