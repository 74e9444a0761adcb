import { readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';

import { describe, expect, it } from 'vitest';

import { createTemporaryFolder } from '../files.js';
import type { ApiClient } from './api-client.js';
import { clusterFolderAt } from './folder.js';
import { saveClusterLogs } from './logs.js';

const { signal } = new AbortController();

/** An API server that answers some paths, and 503 to others. */
function clientOf(answers: Readonly<Record<string, unknown>>): ApiClient {
  return {
    server: 'https://127.0.0.1:1',
    request: async (_method, path) => {
      const answer = answers[path];
      if (answer === undefined) return { status: 503, body: 'not now' };
      return { status: 200, body: typeof answer === 'string' ? answer : JSON.stringify(answer) };
    },
    stream: () => {
      throw new Error('not asked');
    },
    [Symbol.dispose]: () => undefined,
  };
}

const list = (...items: unknown[]): unknown => ({ kind: 'List', items });
const kind = (name: string, verbs = ['list', 'get']): unknown => ({ name, verbs });
const ANSWERS = {
  '/api/v1/nodes': list({ metadata: { name: 'control-plane' } }),
  '/api/v1/pods': list(),
  '/api/v1/events': list(),
  '/readyz?verbose': 'ok',
  '/apis': {
    groups: [
      { name: 'apps', preferredVersion: { groupVersion: 'apps/v1' } },
      { name: 'metrics.k8s.io', preferredVersion: { groupVersion: 'metrics.k8s.io/v1' } },
      { name: '../../etc', preferredVersion: { groupVersion: 'evil/v1' } },
    ],
  },
  '/api/v1': {
    resources: [
      ...['nodes', 'secrets', 'configmaps', 'services', 'pods/log', '../x'].map((name) => kind(name)),
      kind('bindings', ['create']),
    ],
  },
  '/api/v1/secrets': list({ data: { password: 'x' } }),
  '/api/v1/configmaps': list({ metadata: { name: 'a' }, volumes: { items: [] } }),
  '/api/v1/services': list(),
  '/apis/apps/v1': { resources: [kind('deployments')] },
  '/apis/apps/v1/deployments': list({ metadata: { name: 'web' } }),
};

async function save(client: ApiClient | undefined): Promise<Record<string, string>> {
  await using folder = await createTemporaryFolder();
  const target = join(folder.path, 'out');
  const paths = clusterFolderAt(join(folder.path, 'cluster'));
  await saveClusterLogs({
    ...{ name: 'demo', paths, record: undefined, target, signal },
    ...(client === undefined ? {} : { client }),
  });
  const files = await readdir(target, { recursive: true, withFileTypes: true });
  const named = files
    .filter((file) => file.isFile())
    .map(async (file) => {
      const path = join(file.parentPath, file.name);
      return [path.slice(target.length + 1), await readFile(path, 'utf8')] as const;
    });
  return Object.fromEntries(await Promise.all(named));
}

describe('the logs of a cluster', () => {
  it('hold all objects but Secrets, one file a kind, and say which could not be had', async () => {
    const files = await save(clientOf(ANSWERS));
    expect(Object.keys(files).sort()).toEqual(
      [
        ...['events.json', 'missing.txt', 'nodes.json', 'objects/configmaps.json', 'objects/deployments.apps.json'],
        ...['pods.json', 'readyz.txt'],
      ].sort(),
    );
    expect(files['objects/deployments.apps.json']).toContain('web');
    expect(files['missing.txt']).toContain('objects: /apis/metrics.k8s.io/v1: status 503');
    expect(JSON.stringify(files)).not.toContain('password');
  });

  it('are saved without an API server, and with one that answers nonsense', async () => {
    expect((await save(undefined))['missing.txt']).toContain('nodes.json: the cluster does not run');
    expect((await save(clientOf({ ...ANSWERS, '/apis': '<html>' })))['missing.txt']).toContain('objects: /apis: ');
    const files = await save(clientOf({ ...ANSWERS, '/api/v1': { resources: undefined } }));
    expect(Object.keys(files)).toContain('objects/deployments.apps.json');
  });
});
