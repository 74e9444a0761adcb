import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { createTemporaryFolder } from '../../files.js';
import { identifySelf } from '../../process.js';
import { bundleFolders, createWorkFolder, formatOwner, parseOwner, sweepWorkFolders } from './workspace.js';

describe('work folders', () => {
  it('go away when disposed, and keep what was downloaded in part', async () => {
    await using home = await createTemporaryFolder();
    const folders = bundleFolders(home.path);
    {
      await using work = await createWorkFolder(folders);
      await writeFile(join(work.path, 'abc.0123abcd.part'), 'x');
      await writeFile(join(work.path, 'abc.0123abcd.part.json'), '{}');
      await writeFile(join(work.path, 'other'), 'x');
    }
    expect(await readdir(folders.work)).toEqual([]);
    expect((await readdir(folders.partial)).sort()).toEqual(['abc.part', 'abc.part.json']);
  });

  it('of dead processes are removed, of living ones are not', async () => {
    await using home = await createTemporaryFolder();
    const folders = bundleFolders(home.path);
    const dead = formatOwner({ pid: 4_000_000, startedAt: '1@00000000' });
    const reused = formatOwner({ ...identifySelf(), startedAt: '1@00000000' });
    const living = formatOwner(identifySelf());
    for (const name of [dead, reused, living, 'nonsense'])
      await mkdir(join(folders.work, name, 'bundle'), { recursive: true });
    expect((await sweepWorkFolders(folders)).sort()).toEqual([dead, reused, 'nonsense'].sort());
    expect(await readdir(folders.work)).toEqual([living]);
  });
});

describe('formatOwner', () => {
  it('is read back by parseOwner and is a plain file name', () => {
    const started = fc.tuple(fc.nat(), fc.stringMatching(/^[0-9a-f]{8}$/)).map(([ticks, boot]) => `${ticks}@${boot}`);
    const identity = fc.record({ pid: fc.integer({ min: 1 }), startedAt: fc.oneof(fc.constant(''), started) });
    fc.assert(
      fc.property(identity, (owner) => {
        const name = formatOwner(owner);
        expect(name).toMatch(/^[\w-]+$/);
        expect(parseOwner(name)).toEqual(owner);
      }),
    );
  });

  it('takes nothing else for an owner', () => {
    for (const name of ['', 'x', '1-2', '1-2-3-4-5', '-1-2-3-4']) expect(parseOwner(name)).toBeUndefined();
  });
});
