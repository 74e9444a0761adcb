import { join } from 'node:path';

import { describe, expect, it } from 'vitest';

import type { Machine } from '../../../../drivers/driver.js';
import { MkCiError } from '../../../../errors.js';
import { createTemporaryFolder } from '../../../../files.js';
import type { ApiAnswer, ApiClient } from '../../../api-client.js';
import { buildImage, writeImageArchive } from '../../../node-image/index.js';
import { createDeadline } from '../../../phases.js';
import {
  applyAddons,
  loadAddonImages,
  nodesWithoutFigures,
  podStories,
  remainingAddons,
  waitForAddons,
} from './addons.js';
import type { ClusterNode, NodeWork } from './cluster-nodes.js';
import { readSettings } from '../settings.js';

const { signal } = new AbortController();

function workWith(addons: readonly unknown[]): NodeWork {
  const spec = { name: 'c1', driver: 'docker', kubernetesVersion: 'v1.36.3', nodes: 2, options: { addons } };
  return { settings: readSettings(spec), signal, deadline: createDeadline(1000) };
}

/** Nodes that note what is done in them; `answer` is what their scripts print. */
function nodesWith(answer: string, names: readonly string[] = ['control-plane', 'control-plane-2', 'worker-1']) {
  const done: string[] = [];
  const nodes = names.map((node): ClusterNode => {
    const machine: Machine = {
      name: node,
      internalAddress: '',
      copyTo: async () => undefined,
      copyFrom: async () => undefined,
      endpoint: async () => ({ host: '', port: 0 }),
      exec: async (argv, options) => {
        if (options?.inputFile !== undefined) done.push(`${node} gets ${options.inputFile}`);
        done.push(`${node} runs ${typeof options?.input === 'string' ? options.input : ''}`);
        const end = { exitCode: 0, signal: undefined, timedOut: false, aborted: false, leftChildren: false };
        return { ...end, argv, stdout: answer, stderr: '', durationMs: 1 };
      },
    };
    return { machine, record: { name: `c1-${node}`, node, isControlPlane: node.startsWith('control-plane') } };
  });
  return { nodes, done };
}

/** Answers by path; what is not known is not found. */
function clientWith(answers: Readonly<Record<string, ApiAnswer | Error>>): ApiClient {
  return {
    server: 'https://127.0.0.1:1',
    request: async (_method, path) => {
      const answer = answers[path] ?? { status: 404, body: 'not found' };
      if (answer instanceof Error) throw answer;
      return answer;
    },
    stream: () => {
      throw new Error('not used');
    },
    [Symbol.dispose]: () => undefined,
  };
}

describe('images of addons', () => {
  it('go into the control planes, and into no worker', async () => {
    await using folder = await createTemporaryFolder();
    const image = await buildImage({
      name: 'example.test/addon:1',
      architecture: 'amd64',
      entrypoint: ['/a'],
      files: [{ kind: 'file', path: 'a', content: Buffer.from('a') }],
      workFolder: folder.path,
      signal,
    });
    const archive = join(folder.path, 'addon.tar');
    await writeImageArchive(archive, [image], signal);
    const { nodes, done } = nodesWith(`${image.config.digest} example.test/addon:1\n`);
    await loadAddonImages({ addonImage: async () => archive }, nodes, workWith(['metrics-server']));
    const copied = done.filter((line) => line.includes(' gets '));
    expect(copied.sort()).toEqual([`control-plane gets ${archive}`, `control-plane-2 gets ${archive}`]);
  });

  it('are not asked for where there are none, and missed by name where nobody makes them', async () => {
    const { nodes, done } = nodesWith('');
    await loadAddonImages({}, nodes, workWith([{ manifest: 'kind: A' }]));
    expect(done).toEqual([]);
    await expect(loadAddonImages({}, nodes, workWith(['metrics-server']))).rejects.toMatchObject({
      code: 'BND_NO_SOURCE',
      message: expect.stringContaining('metrics-server') as string,
    });
  });
});

describe('addons', () => {
  it('are applied in their order, those of mk-ci under their names', async () => {
    const { nodes, done } = nodesWith('');
    const addons = [{ manifest: 'kind: A' }, 'metrics-server', { manifest: 'kind: B' }];
    await applyAddons(nodes[0]!.machine, workWith(addons));
    const applied = done.flatMap((line) => /apply --filename (\S+)/.exec(line)?.[1] ?? []);
    expect(applied).toEqual(['addon-1', 'addon-metrics-server', 'addon-3'].map((name) => `/etc/mk-ci/${name}.yaml`));
  });
});

