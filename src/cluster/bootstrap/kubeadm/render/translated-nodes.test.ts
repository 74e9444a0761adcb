import { describe, expect, it } from 'vitest';
import { parse, parseAllDocuments } from 'yaml';

import { parseNodeFacts } from './node-facts.js';
import { renderInit } from './render-kubeadm.js';
import { readSettings } from '../settings.js';
import { paceOf } from './translated-nodes.js';

const current = { kubernetesVersion: 'v1.36.3' };
const facts = parseNodeFacts('cgroups cgroup2fs\nprocessor translated\n');

function documentsFor(kubernetesVersion: string): Record<string, Record<string, unknown>> {
  const settings = readSettings({ name: 'c', driver: 'qemu', kubernetesVersion, nodes: 1 });
  const text = renderInit({ settings, facts, clusterName: 'c', node: 'n', token: 'a.b', timeoutSeconds: 90 });
  const values = parseAllDocuments(text).map((document) => document.toJS() as Record<string, unknown>);
  return Object.fromEntries(values.map((value) => [String(value['kind']), value]));
}

describe('nodes whose processors are translated', () => {
  it('start as all others when they are not', () => {
    expect(paceOf({ isTranslated: false }, current, ['containerd.service'])).toEqual({
      files: [],
      script: '',
      init: {},
      environment: {},
      etcd: {},
      proxyRules: {},
      startsLate: false,
    });
  });

  it('give kubelet and runtime more memory for less processor time, and pods a larger share', () => {
    const { files, script } = paceOf(facts, current, ['docker.service', 'cri-dockerd.service']);
    const units = files.filter(({ path }) => path.startsWith('/etc/systemd'));
    expect(units.map(({ path }) => path)).toEqual([
      '/etc/systemd/system/kubelet.service.d/50-translated.conf',
      '/etc/systemd/system/docker.service.d/50-translated.conf',
      '/etc/systemd/system/cri-dockerd.service.d/50-translated.conf',
    ]);
    expect(units[0]?.content).toContain('Environment=GOGC=400\n');
    expect(script).toMatch(/system\.slice CPUWeight=\d+\n$/);
  });

  it('ask components for their readiness less often, where the version has a probe for it', () => {
    const patchesOf = (kubernetesVersion: string): Record<string, { readonly readinessProbe?: object }> =>
      Object.fromEntries(
        paceOf(facts, { kubernetesVersion })
          .files.filter(({ path }) => path.endsWith('+strategic.yaml'))
          .map(({ path, content }) => {
            const name = path.replace(/.*\/|\+.*/g, '');
            const patch = parse(content) as { readonly spec: { readonly containers: readonly [object] } };
            expect(patch.spec.containers[0]).toMatchObject({ name });
            return [name, patch.spec.containers[0]];
          }),
      );
    const seldom = { periodSeconds: 10 };
    const askedOf = (kubernetesVersion: string): string[] =>
      Object.entries(patchesOf(kubernetesVersion)).flatMap(([name, { readinessProbe }]) => {
        if (readinessProbe !== undefined) expect(readinessProbe).toEqual(seldom);
        return readinessProbe === undefined ? [] : [name];
      });
    // A period alone, for a component without a probe, makes a pod that the kubelet refuses.
    expect(askedOf('v1.29.10')).toEqual(['kube-apiserver']);
    expect(askedOf('v1.31.0')).toEqual(['kube-apiserver', 'etcd']);
    expect(askedOf('v1.36.3')).toEqual(['kube-apiserver', 'kube-scheduler', 'etcd']);
    const noClaim = { resources: { requests: { cpu: '10m' } } };
    expect(patchesOf('v1.36.3')).toMatchObject({ 'kube-controller-manager': noClaim, 'kube-scheduler': noClaim });
  });

  it('have less to do when nothing happens', () => {
    const { ClusterConfiguration, KubeProxyConfiguration } = documentsFor('v1.36.3');
    expect(ClusterConfiguration).toMatchObject({
      etcd: {
        local: {
          extraArgs: [
            { name: 'heartbeat-interval', value: '100' },
            { name: 'election-timeout', value: '1000' },
            { name: 'watch-progress-notify-interval', value: '60s' },
          ],
        },
      },
    });
    const rules = { minSyncPeriod: '10ms', syncPeriod: '10m' };
    expect(KubeProxyConfiguration).toMatchObject({ iptables: rules, nftables: rules });
    expect(JSON.stringify(documentsFor('v1.33.0'))).not.toContain('watch-progress');
  });

  it('leave etcd as the user wants it', () => {
    const settings = readSettings({
      ...{ name: 'c', driver: 'qemu', ...current, nodes: 1 },
      options: { extraArgs: { etcd: { 'watch-progress-notify-interval': '7s' } } },
    });
    const text = renderInit({ settings, facts, clusterName: 'c', node: 'n', token: 'a.b', timeoutSeconds: 90 });
    expect(text).toContain('7s');
    expect(text).not.toContain('60s');
  });

  it('tell kubeadm of it in the format of the version', () => {
    const { InitConfiguration, ClusterConfiguration } = documentsFor('v1.36.3');
    const folder = String((InitConfiguration?.['patches'] as { directory?: string }).directory);
    expect(paceOf(facts, current).files.some(({ path }) => path.startsWith(`${folder}/`))).toBe(true);
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
