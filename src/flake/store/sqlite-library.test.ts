import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';

import { describe, expect, it } from 'vitest';

import { sqlitePackage } from './sqlite-library.js';

describe('the SQLite library', () => {
  it.each([
    ['20.20.2', 'better-sqlite3'],
    ['22.13.1', 'better-sqlite3'],
    ['22.14.0', 'better-sqlite3-napi'],
    ['24.21.0', 'better-sqlite3-napi'],
    ['26.0.0', 'better-sqlite3-napi'],
  ])('on Node.js %s is %s', (version, name) => {
    expect(sqlitePackage(version)).toBe(name);
  });

  it('survives the collection of its statements from outside JavaScript', async () => {
    const script = `
      const { default: Database } = await import(process.argv[1]);
      const db = new Database(':memory:');
      for (let n = 0; n < 20_000; n += 1) db.prepare('SELECT ' + n);
      gc();
      await gc({ execution: 'async' });
      await new Promise((resolve) => setTimeout(resolve, 20));
      db.close();
      process.stdout.write('alive');`;
    const { stdout } = await promisify(execFile)(
      process.execPath,
      ['--expose-gc', '--input-type=module', '-e', script, sqlitePackage(process.versions.node)],
      { cwd: join(import.meta.dirname, '../../..') },
    );
    expect(stdout).toBe('alive');
  });
});
