import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';

import { describe, expect, it } from 'vitest';

import { releaseFiles, TEST_PLATFORM, writeTree } from '../cluster/bundle/testing/rig.js';
import { createTemporaryFolder } from '../files.js';
import { build } from './bundle.js';
import { callCommand, createTestContext } from './call.test-kit.js';

const onTestPlatform = process.platform === TEST_PLATFORM.os && process.arch === 'x64';

async function call(home: string, ...args: readonly string[]) {
  return await callCommand(build, args, createTestContext(home, { env: { MK_CI_HOME: home } }));
}

describe.skipIf(!onTestPlatform)('mk-ci bundle', () => {
  it('fetches, lists, verifies, plans and deletes, with data on stdout and progress on stderr', async () => {
    await using home = await createTemporaryFolder();
    await writeTree(join(home.path, 'mirror'), releaseFiles('v1.36.3'));
    const fetched = await call(home.path, 'fetch', '--from', 'mirror', '--json');
    expect(fetched.error).toBeUndefined();
    const bundle = JSON.parse(fetched.stdout) as { folder: string; kubernetesVersion: string };
    expect(bundle.kubernetesVersion).toBe('v1.36.3');
    expect(fetched.stderr).toMatch(/^bundle: kubectl v1\.36\.3: 0\.0 MB from .*mirror\/release\/.* \(\d+\.\d s\)$/m);

    const again = await call(home.path, 'fetch');
    expect(again.stdout).toBe(`${bundle.folder}\n`);
    expect(again.stderr).toBe('');

    const listed = JSON.parse((await call(home.path, 'list', '--json')).stdout) as {
      parts: string[];
      files: object[];
    }[];
    expect(listed).toHaveLength(1);
    expect(listed[0]?.parts).toEqual(['control-plane', 'fake-nodes']);
    expect((await call(home.path, 'list')).stdout).toContain('kubectl                  v1.36.3');

    const verified = await call(home.path, 'verify');
    expect(verified.stdout).toBe(`ok  ${bundle.folder} (6 files)\n`);

    const plan = await call(home.path, 'build', '--parts', 'all', '--dry-run', '--json');
    const { complete, programs } = JSON.parse(plan.stdout) as {
      complete: boolean;
      programs: { name: string; state: string }[];
    };
    expect(complete).toBe(false);
    const missing = programs.filter(({ state }) => state === 'missing').map(({ name }) => name);
    expect(missing).toEqual(expect.arrayContaining(['kubelet', 'containerd', 'kwokctl']));
    expect(missing).not.toContain('kube-apiserver');

    expect((await call(home.path, 'delete', '--kubernetes-version', 'v1.36.3', '--dry-run')).stdout).toContain(
      'would remove',
    );
    expect((await call(home.path, 'delete', '--kubernetes-version', 'v1.36.3')).stdout).toContain(
      `removed ${bundle.folder}`,
    );
    expect((await call(home.path, 'list', '--json')).stdout).toBe('[]\n');
  });

  it('prints what verify found and fails with the name of the file', async () => {
    await using home = await createTemporaryFolder();
    await writeTree(join(home.path, 'mirror'), releaseFiles('v1.36.3'));
    const { folder } = JSON.parse((await call(home.path, 'fetch', '--from', 'mirror', '--json')).stdout) as {
      folder: string;
    };
    await writeTree(folder, new Map([['bin/etcd', Buffer.from('changed')]]));
    const verified = await call(home.path, 'verify', '--json');
    expect(verified.error).toMatchObject({
      code: 'BND_CHECKSUM',
      message: expect.stringContaining('bin/etcd') as string,
    });
    expect(verified.stdout).toContain('"kind": "changed"');
  });

  it('refuses parts and versions that do not exist', async () => {
    await using home = await createTemporaryFolder();
    await mkdir(home.path, { recursive: true });
    expect((await call(home.path, 'build', '--parts', 'nodes')).error).toMatchObject({
      code: 'commander.invalidArgument',
    });
    expect((await call(home.path, 'fetch', '--kubernetes-version', 'latest')).error).toMatchObject({
      code: 'BND_UNKNOWN_VERSION',
    });
  });
});
