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
import { fullName, loadIntoNode, readArchiveManifest, readFromTar } from './node-images.js';
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
