import { createWriteStream } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';

import { pack } from 'tar-stream';
import { describe, expect, it } from 'vitest';

import type { Machine } from '../../../../drivers/driver.js';
import { isMkCiError } from '../../../../errors.js';
import { createTemporaryFolder } from '../../../../files.js';
import { createDeadline } from '../../../phases.js';
import {
  checkSameImage,
  fullName,
  loadIntoNode,
  pullIntoNode,
  readArchiveManifest,
  readFromTar,
  readImageName,
} from './node-images.js';
import { readSettings } from '../settings.js';

const { signal } = new AbortController();
const ENDED = {
  exitCode: 0,
  signal: undefined,
  timedOut: false,
  aborted: false,
  leftChildren: false,
  durationMs: 0,
  stderr: '',
};
const HASH = 'ab'.repeat(32);

describe('the manifest of an archive', () => {
  it('gives the id of an image and its full names, in the layouts of old and new engines', () => {
    const text = JSON.stringify([
      { Config: `${HASH}.json`, RepoTags: ['app:dev', 'registry.k8s.io/pause:3.10'] },
      { Config: `blobs/sha256/${HASH}`, RepoTags: null },
    ]);
    expect(readArchiveManifest(text)).toEqual([
      { id: `sha256:${HASH}`, names: ['docker.io/library/app:dev', 'registry.k8s.io/pause:3.10'] },
      { id: `sha256:${HASH}`, names: [] },
    ]);
  });

  it('is asked for when the file is something else', () => {
    for (const text of ['', 'no json', '[]', '{}', '[{}]', '[{"Config":"x"}]', '[null]']) {
      expect(() => readArchiveManifest(text), text).toThrow('not an archive of images');
    }
  });

  it('gives no name that would be more than a word in a script of a node', () => {
    for (const name of ['a:1; reboot', 'a:$(reboot)', 'a`reboot`', "a'b", 'a\nb', '-a', '']) {
      const text = JSON.stringify([{ Config: `${HASH}.json`, RepoTags: [name] }]);
      expect(() => readArchiveManifest(text), name).toThrow('name of an image');
    }
    const names = ['a', 'localhost/a_b/c.d__e:v1.2-3_4', 'host:5000/a@sha256:' + HASH, 'Registry.example/a:LATEST'];
    const text = JSON.stringify([{ Config: `${HASH}.json`, RepoTags: names }]);
    expect(readArchiveManifest(text)[0]?.names).toHaveLength(4);
  });

  it('is found in a tar, wherever it lies', async () => {
    await using folder = await createTemporaryFolder();
    const path = join(folder.path, 'a.tar');
    const tar = pack();
    tar.entry({ name: 'layer' }, 'x'.repeat(5000));
    tar.entry({ name: './manifest.json' }, '[1]');
    tar.entry({ name: 'after' }, 'y');
    tar.finalize();
    await pipeline(tar, createWriteStream(path));
    expect(await readFromTar(path, 'manifest.json', signal)).toBe('[1]');
    expect(await readFromTar(path, 'other.json', signal)).toBe('');
    await writeFile(path, 'z'.repeat(2000));
    const errors = [path, join(folder.path, 'none')].map(async (file) => {
      const error = await readFromTar(file, 'manifest.json', signal).catch((thrown: unknown) => thrown);
      return isMkCiError(error, 'IMG_LOAD_FAILED');
    });
    expect(await Promise.all(errors)).toEqual([true, true]);
  });
});

describe('names of images', () => {
  it.each([
    ['a:1', 'docker.io/library/a:1'],
    ['a/b:1', 'docker.io/a/b:1'],
    ['localhost/a:1', 'localhost/a:1'],
    ['host:5000/a:1', 'host:5000/a:1'],
    ['registry.k8s.io/a/b:1', 'registry.k8s.io/a/b:1'],
  ])('%s is %s', (name, full) => {
    expect(fullName(name)).toBe(full);
  });
});

