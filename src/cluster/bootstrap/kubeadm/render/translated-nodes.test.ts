import { describe, expect, it } from 'vitest';
import { parse, parseAllDocuments } from 'yaml';

import { parseNodeFacts } from './node-facts.js';
import { renderInit } from './render-kubeadm.js';
import { readSettings } from '../settings.js';
import { paceOf } from './translated-nodes.js';

const facts = parseNodeFacts('cgroups cgroup2fs\nprocessor translated\n');

function documentsFor(kubernetesVersion: string): Record<string, Record<string, unknown>> {
  const settings = readSettings({ name: 'c', driver: 'qemu', kubernetesVersion, nodes: 1 });
  const text = renderInit({ settings, facts, clusterName: 'c', node: 'n', token: 'a.b', timeoutSeconds: 90 });
  const values = parseAllDocuments(text).map((document) => document.toJS() as Record<string, unknown>);
  return Object.fromEntries(values.map((value) => [String(value['kind']), value]));
}

describe('nodes whose processors are translated', () => {
  it('start as all others when they are not', () => {
    expect(paceOf({ isTranslated: false }, ['containerd.service'])).toEqual({
      files: [],
      script: '',
      init: {},
      environment: {},
      late: [],
    });
  });

  it('give kubelet and runtime more memory for less processor time, and pods a larger share', () => {
    const { files, script } = paceOf(facts, ['docker.service', 'cri-dockerd.service']);
    const units = files.filter(({ path }) => path.startsWith('/etc/systemd'));
    expect(units.map(({ path }) => path)).toEqual([
      '/etc/systemd/system/kubelet.service.d/50-translated.conf',
      '/etc/systemd/system/docker.service.d/50-translated.conf',
      '/etc/systemd/system/cri-dockerd.service.d/50-translated.conf',
    ]);
    expect(units[0]?.content).toContain('Environment=GOGC=400\n');
    expect(script).toMatch(/system\.slice CPUWeight=\d+\n$/);
  });

  it('ask for health less often, and reserve next to nothing for what starts late', () => {
    const patches = Object.fromEntries(
      paceOf(facts)
        .files.filter(({ path }) => path.endsWith('+strategic.yaml'))
        .map(({ path, content }) => [path.replace(/.*\/|\+.*/g, ''), parse(content) as unknown]),
    );
    expect(Object.keys(patches)).toEqual(['kube-apiserver', 'kube-controller-manager', 'kube-scheduler']);
    expect(patches['kube-apiserver']).toEqual({
      spec: { containers: [{ name: 'kube-apiserver', readinessProbe: { periodSeconds: 10 } }] },
    });
    // Others have no readiness in some versions: a period alone makes a pod that the kubelet refuses.
    expect(patches['kube-controller-manager']).toEqual({
      spec: { containers: [{ name: 'kube-controller-manager', resources: { requests: { cpu: '10m' } } }] },
    });
  });

  it('tell kubeadm of it in the format of the version', () => {
    const { InitConfiguration, ClusterConfiguration } = documentsFor('v1.36.3');
    const folder = String((InitConfiguration?.['patches'] as { directory?: string }).directory);
    expect(paceOf(facts).files.some(({ path }) => path.startsWith(`${folder}/`))).toBe(true);
    const extraEnvs = expect.arrayContaining([{ name: 'GOGC', value: '400' }]) as unknown;
    expect(ClusterConfiguration).toMatchObject({
      apiServer: { extraEnvs },
      controllerManager: { extraEnvs },
      scheduler: { extraEnvs },
      etcd: { local: { extraEnvs } },
    });
    expect(JSON.stringify(documentsFor('v1.30.9'))).not.toContain('extraEnvs');
  });
});
