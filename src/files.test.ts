import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, readFile, readdir, stat, symlink, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { dirname, join } from 'node:path';

import { describe, expect, it } from 'vitest';

import {
  createTemporaryFolder,
  foldersOf,
  listTemporaryFolders,
  makeFolder,
  replaceFolder,
  writeFileAtomically,
} from './files.js';
import { formatIdentity, identifySelf, placeOfProcesses } from './process.js';

describe('foldersOf', () => {
  it('follows MK_CI_HOME, then the XDG variables, then the home folder', () => {
    expect(foldersOf({ MK_CI_HOME: '/x', HOME: '/h' })).toEqual({ cache: '/x/cache', state: '/x/state' });
    expect(foldersOf({ XDG_CACHE_HOME: '/c', XDG_STATE_HOME: '/s', HOME: '/h' })).toEqual({
      cache: '/c/mk-ci',
      state: '/s/mk-ci',
    });
    expect(foldersOf({ HOME: '/h' })).toEqual({ cache: '/h/.cache/mk-ci', state: '/h/.local/state/mk-ci' });
  });
});

describe('makeFolder', () => {
  it('makes what is missing with its mode, and leaves what is there', async () => {
    await using folder = await createTemporaryFolder();
    const path = join(folder.path, 'a', 'b', 'c');
    await Promise.all(
      [1, 2, 3].map(async () => {
        await makeFolder(path, { mode: 0o700 });
      }),
    );
    expect((await stat(path)).mode & 0o777).toBe(0o700);
    await writeFile(join(path, 'kept'), '');
    await makeFolder(path);
    await makeFolder(`${path}/`);
    expect(await readdir(path)).toEqual(['kept']);
  });

  it('names a file that is in the way, in place of the folder or above it', async () => {
    await using folder = await createTemporaryFolder();
    const file = join(folder.path, 'file');
    await writeFile(file, '');
    for (const path of [file, join(file, 'below'), join(file, 'far', 'below')]) {
      await expect(makeFolder(path)).rejects.toMatchObject({
        code: 'HOST_PERMISSION',
        message: expect.stringContaining('a file is where a folder should be') as string,
      });
    }
  });

  it.runIf(existsSync('/proc/self'))('says at once that no folder can be made below /proc', async () => {
    for (const path of ['/proc/mk-ci', '/proc/mk-ci/state/clusters']) {
      await expect(makeFolder(path)).rejects.toMatchObject({ code: 'HOST_PERMISSION' });
    }
  });

  it('follows links to folders, and says of a link to nothing what it is', async () => {
    await using folder = await createTemporaryFolder();
    await symlink(folder.path, join(folder.path, 'link'));
    await makeFolder(join(folder.path, 'link', 'deep'));
    expect(await readdir(folder.path)).toEqual(['deep', 'link']);
    await symlink('/nowhere/at/all', join(folder.path, 'broken'));
    await expect(makeFolder(join(folder.path, 'broken', 'x'))).rejects.toThrow();
  });
});

describe('writeFileAtomically', () => {
  it('replaces a file as a whole, with its mode, and makes the folder', async () => {
    await using folder = await createTemporaryFolder();
    const path = join(folder.path, 'deep', 'file');
    await writeFileAtomically(path, 'one');
    await writeFileAtomically(path, 'two', { mode: 0o600 });
    expect(await readFile(path, 'utf8')).toBe('two');
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    expect(await readdir(join(folder.path, 'deep'))).toEqual(['file']);
  });

  it('leaves nothing behind when it fails', async () => {
    await using folder = await createTemporaryFolder();
    await writeFile(join(folder.path, 'not-a-folder'), '');
    await expect(writeFileAtomically(join(folder.path, 'not-a-folder', 'file'), 'x')).rejects.toThrow();
    expect(await readdir(folder.path)).toEqual(['not-a-folder']);
  });
});

describe('createTemporaryFolder', () => {
  it('is gone, with all in it, when disposed', async () => {
    let path: string;
    {
      await using folder = await createTemporaryFolder();
      path = folder.path;
      await writeFile(join(path, 'file'), 'x');
    }
    expect(existsSync(path)).toBe(false);
  });

  it('says who made it, beside what is in it', async () => {
    await using parent = await createTemporaryFolder();
    const { path } = await createTemporaryFolder('mk-ci-image-', parent.path);
    await mkdir(join(parent.path, 'mk-ci-of-nobody'));
    await mkdir(join(parent.path, 'other'));
    await writeFile(join(parent.path, 'mk-ci-file'), '');
    expect(await readdir(path)).toEqual([]);
    expect(await listTemporaryFolders(parent.path)).toEqual([
      { path: dirname(path), place: placeOfProcesses(), owner: identifySelf() },
    ]);
  });
});

describe('replaceFolder', () => {
  it('leaves one whole folder when several write at once, and nothing beside it', async () => {
    await using folder = await createTemporaryFolder();
    const path = join(folder.path, 'deep', 'run');
    const names = ['a', 'b', 'c', 'd'];
    await Promise.all(
      names.map(async (name) => {
        await replaceFolder(path, async (temporary) => {
          await writeFile(join(temporary, 'first'), name);
          await writeFile(join(temporary, 'second'), name);
        });
      }),
    );
    expect(await readdir(join(folder.path, 'deep'))).toEqual(['run']);
    const [first, second] = await Promise.all(
      ['first', 'second'].map(async (file) => await readFile(join(path, file), 'utf8')),
    );
    expect(names).toContain(first);
    expect(second).toBe(first);
  });

  it('removes what a killed one left beside, and nothing of one that still writes', async () => {
    await using folder = await createTemporaryFolder();
    const path = join(folder.path, 'run');
    const dead = spawnSync(process.execPath, ['-e', '']).pid;
    for (const [name, owner] of [
      ['.run-killed', `${placeOfProcesses()}\n${formatIdentity({ pid: dead, startedAt: '1@boot' })}\n`],
      ['.run-writes', `${placeOfProcesses()}\n${formatIdentity(identifySelf())}\n`],
      ['.run-others', `another-host\n${formatIdentity({ pid: dead, startedAt: '1@boot' })}\n`],
      // A container that has the name of its host.
      ['.run-insid3', `${hostname()}\n${formatIdentity({ pid: dead, startedAt: '1@boot' })}\n`],
      ['.run-2-killed', `${placeOfProcesses()}\n${formatIdentity({ pid: dead, startedAt: '1@boot' })}\n`],
    ] as const) {
      await mkdir(join(folder.path, name, 'run'), { recursive: true });
      await writeFile(join(folder.path, name, '.owner'), owner);
    }
    await mkdir(join(folder.path, '.run-hidden'));
    await replaceFolder(path, async (temporary) => {
      await writeFile(join(temporary, 'file'), '');
    });
    expect((await readdir(folder.path)).sort()).toEqual([
      '.run-2-killed',
      '.run-hidden',
      '.run-insid3',
      '.run-others',
      '.run-writes',
      'run',
    ]);
    expect(await readdir(path)).toEqual(['file']);
  });

  it('keeps the old folder when the new one can not be made', async () => {
    await using folder = await createTemporaryFolder();
    const path = join(folder.path, 'run');
    await replaceFolder(path, async (temporary) => {
      await writeFile(join(temporary, 'kept'), '');
    });
    const failing = replaceFolder(path, async (temporary) => {
      await writeFile(join(temporary, 'half'), '');
      throw new Error('no more');
    });
    await expect(failing).rejects.toThrow('no more');
    expect(await readdir(folder.path)).toEqual(['run']);
    expect(await readdir(path)).toEqual(['kept']);
  });
});
