/**
 * Clusters with several control planes, and nodes without Kubernetes. Needs docker that answers, as root
 * (`scripts/with-dockerd.sh` gives one), and a node image in the cache or what is needed to make one; else skipped with a word.
 * About six minutes on two processors, and 5 GB of memory.
 */
import { readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';

import { beforeAll, describe, expect, it } from 'vitest';

import { exec } from '../src/exec.js';
import { describeWithNodeImage, findNodeImage, useClusterRig } from './engines.js';

const ENGINE = 'docker';
const MINUTE = 60_000;
const found = await findNodeImage(ENGINE);

describeWithNodeImage('clusters in containers', found, () => {
  const rig = useClusterRig(ENGINE);
  const kubeconfigOf = async (name: string): Promise<string> =>
    (await rig.succeed('cluster', 'kubeconfig', name, '--path')).trim();

  describe('several control planes', () => {
    /** With the kubeconfig of this host and nothing else of mk-ci, until it succeeds: a server that has gone is left in seconds. */
    let kubectl: (...args: string[]) => Promise<string>;
    const nodes = async (): Promise<string[]> =>
      (await kubectl('get', 'nodes', '--output=name')).split('\n').filter((line) => line !== '');

    beforeAll(async () => {
      await rig.succeed('cluster', 'start', 'ha', '--driver', ENGINE, '--control-planes', '3');
      const kubeconfig = await kubeconfigOf('ha');
      const binary = (await rig.succeed('cluster', 'exec', 'ha', '--', 'sh', '-c', 'command -v kubectl')).trim();
      kubectl = async (...args) => {
        const call = [binary, '--kubeconfig', kubeconfig, '--request-timeout=5s', ...args] as const;
        const script = 'for i in $(seq 60); do "$@" && exit; sleep 0.5; done; exit 1';
        return (await exec(['sh', '-c', script, 'sh', ...call], { timeoutMs: 2 * MINUTE })).stdout;
      };
    }, 6 * MINUTE);

    it(
      'go on without one of three, by the same kubeconfig',
      async () => {
        expect(await nodes()).toEqual(['node/control-plane', 'node/control-plane-2', 'node/control-plane-3']);
        const before = await readFile(await kubeconfigOf('ha'), 'utf8');
        await kubectl('create', 'configmap', 'kept', '--from-literal=a=b');
        await exec([ENGINE, 'stop', 'ha-control-plane'], { timeoutMs: MINUTE });
        expect(await kubectl('get', '--raw', '/readyz')).toBe('ok');
        expect(await kubectl('get', 'configmap', 'kept', '--output=jsonpath={.data.a}')).toBe('b');
        await kubectl('create', 'configmap', 'later', '--from-literal=a=c');
        expect((await rig.status('ha')).state).toBe('broken');
        expect(await readFile(await kubeconfigOf('ha'), 'utf8')).toBe(before);
      },
      4 * MINUTE,
    );

    it(
      'are replaced: one that does not run leaves Kubernetes and etcd, another one comes',
      async () => {
        await rig.succeed('cluster', 'node', 'delete', 'ha', 'control-plane');
        expect(await rig.succeed('cluster', 'node', 'add', 'ha', '--control-plane')).toBe('control-plane-4\n');
        expect(await nodes()).toEqual(['node/control-plane-2', 'node/control-plane-3', 'node/control-plane-4']);
        expect(await kubectl('get', 'configmap', 'later', '--output=jsonpath={.data.a}')).toBe('c');
        const pods = await kubectl('get', 'pods', '-n', 'kube-system', '-l', 'component=etcd', '--output=name');
        expect(pods.trim().split('\n')).toHaveLength(3);
        expect((await rig.status('ha')).state).toBe('running');
      },
      4 * MINUTE,
    );

    it(
      'are stopped and started together, and leave nothing behind',
      async () => {
        await rig.succeed('cluster', 'stop', 'ha');
        await rig.succeed('cluster', 'start', 'ha', '--driver', ENGINE, '--control-planes', '3');
        expect(await kubectl('get', 'configmap', 'kept', '--output=jsonpath={.data.a}')).toBe('b');
        await rig.succeed('cluster', 'delete', 'ha');
        await rig.expectNothingLeft();
      },
      4 * MINUTE,
    );
  });

  describe('nodes without Kubernetes', () => {
    it(
      'run a container runtime alone, are stopped and started, come and go',
      async () => {
        const flags = ['--driver', ENGINE, '--no-kubernetes', '--nodes', '2'];
        await rig.succeed('cluster', 'start', 'bare', ...flags);
        const on = async (node: string, line: string): Promise<string> =>
          await rig.succeed('cluster', 'ssh', 'bare', '--node', node, '--', line);
        expect(await on('node-1', 'systemctl is-active containerd; pgrep -c "kube|etcd" || true')).toBe('active\n0\n');
        await on('node-2', 'echo kept >/var/lib/note');
        await rig.succeed('cluster', 'stop', 'bare');
        await rig.succeed('cluster', 'start', 'bare', ...flags);
        expect(await on('node-2', 'cat /var/lib/note')).toBe('kept\n');
        expect(await rig.succeed('cluster', 'node', 'add', 'bare')).toBe('node-3\n');
        expect(await on('node-1', 'getent hosts node-3')).toMatch(/^[\d.]+ +node-3\n$/);
        await rig.succeed('cluster', 'node', 'delete', 'bare', 'node-1');
        expect(await rig.status('bare')).toMatchObject({ state: 'running', kubernetesVersion: 'none', nodes: 2 });
        const folder = (await rig.succeed('cluster', 'logs', 'bare', '--out', 'bare-logs')).trim();
        expect(await readdir(join(folder, 'bare-node-2'))).toContain('containerd.log');
        for (const call of [
          ['kubeconfig', 'bare'],
          ['node', 'add', 'bare', '--control-plane'],
        ])
          expect((await rig.run('cluster', ...call)).stderr).toContain('K8S_ABSENT');
        await rig.succeed('cluster', 'delete', 'bare');
        await rig.expectNothingLeft();
      },
      4 * MINUTE,
    );
  });
});
