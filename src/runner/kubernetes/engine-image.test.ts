import { createReadStream } from 'node:fs';
import { mkdir, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';

import { extract } from 'tar-stream';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { writeTar } from '../../cluster/node-image/index.js';
import { createTemporaryFolder, type TemporaryFolder } from '../../files.js';
import { buildEngineImage, fullImageName } from './engine-image.js';
import { packageClosure } from './package-closure.js';

let temporary: TemporaryFolder;
const at = (path: string): string => join(temporary.path, path);
beforeEach(async () => {
  temporary = await createTemporaryFolder();
});
afterEach(async () => {
  await temporary[Symbol.asyncDispose]();
});

async function put(path: string, content: string | object = ''): Promise<void> {
  await mkdir(dirname(at(path)), { recursive: true });
  await writeFile(at(path), typeof content === 'string' ? content : JSON.stringify(content));
}

/** mk-ci in a project: a is beside it, b exists twice, dev is not needed, missing is optional. */
async function putPackages(): Promise<void> {
  await put('node_modules/mk-ci/package.json', {
    dependencies: { a: '1', b: '1' },
    optionalDependencies: { missing: '1' },
    devDependencies: { dev: '1' },
  });
  await put('node_modules/mk-ci/bin/mk-ci.js', '#!/usr/bin/env node');
  await put('node_modules/mk-ci/dist/cli.js');
  await put('node_modules/mk-ci/src/cli.ts');
  await put('node_modules/a/package.json', { dependencies: { b: '2' } });
  await put('node_modules/a/node_modules/b/package.json', { dependencies: { a: '1' } });
  await put('node_modules/a/node_modules/b/of-a.js');
  await put('node_modules/b/package.json', {});
  await put('node_modules/dev/package.json', {});
}

describe('the packages that mk-ci needs', () => {
  it('are found beside it and inside of others, each version for who needs it', async () => {
    await putPackages();
    const found = await packageClosure(at('node_modules/mk-ci'));
    expect(Object.fromEntries([...found].map(([path, { folder }]) => [path, folder]))).toEqual({
      a: at('node_modules/a'),
      b: at('node_modules/b'),
      'a/node_modules/b': at('node_modules/a/node_modules/b'),
    });
  });

  it('are said when one is not installed', async () => {
    await put('node_modules/mk-ci/package.json', { dependencies: { gone: '1' } });
    await expect(packageClosure(at('node_modules/mk-ci'))).rejects.toThrow(/gone, which .* needs, is not installed/);
  });
});

describe('the image of pods', () => {
  it('holds Node.js, mk-ci, kubectl and the project, without its history', async () => {
    await putPackages();
    await writeTar(at('root.tar'), [{ kind: 'folder', path: 'etc' }], AbortSignal.timeout(10_000));
    for (const path of ['tools/node', 'tools/kubectl', 'project/mk-ci.yaml', 'project/.git/HEAD', 'project/a/.git/x'])
      await put(path, path);
    await symlink('mk-ci.yaml', at('project/link'));
    await mkdir(at('work'));
    await buildEngineImage({
      name: 'ci:1',
      rootfs: at('root.tar'),
      packageFolder: at('node_modules/mk-ci'),
      node: at('tools/node'),
      kubectl: at('tools/kubectl'),
      project: at('project'),
      architecture: 'amd64',
      out: at('out.tar'),
      workFolder: at('work'),
      signal: AbortSignal.timeout(10_000),
    });
    const paths: string[] = [];
    for (const layer of ['tools.tar', 'project.tar']) {
      const reader = extract();
      createReadStream(at(`work/${layer}`)).pipe(reader);
      for await (const entry of reader) {
        if (entry.header.type !== 'directory') paths.push(entry.header.name);
        entry.resume();
      }
    }
    expect(paths).toEqual([
      'opt/mk-ci/node_modules/a/node_modules/b/of-a.js',
      'opt/mk-ci/node_modules/a/node_modules/b/package.json',
      'opt/mk-ci/node_modules/a/package.json',
      'opt/mk-ci/node_modules/b/package.json',
      'opt/mk-ci/node_modules/mk-ci/bin/mk-ci.js',
      'opt/mk-ci/node_modules/mk-ci/dist/cli.js',
      'opt/mk-ci/node_modules/mk-ci/package.json',
      'usr/local/bin/kubectl',
      'usr/local/bin/mk-ci',
      'usr/local/bin/node',
      'project/a/.git/x',
      'project/link',
      'project/mk-ci.yaml',
    ]);
  });

  it('is named as runtimes keep it', () => {
    expect(fullImageName('ci:1')).toBe('docker.io/library/ci:1');
    expect(fullImageName('me/ci:1')).toBe('docker.io/me/ci:1');
    expect(fullImageName('localhost:5000/ci:1')).toBe('localhost:5000/ci:1');
  });
});
