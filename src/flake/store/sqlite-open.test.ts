import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { MIGRATIONS, latestVersion } from './migrations.js';
import { openFlakeStore } from './open.js';
import { SqliteDatabase, sqlitePackage } from './sqlite-library.js';
import { openSqlite } from './sqlite-open.js';
import { results, runRecord } from './store-contract.test-kit.js';

let folder = '';
let path = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'mk-ci-flake-'));
  path = join(folder, 'below', 'flake.db');
});
afterEach(() => {
  rmSync(folder, { recursive: true, force: true });
});

async function record(uid: string): Promise<void> {
  await using store = await openFlakeStore(path);
  await store.write([runRecord({ uid, results: results('A:F', 'B:P') })]);
}

describe('openSqlite', () => {
  it('makes the file with its folder and leaves nothing beside it when closed', async () => {
    await record('a');
    await using store = await openFlakeStore(path, { readonly: true });
    expect(await store.counts()).toHaveLength(2);
  });

  it('refuses a text file, the file of another program, and a folder', async () => {
    const text = join(folder, 'notes.txt');
    writeFileSync(text, 'remember the milk '.repeat(100));
    await expect(openFlakeStore(text)).rejects.toMatchObject({ code: 'DB_FOREIGN' });
    expect(readFileSync(text, 'utf8')).toContain('milk');
    const other = join(folder, 'other.db');
    const foreign = new SqliteDatabase(other);
    foreign.exec('CREATE TABLE theirs (x)');
    foreign.close();
    await expect(openFlakeStore(other)).rejects.toMatchObject({ code: 'DB_FOREIGN' });
    await expect(openFlakeStore(folder)).rejects.toMatchObject({ code: 'DB_OPEN' });
  });

  it('refuses a newer schema without touching it', async () => {
    await record('a');
    const db = new SqliteDatabase(path);
    db.pragma('user_version = 99');
    db.close();
    await expect(openFlakeStore(path)).rejects.toMatchObject({ code: 'DB_NEWER' });
  });

  it('calls a truncated file damaged', async () => {
    await record('a');
    truncateSync(path, 20_000);
    await expect(openFlakeStore(path, { readonly: true })).rejects.toMatchObject({ code: 'DB_CORRUPT' });
    truncateSync(path, 100);
    await expect(openFlakeStore(path)).rejects.toMatchObject({ code: 'DB_CORRUPT' });
  });

  it('does not make a file for a reader', async () => {
    await expect(openFlakeStore(path, { readonly: true })).rejects.toMatchObject({ code: 'DB_OPEN' });
  });

  it('copies the file before it changes an existing schema, and takes a failed migration back', async () => {
    await record('a');
    const next = (sqlite: string) => [...MIGRATIONS, { version: latestVersion() + 1, sqlite, postgres: '' }];
    expect(() => openSqlite(path, { migrations: next('CREATE TABLE extra (x) STRICT; nonsense') })).toThrow();
    openSqlite(path).close();
    openSqlite(path, { migrations: next('CREATE TABLE extra (x INTEGER) STRICT') }).close();
    const backup = new SqliteDatabase(`${path}.v${latestVersion()}.bak`, { readonly: true });
    expect(backup.prepare('SELECT count(*) FROM run').pluck().get()).toBe(1);
    expect(backup.pragma('user_version', { simple: true })).toBe(latestVersion());
    backup.close();
  });

  it('brings a file of the first schema up to date and keeps what it says', async () => {
    const first = MIGRATIONS.filter(({ version }) => version === 1);
    openSqlite(path, { migrations: first }).close();
    const old = new SqliteDatabase(path);
    old.exec(`
      INSERT INTO repository VALUES (1, 'o/r'); INSERT INTO environment VALUES (1, 'docker'); INSERT INTO suite VALUES (1, 'e2e');
      INSERT INTO test VALUES (1, 1, 'p', 'A', NULL); INSERT INTO series VALUES (1, 1, 1);
      INSERT INTO revision VALUES (1, 1, 'c1', NULL, NULL, 0);
      INSERT INTO run VALUES (1, 'old', 1, 1, 1, 1, NULL, NULL, NULL, 0, NULL, 1, NULL, 'old', 1, 1, 0);
      INSERT INTO failure VALUES (1, x'00', NULL, 'pod web-1 is not ready', NULL, NULL);
      INSERT INTO result VALUES (1, 1, 1, 1, 5, 1);
      INSERT INTO daily VALUES (1, 0, 0, 0, 1, 0, 0, 0, 0, 1, 1, 0, 0, 5);
      INSERT INTO failing_commit VALUES (1, 1, 0, 0, 1, 0);`);
    old.close();
    await using store = await openFlakeStore(path);
    expect(await store.counts()).toMatchObject([{ test: 'A', counts: { failed: 1 }, failingCommits: 1 }]);
    expect(await store.history({ test: 'A' })).toMatchObject([{ runUid: 'old', message: 'pod web-1 is not ready' }]);
    expect(await store.signatures()).toMatchObject([{ test: 'A', text: 'pod web-1 is not ready', failures: 1 }]);
    expect(await store.check()).toEqual([]);
    expect(existsSync(`${path}.v1.bak`)).toBe(true);
  });

  it('reads counts from a file of the schema before blocks, and fills them when it may write', async () => {
    const many = results(...Array.from({ length: 40 }, (_, index) => `T${index}:${index === 3 ? 'FP' : 'P'}`));
    await record('a');
    await using now = await openFlakeStore(path);
    await now.write([runRecord({ uid: 'b', results: many })]);
    const expected = await now.counts();
    await now.close();
    const old = new SqliteDatabase(path);
    old.exec(`DROP TABLE daily_block; ALTER TABLE environment DROP COLUMN version; DELETE FROM meta WHERE key = 'daily-block-format';
      CREATE INDEX daily_other ON daily (day)`);
    old.pragma('user_version = 4');
    old.close();
    await using reader = await openFlakeStore(path, { readonly: true });
    expect(await reader.counts()).toEqual(expected);
    await reader.close();
    await using writer = await openFlakeStore(path);
    expect(await writer.counts()).toEqual(expected);
    expect(await writer.check()).toEqual([]);
    const damaged = new SqliteDatabase(path);
    damaged.exec('DELETE FROM daily_block');
    damaged.close();
    expect(await writer.check()).toEqual([expect.stringContaining('sums in blocks')]);
    await writer.rebuildRollup();
    expect(await writer.check()).toEqual([]);
  });

  it('makes the signatures again when the normaliser has another version', async () => {
    await record('a');
    const old = new SqliteDatabase(path);
    old.exec(
      `UPDATE meta SET value = '0' WHERE key = 'signature-version'; UPDATE signature SET text = 'old', key = 'old'`,
    );
    old.close();
    await using store = await openFlakeStore(path);
    expect(await store.signatures()).toMatchObject([
      { test: 'A', text: 'A broke', bornAtMs: Date.UTC(2026, 0, 1, 12) },
    ]);
  });

  it('says who is in the way when another process writes', async () => {
    await record('a');
    const blocker = new SqliteDatabase(path);
    blocker.exec('BEGIN IMMEDIATE');
    await using store = await openFlakeStore(path, { busyTimeoutMs: 20 });
    await expect(store.write([runRecord({ uid: 'b' })])).rejects.toMatchObject({ code: 'DB_BUSY' });
    blocker.exec('ROLLBACK');
    expect(await store.write([runRecord({ uid: 'b' })])).toMatchObject({ runs: 1 });
    blocker.close();
  });

  it('lets two writers take turns', async () => {
    await using first = await openFlakeStore(path);
    await using second = await openFlakeStore(path);
    for (let number = 0; number < 20; number += 1) {
      const store = number % 2 === 0 ? first : second;
      await store.write([
        runRecord({ uid: `r${number}`, commit: { sha: 'c' }, results: results(`T${number % 3}:FP`) }),
      ]);
    }
    const rows = await first.counts();
    expect(rows.reduce((sum, { runs }) => sum + runs, 0)).toBe(20);
    expect(await second.counts()).toEqual(rows);
  });

  it('loses no run that was committed when the writer is killed', async () => {
    await record('seed');
    // The child is plain JavaScript on the same library: it writes rows as the store does and reports each commit.
    const child = spawn(
      process.execPath,
      [
        '--input-type=module',
        '-e',
        `const { default: Database } = await import(process.argv[2]);
         const db = new Database(process.argv[1]); db.pragma('journal_mode = WAL'); db.pragma('synchronous = NORMAL');
         const run = db.prepare("INSERT INTO run (uid, repository_id, environment_id, suite_id, revision_id, started_at, complete, origin, tests, failed_tests) VALUES (?, 1, 1, 1, 1, 0, 1, 'child', 1, 0)");
         const result = db.prepare('INSERT INTO result VALUES (?, 1, ?, 0, 1, NULL)');
         for (let n = 0; ; n += 1) {
           db.transaction(() => { const { lastInsertRowid } = run.run('child-' + n); for (let a = 1; a <= 50; a += 1) result.run(lastInsertRowid, a); }).immediate();
           process.stdout.write(n + '\\n');
         }`,
        path,
        sqlitePackage(process.versions.node),
      ],
      { stdio: ['ignore', 'pipe', 'inherit'], cwd: join(import.meta.dirname, '../../..') },
    );
    let seen = '';
    await new Promise<void>((resolve) => {
      child.stdout.on('data', (piece: Buffer) => {
        seen += piece.toString();
        if (seen.split('\n').length > 200) child.kill('SIGKILL');
      });
      child.once('close', () => {
        resolve();
      });
    });
    const committed = Number(seen.split('\n').at(-2));
    expect(committed).toBeGreaterThan(100);
    const db = openSqlite(path);
    expect(db.pragma('integrity_check', { simple: true })).toBe('ok');
    const runs = Number(db.prepare(`SELECT count(*) FROM run WHERE uid LIKE 'child-%'`).pluck().get());
    expect(runs).toBeGreaterThanOrEqual(committed);
    expect(
      db.prepare(`SELECT count(*) FROM result JOIN run ON run.id = run_id WHERE origin = 'child'`).pluck().get(),
    ).toBe(runs * 50);
    db.close();
    await record('after');
  }, 60_000);
});
