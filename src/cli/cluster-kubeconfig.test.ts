import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parse } from 'yaml';

import type { ClusterStatus } from '../cluster/cluster.js';
import { renderKubeconfig } from '../cluster/kubeconfig.js';
import { MkCiError } from '../errors.js';
import { createTemporaryFolder, type TemporaryFolder } from '../files.js';
import { callCommand, createTestContext } from './call.test-kit.js';
import { buildKubeconfigCommand, findMerged, refreshMerged, unmergeAll } from './cluster-kubeconfig.js';

const MINE = 'apiVersion: v1\nkind: Config\ncontexts: [{name: work, context: {}}]\ncurrent-context: work\n';

describe('cluster kubeconfig', () => {
  let folder: TemporaryFolder;
  let own: string;
  let mine: string;
  beforeEach(async () => {
    folder = await createTemporaryFolder();
    const cluster = join(folder.path, 'state', 'clusters', 'demo');
    await mkdir(cluster, { recursive: true });
    own = join(cluster, 'kubeconfig');
    mine = join(folder.path, 'mine');
    await writeFile(own, kubeconfigAt('https://127.0.0.1:1'));
    await writeFile(mine, MINE);
  });
  afterEach(async () => {
    await folder[Symbol.asyncDispose]();
  });

  const kubeconfigAt = (server: string): string =>
    renderKubeconfig({ name: 'demo', server, ca: 'a', certificate: 'b', key: 'c' });
  const testContext = () =>
    createTestContext(folder.path, { env: { MK_CI_HOME: folder.path, KUBECONFIG: `${mine}:/other` } });
  const call = async (args: readonly string[], status: Partial<ClusterStatus> | 'absent' = {}) => {
    const test = testContext();
    const open = () => ({
      status: async () => {
        if (status === 'absent') throw new MkCiError('K8S_CLUSTER_NOT_FOUND');
        return { driver: 'docker', kubernetesVersion: 'v1.36.3', kubeconfig: own, ...status } as ClusterStatus;
      },
    });
    return await callCommand(() => buildKubeconfigCommand(test.context, open), args, test);
  };
  const contexts = async (): Promise<unknown> => {
    const { contexts: list, 'current-context': current } = parse(await readFile(mine, 'utf8')) as {
      readonly contexts: readonly { readonly name: string }[];
      readonly 'current-context': string;
    };
    return { names: list.map(({ name }) => name), current };
  };

  it('prints it, or where it lies', async () => {
    expect((await call(['demo'])).stdout).toBe(await readFile(own, 'utf8'));
    expect((await call(['demo', '--path'])).stdout).toBe(`${own}\n`);
    expect((await call(['demo'], 'absent')).code).toBe('K8S_CLUSTER_NOT_FOUND');
  });

  it('merges the cluster into the first kubeconfig of the user and out of it, and knows where it is', async () => {
    expect((await call(['demo', '--merge'])).stdout).toBe(`mk-ci-demo is in ${mine}\n`);
    expect(await contexts()).toEqual({ names: ['work', 'mk-ci-demo'], current: 'work' });
    expect(await findMerged('demo', testContext().context)).toEqual([mine]);
    await call(['demo', '--merge', '--use']);
    expect(await contexts()).toEqual({ names: ['work', 'mk-ci-demo'], current: 'mk-ci-demo' });
    await call(['demo', '--unmerge'], 'absent');
    expect(await contexts()).toEqual({ names: ['work'], current: '' });
    expect(await findMerged('demo', testContext().context)).toEqual([]);
  });

  it('is changed with the cluster, unless the user took it out', async () => {
    const { context } = testContext();
    await call(['demo', '--merge', '--file', 'mine']);
    await writeFile(own, kubeconfigAt('https://127.0.0.1:2'));
    await refreshMerged('demo', own, context);
    expect(await readFile(mine, 'utf8')).toContain('https://127.0.0.1:2');
    await unmergeAll('demo', [mine], context);
    await refreshMerged('demo', own, context);
    expect(await contexts()).toEqual({ names: ['work'], current: 'work' });
  });

  it('does not fail a start or a deletion for a kubeconfig that is broken by then', async () => {
    const { context, observed } = testContext();
    await call(['demo', '--merge']);
    await writeFile(mine, '- mk-ci-demo');
    await refreshMerged('demo', own, context);
    await unmergeAll('demo', [mine], context);
    expect(observed.logged).toHaveLength(2);
    expect(await readFile(mine, 'utf8')).toBe('- mk-ci-demo');
  });

  it.each([[['--merge', '--unmerge']], [['--merge', '--path']], [['--use']], [['--file', 'x']]])(
    'refuses %j',
    async (flags) => {
      expect((await call(['demo', ...flags])).code).toBe('CLI_USAGE');
    },
  );

  it('refuses clusters that have none, or are from one', async () => {
    expect((await call(['demo', '--merge'], { kubernetesVersion: 'none' })).code).toBe('K8S_ABSENT');
    expect((await call(['demo', '--merge'], { driver: 'existing' })).code).toBe('CLI_USAGE');
    expect(await contexts()).toEqual({ names: ['work'], current: 'work' });
  });
});