describe('an image of a registry', () => {
  const DIGEST = `sha256:${HASH}`;

  it.each([
    ['app', 'docker.io/library/app:latest'],
    ['team/app:1', 'docker.io/team/app:1'],
    ['host:5000/app', 'host:5000/app:latest'],
    ['host:5000/app:1', 'host:5000/app:1'],
    [`host:5000/app@${DIGEST}`, `host:5000/app@${DIGEST}`],
  ])('%s is %s', (text, name) => {
    expect(readImageName(text)).toBe(name);
  });

  it('has a name that is one word in a script of a node', () => {
    for (const text of ['', '-a', 'a b', 'a:1; reboot', 'a$(reboot)', 'a\nb']) {
      expect(() => readImageName(text), text).toThrow('no name of an image');
    }
  });

  const pull = async (
    runtime: string,
    answer: { readonly exitCode?: number; readonly stdout?: string; readonly stderr?: string },
  ): Promise<{ script: string; result: unknown }> => {
    let script = '';
    const machine: Machine = {
      name: 'c1-worker-1',
      internalAddress: '',
      copyTo: async () => undefined,
      copyFrom: async () => undefined,
      endpoint: async () => ({ host: '', port: 0 }),
      exec: async (argv) => {
        script = argv.at(-1) ?? '';
        return { ...ENDED, stdout: '', ...answer, argv };
      },
    };
    const spec = { name: 'c1', driver: 'docker', kubernetesVersion: 'v1.36.3', nodes: 1, containerRuntime: runtime };
    const work = { settings: readSettings(spec), signal, deadline: createDeadline(1000) };
    const result: unknown = await pullIntoNode({ machine, node: 'worker-1' }, 'host:5000/app:1', work).catch(
      (thrown: unknown) => thrown,
    );
    return { script, result };
  };

  it.each([
    [
      'containerd',
      /^ctr -n k8s.io images pull --skip-metadata --hosts-dir \/etc\/containerd\/certs.d host:5000\/app:1 /,
    ],
    ['docker', /^docker pull -q host:5000\/app:1 /],
    ['cri-o', /^podman pull -q host:5000\/app:1 /],
  ])('is got by the runtime %s, and known by its id', async (runtime, command) => {
    const { script, result } = await pull(runtime, { stdout: `${DIGEST} host:5000/app:1\n` });
    expect(script).toMatch(command);
    expect(result).toBe(DIGEST);
  });

  it('that can not be got is an error with the words of the runtime', async () => {
    const { result } = await pull('containerd', { exitCode: 1, stderr: 'level=warning\nctr: app:1: not found\n' });
    expect(isMkCiError(result, 'IMG_LOAD_FAILED')).toBe(true);
    expect(String(result)).toContain('worker-1 can not get host:5000/app:1: ctr: app:1: not found');
    expect(isMkCiError((await pull('docker', { stdout: ' host:5000/app:1\n' })).result, 'IMG_LOAD_FAILED')).toBe(true);
  });

  it('is the same in all nodes', () => {
    const [a, b] = [
      { node: 'control-plane', id: DIGEST },
      { node: 'worker-1', id: 'sha256:00' },
    ];
    expect(() => {
      checkSameImage('app:1', []);
    }).not.toThrow();
    expect(() => {
      checkSameImage('app:1', [a, { ...a, node: 'worker-1' }]);
    }).not.toThrow();
    expect(() => {
      checkSameImage('app:1', [a, b]);
    }).toThrow('sha256:00 in worker-1');
  });
});

describe('loading into a node', () => {
  const settings = readSettings({ name: 'c1', driver: 'docker', kubernetesVersion: 'v1.36.3', nodes: 1 });
  const load = async (answer: string): Promise<{ script: string; error: unknown }> => {
    let script = '';
    const machine: Machine = {
      name: 'c1-control-plane',
      internalAddress: '',
      copyTo: async () => undefined,
      copyFrom: async () => undefined,
      endpoint: async () => ({ host: '', port: 0 }),
      exec: async (argv, options) => {
        script = argv.at(-1) ?? '';
        expect(options?.inputFile).toBe('/a.tar');
        return { ...ENDED, argv, stdout: answer };
      },
    };
    const images = [{ id: `sha256:${HASH}`, names: ['docker.io/library/app:dev'] }];
    const work = { settings, signal, deadline: createDeadline(1000) };
    const error: unknown = await loadIntoNode(
      { machine, node: 'control-plane' },
      { archive: '/a.tar', images },
      work,
    ).catch((thrown: unknown) => thrown);
    return { script, error };
  };

  it('succeeds when the store then has the image under its id, without an archive there', async () => {
    const { script, error } = await load(`sha256:${HASH} docker.io/library/app:dev\n`);
    expect(error).toBeUndefined();
    expect(script).toMatch(/^ctr -n k8s.io images import --digests=false - /);
  });

  it('fails when the store has another one, or none', async () => {
    for (const answer of ['sha256:00 docker.io/library/app:dev\n', ' docker.io/library/app:dev\n', '']) {
      expect(isMkCiError((await load(answer)).error, 'IMG_LOAD_FAILED'), answer).toBe(true);
    }
  });
});