describe('metrics-server', () => {
  const PATH = '/apis/metrics.k8s.io/v1beta1/nodes';
  const PODS = '/api/v1/namespaces/kube-system/pods';
  const settings = workWith(['metrics-server']).settings;
  const options = { signal, deadlineMs: 30, check: async () => undefined };
  const ok = (value: unknown): ApiAnswer => ({
    status: 200,
    body: typeof value === 'string' ? value : JSON.stringify(value),
  });
  const figures = (...names: string[]): ApiAnswer =>
    ok({ items: names.map((name) => ({ metadata: { name }, usage: { cpu: '1n', memory: '1Ki' } })) });

  it('is awaited until it has figures of each node', async () => {
    const client = clientWith({ [PATH]: figures('control-plane', 'worker-1') });
    await waitForAddons(client, settings, ['control-plane', 'worker-1'], options);
    await expect(waitForAddons(client, settings, ['worker-1', 'worker-2'], options)).rejects.toMatchObject({
      code: 'K8S_START_TIMEOUT',
      message: expect.stringContaining('none of worker-2') as string,
    });
  });

  it('is not awaited where nobody wants it', async () => {
    await waitForAddons(clientWith({}), workWith([{ manifest: 'kind: A' }]).settings, ['a'], options);
  });

  it('counts a node as missing without processors or memory', () => {
    const items = [
      { metadata: { name: 'a' }, usage: { cpu: '1n', memory: '1Ki' } },
      { metadata: { name: 'b' }, usage: { cpu: '1n' } },
    ];
    expect(nodesWithoutFigures({ items }, ['a', 'b', 'c'])).toEqual(['b', 'c']);
    expect(nodesWithoutFigures({}, ['a'])).toEqual(['a']);
  });

  it('that does not get ready is named, with its last lines and why it waits', async () => {
    const waiting = { reason: 'CrashLoopBackOff', message: 'back-off 10s' };
    const pod = { metadata: { name: 'm-1' }, status: { containerStatuses: [{ state: { waiting } }] } };
    const client = clientWith({
      [PATH]: { status: 503, body: 'service unavailable' },
      [`${PODS}?labelSelector=k8s-app%3Dmetrics-server`]: ok({ items: [pod] }),
      [`${PODS}/m-1/log?tailLines=100`]: ok(''),
      [`${PODS}/m-1/log?tailLines=100&previous=true`]: ok('I0101 starting\nE0102 unknown flag: --x\n'),
    });
    await expect(waitForAddons(client, settings, ['a'], options)).rejects.toMatchObject({
      code: 'K8S_START_TIMEOUT',
      message: expect.stringMatching(
        /: metrics-server had no figures after 0\.\d s: HTTP 503: service unavailable; its last words: E0102 unknown flag: --x$/,
      ) as string,
      details: {
        component: 'metrics-server',
        output: 'CrashLoopBackOff: back-off 10s\nE0102 unknown flag: --x',
      },
    });
  });

  it('that has no pod, or of which nothing can be heard, fails the same way', async () => {
    const none = clientWith({ [`${PODS}?labelSelector=k8s-app%3Dmetrics-server`]: ok({ items: [] }) });
    const unreachable = new MkCiError('NET_UNREACHABLE', { message: 'gone' });
    const silent = clientWith({ [`${PODS}?labelSelector=k8s-app%3Dmetrics-server`]: unreachable });
    for (const client of [none, silent]) {
      await expect(waitForAddons(client, settings, ['a'], options)).rejects.toMatchObject({
        code: 'K8S_START_TIMEOUT',
        details: { component: 'metrics-server', output: 'it has no pod' },
      });
    }
  });

  it('is told of by the scheduler where it finds no node', () => {
    const conditions = [{ type: 'PodScheduled', status: 'False', message: '0/1 nodes are available' }];
    expect(
      podStories({ items: [{ metadata: { name: 'p' }, status: { conditions } }, { metadata: { name: 'q' } }] }),
    ).toEqual([
      { name: 'p', reasons: ['not scheduled: 0/1 nodes are available'] },
      { name: 'q', reasons: [] },
    ]);
  });

  it('is not awaited after a restart where it was deleted or scaled to nothing', async () => {
    const path = '/apis/apps/v1/namespaces/kube-system/deployments/metrics-server';
    const has = async (answer: ApiAnswer) => await remainingAddons(clientWith({ [path]: answer }), settings, signal);
    expect(await has(ok({ spec: { replicas: 1 } }))).toEqual(['metrics-server']);
    expect(await has(ok({ spec: { replicas: 0 } }))).toEqual([]);
    expect(await has({ status: 404, body: '' })).toEqual([]);
    expect(await remainingAddons(clientWith({}), workWith([]).settings, signal)).toEqual([]);
  });
});
