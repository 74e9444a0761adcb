import { spawn } from 'node:child_process';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { CORE_FILE, apply, client, dnsImage, eventually, get, kubectl, kubectlPod, runJob, server } from './rig.js';

const namespace = `pods-${Date.now().toString(36)}`;
const here = `--namespace=${namespace}`;
const labels = { app: 'web' };
let image;

beforeAll(async () => {
  image = await dnsImage();
  await kubectl('create', 'namespace', namespace);
  await kubectl('create', 'configmap', 'server', here, `--from-literal=Corefile=${CORE_FILE}`);
  await eventually('the default ServiceAccount', () => get('serviceaccount', 'default', here));
  await apply({
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: 'web', namespace },
    spec: { replicas: 2, selector: { matchLabels: labels }, template: { metadata: { labels }, spec: server(image) } },
  });
  await kubectl('rollout', 'status', 'deployment/web', here, '--timeout=240s');
});

afterAll(async () => {
  await kubectl('delete', 'namespace', namespace, '--wait=false');
});

describe('pods', () => {
  it('run on nodes with a kubelet', async () => {
    const { items } = await get('pods', here, '--selector=app=web');
    expect(items).toHaveLength(2);
    for (const { status } of items) {
      expect(status.phase).toBe('Running');
      expect(status.podIP).toMatch(/^\d+\.\d+\.\d+\.\d+$/);
    }
  });

  it('run commands', async () => {
    expect(await kubectl('exec', 'deployment/web', here, '--', '/coredns', '-version')).toMatch(/^CoreDNS-/);
  });

  it('have logs', async () => {
    await eventually('the banner in the log', async () => {
      expect(await kubectl('logs', 'deployment/web', here)).toContain('CoreDNS-');
    });
  });

  it('are reached by port-forward', async () => {
    const forward = spawn('kubectl', ['port-forward', 'deployment/web', ':8080', '--address=127.0.0.1', here]);
    try {
      const port = await new Promise((resolve, reject) => {
        let text = '';
        forward.stdout.on('data', (piece) => {
          text += piece;
          const match = /127\.0\.0\.1:(\d+) ->/.exec(text);
          if (match) resolve(match[1]);
        });
        forward.once('exit', () => reject(new Error(`port-forward ended: ${text}`)));
      });
      const answer = await fetch(`http://127.0.0.1:${port}/health`);
      expect(await answer.text()).toBe('OK');
    } finally {
      forward.kill();
    }
  });

  it('find each other by the name of a Service', async () => {
    await kubectl('expose', 'deployment/web', here, '--port=80', '--target-port=8080');
    const ask = client(image, `http://web.${namespace}.svc.cluster.local`, '/health');
    expect(await runJob('ask', namespace, ask)).toContain('OK');
  });

  it('find on a volume what another pod has written', async () => {
    await apply({
      apiVersion: 'v1',
      kind: 'PersistentVolumeClaim',
      metadata: { name: 'data', namespace },
      spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '10Mi' } } },
    });
    const node = (await get('nodes')).items[0].metadata.name;
    const file = '--kubeconfig=/data/kept';
    const on = { node, claim: 'data' };
    await runJob('write', namespace, kubectlPod(image, ['config', 'set-cluster', 'written-before', file], on));
    const read = await runJob('read', namespace, kubectlPod(image, ['config', 'get-clusters', file], on));
    expect(read).toContain('written-before');
    expect((await get('pvc', 'data', here)).status.phase).toBe('Bound');
  });
});

describe('workloads', () => {
  it('put one pod of a DaemonSet on every node', async () => {
    await apply({
      apiVersion: 'apps/v1',
      kind: 'DaemonSet',
      metadata: { name: 'everywhere', namespace },
      spec: {
        selector: { matchLabels: { app: 'everywhere' } },
        template: { metadata: { labels: { app: 'everywhere' } }, spec: server(image) },
      },
    });
    await kubectl('rollout', 'status', 'daemonset/everywhere', here, '--timeout=240s');
    const [nodes, pods] = await Promise.all([get('nodes'), get('pods', here, '--selector=app=everywhere')]);
    const used = pods.items.map(({ spec }) => spec.nodeName).sort();
    expect(used).toEqual(nodes.items.map(({ metadata }) => metadata.name).sort());
  });

  it('are replaced one by one by a rolling update', async () => {
    const before = (await get('pods', here, '--selector=app=web')).items.map(({ metadata }) => metadata.uid);
    await kubectl('rollout', 'restart', 'deployment/web', here);
    await kubectl('rollout', 'status', 'deployment/web', here, '--timeout=240s');
    const { status } = await get('deployment', 'web', here);
    expect(status.readyReplicas).toBe(2);
    await eventually('the old pods to be gone', async () => {
      const after = (await get('pods', here, '--selector=app=web')).items.map(({ metadata }) => metadata.uid);
      expect(after.filter((uid) => before.includes(uid))).toEqual([]);
    });
  });

  it('are made again when one is deleted', async () => {
    const name = (await get('pods', here, '--selector=app=web')).items[0].metadata.name;
    await kubectl('delete', 'pod', name, here, '--wait=true');
    await kubectl('rollout', 'status', 'deployment/web', here, '--timeout=240s');
  });
});

describe('nodes', () => {
  it('are drained: their pods move to others', async ({ skip }) => {
    const names = (await get('nodes')).items.map(({ metadata }) => metadata.name);
    if (names.length < 2) skip('there is one node');
    const node = names.at(-1);
    await kubectl('drain', node, '--ignore-daemonsets', '--delete-emptydir-data', '--force', '--timeout=240s');
    try {
      await kubectl('rollout', 'status', 'deployment/web', here, '--timeout=240s');
      const { items } = await get('pods', here, '--selector=app=web');
      expect(items.filter(({ spec }) => spec.nodeName === node)).toEqual([]);
    } finally {
      await kubectl('uncordon', node);
    }
  });
});

describe('network', () => {
  it('takes a NetworkPolicy', async () => {
    await apply({
      apiVersion: 'networking.k8s.io/v1',
      kind: 'NetworkPolicy',
      metadata: { name: 'only-web', namespace },
      spec: {
        podSelector: { matchLabels: labels },
        policyTypes: ['Ingress'],
        ingress: [{ from: [{ podSelector: {} }] }],
      },
    });
    expect((await get('networkpolicy', 'only-web', here)).spec.policyTypes).toEqual(['Ingress']);
  });
});
