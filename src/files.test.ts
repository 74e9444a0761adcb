import { existsSync } from 'node:fs';
import { readFile, readdir, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { describe, expect, it } from 'vitest';

import { createTemporaryFolder, foldersOf, writeFileAtomically } from './files.js';

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
});
