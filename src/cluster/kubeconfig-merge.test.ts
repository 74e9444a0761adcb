import { setMaxListeners } from 'node:events';
import { lstat, readFile, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parse, stringify } from 'yaml';

import { isMkCiError } from '../errors.js';
import { createTemporaryFolder } from '../files.js';
import { defaultKubeconfig, editKubeconfig, mergeKubeconfig, unmergeKubeconfig } from './kubeconfig-merge.js';
import { renderKubeconfig } from './kubeconfig.js';

const { signal } = new AbortController();
setMaxListeners(50, signal);
const kubeconfigOf = (server: string): string =>
  renderKubeconfig({ name: 'demo', server, ca: 'ca', certificate: 'cert', key: 'key' });
const FROM = kubeconfigOf('https://127.0.0.1:1');
const merge = (text: string, use = false): string => mergeKubeconfig(text, { cluster: 'demo', from: FROM, use });

const MINE = `# mine
apiVersion: v1
kind: Config
preferences: {colors: true}
clusters:
- name: work   # the big one
  cluster: {server: "https://work", extensions: [{name: x, extension: {a: 1}}]}
users:
- name: me
  user:
    exec: {command: login, args: [--now]}
contexts:
- {name: work, context: {cluster: work, user: me, namespace: team}}
current-context: work
`;

describe('a cluster in a kubeconfig that holds others', () => {
  it('has entries of its own, and changes no others, no comment and no current context', () => {
    const merged = merge(MINE);
    expect(merged).toContain('# mine');
    expect(merged).toContain('# the big one');
    const before = parse(MINE) as Record<string, unknown[]>;
    const after = parse(merged) as Record<string, unknown[]>;
    const mine = { server: 'https://127.0.0.1:1' };
    expect(after).toMatchObject({
      ...before,
      clusters: [...(before['clusters'] ?? []), { name: 'mk-ci-demo', cluster: mine }],
      users: [...(before['users'] ?? []), { name: 'mk-ci-demo', user: {} }],
      contexts: [...(before['contexts'] ?? []), { context: { cluster: 'mk-ci-demo', user: 'mk-ci-demo' } }],
    });
    expect(parse(unmergeKubeconfig(merged, 'demo'))).toEqual(before);
  });

  it('is put in the place of an older one', () => {
    const twice = mergeKubeconfig(merge(MINE), { cluster: 'demo', from: kubeconfigOf('https://127.0.0.1:2') });
    const { clusters } = parse(twice) as { clusters: { cluster: { server: string } }[] };
    expect(clusters.map(({ cluster }) => cluster.server)).toEqual(['https://work', 'https://127.0.0.1:2']);
  });

  it('becomes the current one when asked for, or when there is none', () => {
    const current = (text: string): unknown => (parse(text) as Record<string, unknown>)['current-context'];
    expect(current(merge(MINE, true))).toBe('mk-ci-demo');
    expect(current(merge(''))).toBe('mk-ci-demo');
    expect(current(unmergeKubeconfig(merge(MINE, true), 'demo'))).toBe('');
    expect(current(unmergeKubeconfig(merge(MINE), 'demo'))).toBe('work');
  });

  it('can be in JSON, in lists that are null, and in nothing', () => {
    const json = JSON.stringify({ apiVersion: 'v1', kind: 'Config', clusters: null, users: [], contexts: null });
    for (const text of [json, '', '# only words\n', 'apiVersion: v1\nkind: Config\nclusters: null\n']) {
      const { contexts } = parse(merge(text)) as { contexts: { name: string }[] };
      expect(contexts.map(({ name }) => name)).toEqual(['mk-ci-demo']);
      expect(unmergeKubeconfig(text, 'demo')).toBe(text);
    }
    expect(() => JSON.parse(merge(json)) as unknown).not.toThrow();
  });

  it('is refused by a file that is none', () => {
    for (const text of ['- a', 'just words', 'a: [', 'clusters: 3', 'users: {}', '{"contexts": "x"}']) {
      for (const change of [merge, (old: string) => unmergeKubeconfig(old, 'demo')]) {
        let error: unknown;
        try {
          change(text);
        } catch (thrown) {
          error = thrown;
        }
        expect(isMkCiError(error, 'K8S_KUBECONFIG'), text).toBe(true);
      }
    }
  });

  it('goes without a trace, whatever else is there', () => {
    const name = fc.string().filter((text) => text !== 'mk-ci-demo');
    const list = (field: string): fc.Arbitrary<unknown[]> =>
      fc.array(
        fc.record({ name, [field]: fc.dictionary(fc.string(), fc.oneof(fc.string(), fc.integer(), fc.boolean())) }),
      );
    const config = fc.record({
      ...{ apiVersion: fc.constant('v1'), kind: fc.constant('Config'), 'current-context': name.filter(Boolean) },
      ...{ clusters: list('cluster'), users: list('user'), contexts: list('context') },
    });
    fc.assert(
      fc.property(config, fc.boolean(), (value, isJson) => {
        const text = isJson ? JSON.stringify(value) : stringify(value);
        const merged = merge(text);
        expect(merge(merged)).toBe(merged);
        expect(parse(unmergeKubeconfig(merged, 'demo'))).toEqual(parse(text));
      }),
      { numRuns: 40 },
    );
  });
});

describe('the file', () => {
  it('is the one that kubectl would write to', () => {
    expect(defaultKubeconfig({ KUBECONFIG: '/a:/b', HOME: '/home/me' })).toBe('/a');
    expect(defaultKubeconfig({ KUBECONFIG: '', HOME: '/home/me' })).toBe('/home/me/.kube/config');
  });

  it('loses nothing when many change it at the same time', async () => {
    await using folder = await createTemporaryFolder();
    const path = join(folder.path, 'new', 'config');
    const names = Array.from({ length: 12 }, (_, index) => `c${index}`);
    await Promise.all(
      names.map(async (cluster) => {
        await editKubeconfig(path, (text) => mergeKubeconfig(text, { cluster, from: FROM }), { signal });
      }),
    );
    const { contexts } = parse(await readFile(path, 'utf8')) as { contexts: { name: string }[] };
    expect(contexts.map(({ name }) => name).sort()).toEqual(names.map((name) => `mk-ci-${name}`).sort());
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    await expect(stat(`${path}.lock`)).rejects.toThrow('ENOENT');
  });

  it('keeps its rights and stays a link', async () => {
    await using folder = await createTemporaryFolder();
    const [file, link] = [join(folder.path, 'file'), join(folder.path, 'link')];
    await writeFile(file, MINE, { mode: 0o640 });
    await symlink(file, link);
    await editKubeconfig(link, merge, { signal });
    expect((await lstat(link)).isSymbolicLink()).toBe(true);
    expect((await stat(file)).mode & 0o777).toBe(0o640);
    expect(await readFile(file, 'utf8')).toContain('mk-ci-demo');
  });

  it('is left alone while another tool holds its lock, and after an edit that fails', async () => {
    await using folder = await createTemporaryFolder();
    const path = join(folder.path, 'config');
    await writeFile(path, '- a');
    const tried = editKubeconfig(path, merge, { signal });
    expect(isMkCiError(await tried.catch((error: unknown) => error), 'K8S_KUBECONFIG')).toBe(true);
    await writeFile(`${path}.lock`, '');
    const locked = editKubeconfig(path, () => '', { signal, timeoutMs: 50 });
    expect(isMkCiError(await locked.catch((error: unknown) => error), 'HOST_LOCKED')).toBe(true);
    expect(await readFile(path, 'utf8')).toBe('- a');
  });
});
