import { chmod, mkdir, readFile, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { createTemporaryFolder, type TemporaryFolder } from '../../files.js';
import { copyTree, differencesOf, digestTree } from './copy-tree.js';

const { signal } = new AbortController();

describe('copyTree', () => {
  let temporary: TemporaryFolder;
  let from: string;
  let to: string;

  beforeEach(async () => {
    temporary = await createTemporaryFolder();
    from = join(temporary.path, 'from');
    to = join(temporary.path, 'a', 'to');
    await mkdir(join(from, 'member', 'wal'), { recursive: true });
    await writeFile(join(from, 'member', 'db'), 'content', { mode: 0o600 });
    // Zeros, a block that is not, zeros up to an odd length.
    const wal = Buffer.alloc(8 * 1024 * 1024 + 17);
    wal.write('entry', 3 * 1024 * 1024);
    await writeFile(join(from, 'member', 'wal', '0.wal'), wal);
    await writeFile(join(from, 'empty'), '');
  });
  afterEach(async () => {
    await temporary[Symbol.asyncDispose]();
  });

  it('copies content, length and mode, and leaves holes where zeros were', async () => {
    const records = await copyTree(from, to, { signal });
    expect(records.map(({ path, bytes }) => [path, bytes])).toEqual([
      ['empty', 0],
      ['member/db', 7],
      ['member/wal/0.wal', 8 * 1024 * 1024 + 17],
    ]);
    for (const { path } of records) {
      expect((await readFile(join(to, path))).equals(await readFile(join(from, path)))).toBe(true);
    }
    expect((await stat(join(to, 'member', 'db'))).mode & 0o777).toBe(0o600);
    expect((await stat(join(to, 'member', 'wal', '0.wal'))).blocks * 512).toBeLessThan(1024 * 1024);
  });

  it('gives the same records for a copy as for the original', async () => {
    expect(differencesOf(await copyTree(from, to, { signal }), await digestTree(to, signal))).toEqual([]);
  });

  it('gives a file that nobody may write to a second name, and checks it like the others', async () => {
    const db = join(from, 'member', 'db');
    await chmod(db, 0o400);
    const records = await copyTree(from, to, { signal });
    expect((await stat(join(to, 'member', 'db'))).ino).toBe((await stat(db)).ino);
    expect((await stat(join(to, 'empty'))).ino).not.toBe((await stat(join(from, 'empty'))).ino);
    expect(differencesOf(records, await digestTree(to, signal))).toEqual([]);
    await chmod(db, 0o600);
    await writeFile(db, 'damaged');
    expect(differencesOf(records, await digestTree(to, signal))).toEqual(['member/db does not match its checksum']);
  });

  it('shares files that nobody writes to, by their permissions or by their name', async () => {
    await writeFile(join(from, 'read-only'), 'x', { mode: 0o400 });
    await writeFile(join(from, 'ram.fixed'), 'x');
    await writeFile(join(from, 'ram'), 'x');
    await copyTree(from, to, { signal });
    const links = async (name: string): Promise<number> => (await stat(join(to, name))).nlink;
    expect([await links('read-only'), await links('ram.fixed'), await links('ram')]).toEqual([2, 2, 1]);
  });

  it('leaves out what it is told to, and links', async () => {
    await symlink('/etc/passwd', join(from, 'link'));
    const records = await copyTree(from, to, { signal, skip: (path) => path.endsWith('.wal') });
    expect(records.map(({ path }) => path)).toEqual(['empty', 'member/db']);
  });

  it('sees every kind of damage', async () => {
    const before = await digestTree(from, signal);
    const wal = join(from, 'member', 'wal', '0.wal');
    const bytes = await readFile(wal);
    const damaged = Buffer.from(bytes);
    damaged[5_000_000] = 1;
    await writeFile(wal, damaged);
    expect(differencesOf(before, await digestTree(from, signal))).toEqual([
      'member/wal/0.wal does not match its checksum',
    ]);
    await writeFile(wal, bytes.subarray(0, 100));
    await writeFile(join(from, 'more'), '');
    expect(differencesOf(before, await digestTree(from, signal))).toEqual([
      `member/wal/0.wal has 100 bytes in place of ${bytes.length}`,
      'more is not in the manifest',
    ]);
    expect(differencesOf(before, [])).toContain('empty is missing');
  });

  it('does not take a moved block for the same content', async () => {
    const one = Buffer.alloc(256 * 1024);
    const other = Buffer.alloc(256 * 1024);
    one[0] = 7;
    other[128 * 1024] = 7;
    await writeFile(join(from, 'x'), one);
    const before = await digestTree(from, signal);
    await writeFile(join(from, 'x'), other);
    expect(differencesOf(before, await digestTree(from, signal))).toEqual(['x does not match its checksum']);
  });

  it('stops when it is told to', async () => {
    await expect(copyTree(from, to, { signal: AbortSignal.abort(new Error('enough')) })).rejects.toThrow('enough');
  });

  it('fails when a file can not be read', async () => {
    if (process.getuid?.() === 0) return; // root reads everything
    await chmod(join(from, 'member', 'db'), 0);
    await expect(copyTree(from, to, { signal })).rejects.toThrow(/EACCES/);
  });
});
