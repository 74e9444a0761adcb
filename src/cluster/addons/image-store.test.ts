import { readdir } from 'node:fs/promises';
import { join } from 'node:path';

import { describe, expect, it } from 'vitest';

import { createTemporaryFolder } from '../../files.js';
import { readArchiveManifest, readFromTar } from '../bootstrap/kubeadm/nodes/node-images.js';
import type { BundleStep } from '../bundle/index.js';
import { createFakeGo, type FakeGoOptions } from '../bundle/testing/rig.js';
import { addonImage, addonImageFile } from './catalogue.js';
import { createAddonImageStore } from './image-store.js';

const { signal } = new AbortController();

async function rig(go: Partial<FakeGoOptions> = {}) {
  const folder = await createTemporaryFolder();
  const calls: NonNullable<FakeGoOptions['calls']> = [];
  const cacheFolder = join(folder.path, 'cache');
  const exec = createFakeGo({ folder: join(folder.path, 'modules'), calls, ...go });
  const store = createAddonImageStore({ cacheFolder, exec, env: {}, arch: 'amd64' });
  const left = async (): Promise<string[]> =>
    (await readdir(join(cacheFolder, 'addon-images'))).filter((name) => !name.startsWith('.'));
  return {
    store,
    left,
    builds: () => calls.filter(({ argv }) => argv[1] === 'build').length,
    [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose](),
  };
}

describe('images of addons', () => {
  it('are compiled and put into an archive once, and nothing of the work is left', async () => {
    await using made = await rig();
    const steps: BundleStep[] = [];
    const path = await made.store.ensure('metrics-server', { signal, onStep: (step) => void steps.push(step) });
    const [image] = readArchiveManifest(await readFromTar(path, 'manifest.json', signal));
    expect(image?.names).toEqual([addonImage('metrics-server')]);
    expect(steps.at(-1)).toMatchObject({ name: 'metrics-server v0.9.0', state: 'ok' });
    expect(await made.store.ensure('metrics-server', { signal })).toBe(path);
    expect(made.builds()).toBe(1);
    expect(await made.left()).toEqual([addonImageFile('metrics-server', 'amd64')]);
  });

  it('have the program where the image starts, for any user', async () => {
    await using made = await rig();
    const path = await made.store.ensure('metrics-server', { signal });
    const [entry] = JSON.parse(await readFromTar(path, 'manifest.json', signal)) as {
      Config: string;
      Layers: string[];
    }[];
    const config = JSON.parse(await readFromTar(path, entry!.Config, signal)) as object;
    expect(config).toMatchObject({ architecture: 'amd64', os: 'linux', config: { Entrypoint: ['/metrics-server'] } });
    const layer = await readFromTar(path, entry!.Layers[0]!, signal);
    expect(layer.slice(0, 100).replaceAll('\0', '')).toBe('metrics-server');
    expect(layer.slice(100, 107)).toBe('000755 ');
    expect(layer).toContain('program of sigs.k8s.io/metrics-server/cmd/metrics-server');
  });

  it('are made once for two that want them at the same time', async () => {
    await using made = await rig({ duringBuild: () => new Promise((resolve) => setTimeout(resolve, 50)) });
    const want = (): Promise<string> => made.store.ensure('metrics-server', { signal });
    const [first, second] = await Promise.all([want(), want()]);
    expect(first).toBe(second);
    expect(made.builds()).toBe(1);
  });

  it('can not be had without modules or Go that fits: the reason is said, with a way out', async () => {
    const noModule = ({ 1: verb }: readonly string[]) =>
      verb === 'mod' ? { stderr: 'go: sigs.k8s.io/metrics-server: 403 Forbidden\n', exitCode: 1 } : undefined;
    for (const [go, reason] of [
      [{ fail: noModule }, '403 Forbidden'],
      [{ goVersion: 'go1.20' }, 'Go 1.26.0 or newer is needed, 1.20 is installed'],
    ] as const) {
      await using made = await rig(go);
      await expect(made.store.ensure('metrics-server', { signal })).rejects.toMatchObject({
        code: 'BND_NO_SOURCE',
        message: expect.stringContaining(reason) as string,
        advice: expect.stringContaining('--addon FILE') as string,
      });
      expect(await made.left()).toEqual([]);
    }
  });

  it('are not there after a compiler that failed', async () => {
    const broken = ({ 1: verb }: readonly string[]) =>
      verb === 'build' ? { stderr: 'no luck\n', exitCode: 2 } : undefined;
    await using made = await rig({ fail: broken });
    await expect(made.store.ensure('metrics-server', { signal })).rejects.toMatchObject({ code: 'BND_BUILD_FAILED' });
    expect(await made.left()).toEqual([]);
  });
});

describe('the name of an archive', () => {
  it('tells addon, version and architecture, and is another one where the content is', () => {
    expect(addonImageFile('metrics-server', 'amd64')).toMatch(/^metrics-server-v0\.9\.0-amd64-[0-9a-f]{8}\.tar$/);
    expect(addonImageFile('metrics-server', 'arm64').slice(-12)).not.toBe(
      addonImageFile('metrics-server', 'amd64').slice(-12),
    );
  });
});
