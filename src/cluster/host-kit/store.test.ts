import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { describe, expect, it } from 'vitest';

import { readKit } from '../../drivers/given/index.js';
import { createTemporaryFolder } from '../../files.js';
import { programsOf, type BundleStore } from '../bundle/index.js';
import type { NodeImage } from '../node-image/index.js';
import { createHostKitStore } from './store.js';

const { signal } = new AbortController();

const IMAGE: NodeImage = {
  format: 'mk-ci-node-image/1',
  kubernetesVersion: 'v1.36.3',
  arch: 'amd64',
  key: '0123456789abcdef',
  bundleDigest: 'sha256:b',
  rootfsSha256: 'r',
  images: ['registry.k8s.io/pause:3.10.2'],
  pauseImage: 'registry.k8s.io/pause:3.10.2',
  runtimes: ['containerd'],
  reference: 'mk-ci-node:v1.36.3',
  digest: 'sha256:d',
  sizeBytes: 1,
  imagesSizeBytes: 1,
  buildSeconds: 1,
  createdAt: '2026-11-22T00:00:00.000Z',
  madeBy: 'mk-ci',
  folder: '',
  archive: '',
  imagesArchive: '',
};

/** Programs that hold their names. */
async function makeBundles(folder: string): Promise<BundleStore> {
  const binaries = join(folder, 'bin');
  await mkdir(binaries, { recursive: true });
  const path = (name: string): string => join(binaries, name);
  for (const { name } of programsOf(['control-plane', 'node'])) await writeFile(path(name), name);
  return {
    ensure: async (kubernetesVersion) => ({ kubernetesVersion, folder, binaries, digest: 'sha256:b', path }),
  };
}

describe('what a given host gets', () => {
  it('is made once, and made again when it can not be read', async () => {
    await using folder = await createTemporaryFolder();
    const imagesArchive = join(folder.path, 'images.tar');
    await writeFile(imagesArchive, 'images');
    const store = createHostKitStore({ cacheFolder: folder.path, bundles: await makeBundles(folder.path) });
    const made = await store.ensure({ ...IMAGE, imagesArchive }, signal);
    const { key } = await readKit(made);
    await writeFile(join(made, 'kit.json'), '{');
    expect(await store.ensure({ ...IMAGE, imagesArchive }, signal)).toBe(made);
    expect((await readKit(made)).key).toBe(key);
    expect(await readFile(join(made, 'payload', 'bin', 'kubelet'), 'utf8')).toBe('kubelet');
  });

  it('has kubectl where a pod finds it that sees nothing but the folder of programs', async () => {
    await using folder = await createTemporaryFolder();
    const imagesArchive = join(folder.path, 'images.tar');
    await writeFile(imagesArchive, 'images');
    const store = createHostKitStore({ cacheFolder: folder.path, bundles: await makeBundles(folder.path) });
    const { links, copies } = await readKit(await store.ensure({ ...IMAGE, imagesArchive }, signal));
    expect(copies['/usr/local/bin/kubectl']).toBe('bin/kubectl');
    expect(links['/usr/local/bin/kubectl']).toBeUndefined();
    expect(links['/usr/local/bin/kubelet']).toBe('bin/kubelet');
  });
});
