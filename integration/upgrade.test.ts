/**
 * A real upgrade with kubeadm, one that fails, and the way back. Needs docker that answers, as root (`scripts/with-dockerd.sh`
 * gives one), and two versions of Kubernetes, of which one takes many minutes to compile: `MK_CI_TEST_UPGRADE_FROM` names
 * the version that is upgraded, such as v1.35.4, and is skipped with a word when it is not set. Some ten minutes.
 */
import { expect, it } from 'vitest';

import { DEFAULT_KUBERNETES_VERSION } from '../src/cluster/bundle/bundle.js';
import type { ExecResult } from '../src/exec.js';
import { describeWithNodeImage, findNodeImage, useClusterRig } from './engines.js';

const ENGINE = 'docker';
const MINUTE = 60_000;
const FROM = process.env['MK_CI_TEST_UPGRADE_FROM'] ?? '';
const TO = DEFAULT_KUBERNETES_VERSION;
const found =
  FROM === ''
    ? { missing: 'MK_CI_TEST_UPGRADE_FROM is not set: another version of Kubernetes takes many minutes to compile' }
    : await findNodeImage(ENGINE);

describeWithNodeImage('upgrades', found, () => {
  const rig = useClusterRig(ENGINE, { timeoutMs: 30 * MINUTE });

  const kubectl = async (...args: string[]): Promise<string> =>
    await rig.succeed('cluster', 'exec', 'up', '--', 'kubectl', ...args);
  const apply = async (...objects: readonly object[]): Promise<void> => {
    const list = JSON.stringify({ apiVersion: 'v1', kind: 'List', items: objects });
    await rig.succeed('cluster', 'exec', 'up', '--', 'sh', '-c', `kubectl apply -f - <<'END'\n${list}\nEND`);
  };
  const versions = async (): Promise<string> =>
    await kubectl('get', 'nodes', '--output=jsonpath={.items[*].status.nodeInfo.kubeletVersion}');
  /** The image of the cluster's own DNS server, which every node has. */
  const imageOf = async (): Promise<string> =>
    await kubectl(
      ...['get', 'deployment', 'coredns', '--namespace=kube-system'],
      '--output=jsonpath={.spec.template.spec.containers[0].image}',
    );
  /** A program of the node that writes and reads files, for an image without a shell. */
  const inKeeper = async (...args: string[]): Promise<string> =>
    await kubectl('exec', 'deployment/keeper', '--', '/host/kubectl', 'config', ...args, '--kubeconfig=/data/kept');
  const expectKept = async (version: string): Promise<void> => {
    expect(await rig.status('up')).toMatchObject({ state: 'running', kubernetesVersion: version, nodes: 2 });
    expect(await versions()).toBe(`${version} ${version}`);
    expect(await kubectl('get', '--raw', '/version')).toContain(`"gitVersion": "${version}"`);
    await kubectl('rollout', 'status', 'deployment/keeper', '--timeout=240s');
    expect(await inKeeper('get-clusters')).toContain('written-before');
  };

  it(
    'keep what runs and what was stored, and are taken back when they fail or are not wanted',
    async () => {
      await rig.succeed('cluster', 'start', 'up', '--driver', ENGINE, '--kubernetes-version', FROM, '--nodes', '2');
      const image = await imageOf();
      const spec = { containers: [{ name: 'dns', image, imagePullPolicy: 'Never', args: ['-dns.port=5300'] }] };
      const claim = { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '10Mi' } } };
      const onWorker = { nodeSelector: { 'kubernetes.io/hostname': 'worker-1' } };
      const keeper = {
        ...onWorker,
        containers: [
          {
            ...spec.containers[0],
            volumeMounts: [
              { name: 'data', mountPath: '/data' },
              { name: 'host', mountPath: '/host', readOnly: true },
            ],
          },
        ],
        volumes: [
          { name: 'data', persistentVolumeClaim: { claimName: 'data' } },
          { name: 'host', hostPath: { path: '/usr/local/bin' } },
        ],
      };
      const labels = { app: 'keeper' };
      await apply(
        { apiVersion: 'v1', kind: 'PersistentVolumeClaim', metadata: { name: 'data' }, spec: claim },
        {
          apiVersion: 'apps/v1',
          kind: 'Deployment',
          metadata: { name: 'keeper' },
          spec: { selector: { matchLabels: labels }, template: { metadata: { labels }, spec: keeper } },
        },
        // The only pod of its kind may not go.
        {
          apiVersion: 'policy/v1',
          kind: 'PodDisruptionBudget',
          metadata: { name: 'keeper' },
          spec: { minAvailable: 1, selector: { matchLabels: labels } },
        },
        // Nobody would make it again: it may not be drained away.
        { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'lonely' }, spec: { ...spec, ...onWorker } },
      );
      await kubectl('rollout', 'status', 'deployment/keeper', '--timeout=240s');
      await inKeeper('set-cluster', 'written-before');

      const upgrade = async (version: string, ...flags: string[]): Promise<ExecResult> =>
        await rig.run('cluster', 'upgrade', 'up', '--kubernetes-version', version, ...flags);
      expect(await upgrade('v1.34.0')).toMatchObject({
        exitCode: 101,
        stderr: expect.stringContaining('K8S_DOWNGRADE') as string,
      });
      expect(await upgrade('v1.99.0')).toMatchObject({
        exitCode: 101,
        stderr: expect.stringContaining('K8S_SKIPPED_MINOR') as string,
      });

      const lonely = await upgrade(TO);
      expect(lonely, lonely.stderr).toMatchObject({ exitCode: 100 });
      expect(lonely.stderr).toMatch(/lonely.*nothing was changed.*K8S_UPGRADE_FAILED/s);
      await kubectl('delete', 'pod', 'lonely', '--now');

      // Its worker is next, and the control plane has the new version.
      const failed = await upgrade(TO, '--drain-timeout', '60');
      expect(failed, failed.stderr).toMatchObject({ exitCode: 100 });
      expect(failed.stderr).toMatch(new RegExp(`keeper.*it has ${FROM} again.*K8S_UPGRADE_FAILED`, 's'));
      expect(failed.stderr).toContain('up: upgrade control-plane (');
      await expectKept(FROM);

      await kubectl('delete', 'poddisruptionbudget', 'keeper');
      await rig.succeed('cluster', 'upgrade', 'up', '--kubernetes-version', TO);
      await expectKept(TO);
      await rig.succeed('cluster', 'upgrade', 'up', '--kubernetes-version', TO);

      await rig.succeed('cluster', 'upgrade', 'up', '--undo');
      await expectKept(FROM);
      await rig.succeed('cluster', 'delete', 'up');
      await rig.expectNothingLeft();
    },
    40 * MINUTE,
  );

  it(
    'of several control planes take one after the other, and are taken back together',
    async () => {
      const inHa = async (...args: string[]): Promise<string> =>
        await rig.succeed('cluster', 'exec', 'ha', '--', 'kubectl', ...args);
      const get = async (what: string, path: string): Promise<string> =>
        await inHa('get', ...what.split(' '), `--output=jsonpath=${path}`);
      const expectAll = async (version: string): Promise<void> => {
        expect(await get('nodes', '{.items[*].status.nodeInfo.kubeletVersion}')).toBe(
          `${version} ${version} ${version}`,
        );
        const servers = await get(
          'pods -n kube-system -l component=kube-apiserver',
          '{.items[*].spec.containers[0].image}',
        );
        expect(servers.match(new RegExp(version.replaceAll('.', '\\.'), 'g'))).toHaveLength(3);
        const probe = '{.spec.template.spec.containers[0].readinessProbe.periodSeconds}';
        expect(await get('deployment -n kube-system coredns', probe)).toBe('1');
        expect(await get('configmap kept', '{.data.a}')).toBe('b');
      };
      const flags = ['--driver', ENGINE, '--kubernetes-version', FROM, '--control-planes', '3'];
      await rig.succeed('cluster', 'start', 'ha', ...flags);
      await inHa('create', 'configmap', 'kept', '--from-literal=a=b');
      await expectAll(FROM);
      await rig.succeed('cluster', 'upgrade', 'ha', '--kubernetes-version', TO);
      await expectAll(TO);
      await rig.succeed('cluster', 'upgrade', 'ha', '--undo');
      await expectAll(FROM);
      await rig.succeed('cluster', 'delete', 'ha');
      await rig.expectNothingLeft();
    },
    40 * MINUTE,
  );
});
