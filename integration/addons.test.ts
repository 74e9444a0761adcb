/**
 * Addons of mk-ci in real clusters. Needs docker that answers, as root (`scripts/with-dockerd.sh` gives one), or with
 * MK_CI_TEST_ENGINE=podman that (`scripts/with-podman.sh`), a node image in the cache or what is needed to make one, and the
 * image of metrics-server in the cache or Go, which takes some five minutes of one core once; else skipped with a word.
 */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { addonImage } from '../src/cluster/addons/catalogue.js';
import { TEST_ENGINE, createClusterRig, findNodeImage, type ClusterRig } from './engines.js';

const ENGINE = TEST_ENGINE;
const MINUTE = 60_000;
const IMAGE = addonImage('metrics-server');
const found = await findNodeImage(ENGINE);

if ('missing' in found) {
  describe(`addons: ${ENGINE}`, () => {
    it.skip(found.missing);
  });
} else {
  describe(`addons: ${ENGINE}`, () => {
    let rig: ClusterRig;

    beforeAll(async () => {
      rig = await createClusterRig(ENGINE, { timeoutMs: 15 * MINUTE });
    });
    afterAll(async () => {
      await rig[Symbol.asyncDispose]();
    });

    const kubectl = async (...args: string[]): Promise<string> =>
      await rig.succeed('cluster', 'exec', 'top', '--', 'kubectl', ...args);
    /** Rows of a table without its heading, by the words of each. */
    const rowsOf = (table: string): string[][] =>
      table
        .trim()
        .split('\n')
        .slice(1)
        .map((line) => line.split(/\s+/));
    /** `kubectl top node` says `<unknown>` of nodes without figures. */
    const expectNodes = async (...names: string[]): Promise<void> => {
      const rows = rowsOf(await kubectl('top', 'node'));
      expect(rows.map(([name]) => name).sort()).toEqual([...names].sort());
      for (const [name, cpu, , memory] of rows) {
        expect(Number(/^(\d+)m$/.exec(cpu ?? '')?.[1]), `${name ?? ''} ${cpu ?? ''}`).toBeGreaterThan(0);
        expect(Number(/^(\d+)Mi$/.exec(memory ?? '')?.[1]), `${name ?? ''} ${memory ?? ''}`).toBeGreaterThan(0);
      }
    };

    it(
      'give figures of nodes and pods when the start is done, and again after a stop',
      async () => {
        const start = ['cluster', 'start', 'top', '--driver', ENGINE, '--nodes', '2', '--addon', 'metrics-server'];
        await rig.succeed(...start);
        await expectNodes('control-plane', 'worker-1');
        const available = '--output=jsonpath={.status.conditions[?(@.type=="Available")].status}';
        expect(await kubectl('get', 'apiservice', 'v1beta1.metrics.k8s.io', available)).toBe('True');
        expect(await rig.succeed('cluster', 'status', 'top')).toMatch(/^metrics-server-\S+ +running /m);

        // A pod is there for two looks of metrics-server, ten seconds apart, before it has figures.
        const pods = (await kubectl('get', 'pods', '-A', '--output=jsonpath={.items[*].metadata.name}')).split(' ');
        await expect
          .poll(
            async () =>
              rowsOf(await kubectl('top', 'pod', '-A'))
                .map(([, name]) => name)
                .sort(),
            {
              timeout: MINUTE,
              interval: 2000,
            },
          )
          .toEqual(pods.sort());
        for (const [, name, , memory] of rowsOf(await kubectl('top', 'pod', '-A')))
          expect(Number(/^(\d+)Mi$/.exec(memory ?? '')?.[1]), `${name ?? ''} ${memory ?? ''}`).toBeGreaterThan(0);

        await rig.succeed('cluster', 'stop', 'top');
        await rig.succeed(...start);
        await expectNodes('control-plane', 'worker-1');
        await rig.succeed('cluster', 'node', 'add', 'top');
        await expect.poll(async () => rowsOf(await kubectl('top', 'node')).length, { timeout: MINUTE }).toBe(3);
        await rig.succeed('cluster', 'delete', 'top');
        await rig.expectNothingLeft();
      },
      15 * MINUTE,
    );

    it(
      'that can not work fail the start by their own name and last words, and leave nothing behind',
      async () => {
        const labels = { 'k8s-app': 'metrics-server' };
        const container = { name: 'metrics-server', args: ['--no-such-flag'] };
        const broken = {
          apiVersion: 'apps/v1',
          kind: 'Deployment',
          metadata: { name: 'metrics-server', namespace: 'kube-system' },
          spec: {
            selector: { matchLabels: labels },
            template: { metadata: { labels }, spec: { containers: [{ ...container, image: IMAGE }] } },
          },
        };
        const file = join(rig.folder, 'broken.yaml');
        await writeFile(file, JSON.stringify(broken));
        const { exitCode, stderr } = await rig.run(
          ...['cluster', 'start', 'broken', '--driver', ENGINE, '--addon', 'metrics-server', '--addon', file],
          ...['--timeout', '90'],
        );
        expect(exitCode, stderr).toBe(102);
        expect(stderr).toMatch(
          /metrics-server had no figures after .*: panic: unknown flag: --no-such-flag \(K8S_START_TIMEOUT\)/,
        );
        await rig.expectNothingLeft();
      },
      5 * MINUTE,
    );
  });
}
