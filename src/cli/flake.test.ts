import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { openFlakeStore, type RunRecord } from '../flake/index.js';
import { results, runRecord } from '../flake/store/store-contract.test-kit.js';
import { callCommand, createTestContext } from './call.test-kit.js';
import { build } from './flake.js';

let folder = '';
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mk-ci-flake-'));
});
afterEach(async () => {
  await rm(folder, { recursive: true });
});

async function call(...args: readonly string[]) {
  return await callCommand(build, args, createTestContext(folder));
}

async function written(...records: readonly RunRecord[]): Promise<void> {
  await using store = await openFlakeStore(join(folder, '.mk-ci', 'flake.db'));
  await store.write(records);
}

describe('flake commands', () => {
  it('take only whole numbers where rows are counted', async () => {
    await written(runRecord({ results: results('A:F') }));
    for (const args of [
      ['history', 'A', '--limit', '2.5'],
      ['show', 'A', '--limit', '0'],
      ['top', '--limit', 'many'],
      ['chart', '--html', 'out', '--max-tests', '1.5'],
    ]) {
      expect(await call(...args), args.join(' ')).toMatchObject({ code: 'CLI_USAGE' });
    }
  });

  it.each(['ndjson', 'csv', 'ctrf', 'parquet'])('export %s into a folder that is not there yet', async (format) => {
    await written(runRecord({ results: results('A:FP') }));
    const path = join(folder, 'new', 'folder', 'history');
    expect(await call('export', '--format', format, '--out', path)).toMatchObject({ exitCode: 0, stderr: '' });
    expect((await readFile(path)).length).toBeGreaterThan(10);
    expect(await readdir(join(folder, 'new', 'folder'))).toEqual(['history']);
  });

  it.each(['ndjson', 'parquet'])('export %s to where nothing can be written names the reason', async (format) => {
    await written(runRecord({ results: results('A:F') }));
    await writeFile(join(folder, 'file'), '');
    expect(await call('export', '--format', format, '--out', 'file/below')).toMatchObject({ code: 'HOST_PERMISSION' });
    await mkdir(join(folder, 'taken'));
    expect(await call('export', '--format', format, '--out', 'taken')).toMatchObject({ code: 'HOST_PERMISSION' });
    expect(await readdir(join(folder, 'taken'))).toEqual([]);
    expect((await readdir(folder)).sort()).toEqual(['.mk-ci', 'file', 'taken']);
  });

  it.each(['rates', 'top', 'show', 'history'])(
    '%s says where the history ends when the window holds none of it',
    async (name) => {
      await written(runRecord({ results: results('A:F') }));
      const { stdout } = await call(name, ...(name === 'show' || name === 'history' ? ['A'] : []));
      expect(stdout).toContain('2026-01-01');
      expect(stdout).toContain('--all-time');
      const all = await call(name, ...(name === 'show' || name === 'history' ? ['B'] : ['--test', 'B']), '--all-time');
      expect(all.stdout).not.toContain('--all-time');
    },
  );

  it('top says how many tests failed that it does not list', async () => {
    await written(runRecord({ results: results('A:F', 'B:FP', 'C:P', 'D:F') }));
    const { stdout } = await call('top', '--all-time', '--limit', '2');
    expect(stdout.trim().split('\n').at(-1)).toBe('2 of 3 tests × environments that failed over all time; 4 in all.');
  });

  it('show says the state of a test since when, and that it became slower', async () => {
    const runs = Array.from({ length: 24 }, (_, index) =>
      runRecord({
        uid: `r${index}`,
        day: 1 + index,
        results: [
          {
            package: 'p',
            name: 'Slow',
            attempt: 1,
            status: 'passed',
            durationMs: index < 12 ? 10_000 + index : 30_000,
          },
          ...results(index === 5 || index === 9 ? 'Flaky:FP' : 'Flaky:P', 'Fine:P'),
        ],
      }),
    );
    await written(...runs);
    const slow = await call('show', 'Slow', '--all-time');
    expect(slow.stdout).toContain('Slow in docker: healthy\n');
    expect(slow.stdout).toMatch(/slower than before: median 10\.0 s over 1\d passes → 30\.0 s over the last 10/);
    expect((await call('show', 'Flaky', '--all-time')).stdout).toContain('Flaky in docker: flaky since 2026-01-10\n');
    const [fine] = JSON.parse((await call('show', 'Fine', '--all-time', '--json')).stdout) as Record<string, unknown>[];
    expect(fine).toMatchObject({ state: { state: 'healthy' }, durations: { slower: false, samplesNow: 10 } });
  });

  it('show names the owner', async () => {
    await written(runRecord({ results: results('A:F') }));
    await writeFile(join(folder, '.mk-ci', 'quarantine.yaml'), 'owners:\n  - test: A*\n    owner: "@team-a"\n');
    expect((await call('show', 'A', '--all-time')).stdout).toContain('owner @team-a');
    const [report] = JSON.parse((await call('show', 'A', '--all-time', '--json')).stdout) as Record<string, unknown>[];
    expect(report).toMatchObject({ owner: '@team-a' });
  });

  it('lint fails on an expired entry and says whose it is', async () => {
    await mkdir(join(folder, '.mk-ci'));
    const path = join(folder, '.mk-ci', 'quarantine.yaml');
    const entry = (until: string) =>
      `quarantine:\n  - test: A\n    issue: https://ci.example/1\n    owner: "@me"\n    until: "${until}"\n`;
    await writeFile(path, entry('2020-01-31'));
    expect(await call('lint')).toMatchObject({
      exitCode: 1,
      stderr: expect.stringContaining('expired on 2020-01-31 (@me') as string,
    });
    await writeFile(path, entry('2999-01-31'));
    expect(await call('lint')).toMatchObject({ exitCode: 0, stderr: '' });
    await writeFile(path, 'quarantine: [{ test: A }]');
    expect(await call('lint')).toMatchObject({ code: 'CFG_INVALID' });
  });

  it('ndjson goes around: an import of an export changes nothing, and fills an empty database with the same', async () => {
    await written(
      runRecord({ results: results('A:FP', 'B:S'), branch: 'main', url: 'https://ci.example/1' }),
      runRecord({ day: 2, pullRequest: 7, complete: false, results: results('A:T') }),
    );
    await call('export', '--out', 'all.ndjson');
    expect(await call('import', 'all.ndjson', '--format', 'ndjson')).toMatchObject({
      stderr: '0 results of 0 runs stored, 2 runs known before\n',
    });
    await call('import', 'all.ndjson', '--format', 'ndjson', '--database', 'copy.db');
    expect((await call('export', '--database', 'copy.db')).stdout).toBe(
      await readFile(join(folder, 'all.ndjson'), 'utf8'),
    );
  });

  it('prune --dry-run says what prune does, and does nothing', async () => {
    const now = Date.now();
    const days = [1, 200, 300].map((age) =>
      runRecord({ uid: `${age}`, startedAtMs: now - age * 86_400_000, results: results('A:FP', 'B:P') }),
    );
    await written(...days);
    const dry = await call('prune', '--dry-run', '--json');
    expect(JSON.parse(dry.stdout)).toMatchObject({ pruned: 2, results: 6, dryRun: true });
    expect((await call('prune', '--dry-run')).stderr).toMatch(
      /^6 results of 2 runs from before \d{4}-\d\d-\d\d would be/,
    );
    expect(JSON.parse((await call('prune', '--json')).stdout)).toMatchObject({ pruned: 2 });
    expect(JSON.parse((await call('prune', '--dry-run', '--json')).stdout)).toMatchObject({ pruned: 0, results: 0 });
  });

  it('prune --dry-run makes no database', async () => {
    expect(await call('prune', '--dry-run')).toMatchObject({ code: 'DB_OPEN' });
    expect(await readdir(folder)).toEqual([]);
  });

  it('merge --dry-run says what merge does, of copies that say more too, and does nothing', async () => {
    const source = async (name: string, ...records: readonly RunRecord[]): Promise<string> => {
      await using store = await openFlakeStore(join(folder, name));
      await store.write(records);
      return name;
    };
    const whole = runRecord({ uid: 'cut', results: results('A:F', 'B:P') });
    const other = runRecord({ uid: 'other', results: results('A:P') });
    const sources = [
      await source('one.db', { ...whole, complete: false, results: results('A:F') }, other),
      await source('two.db', whole, runRecord({ uid: 'there', results: results('A:P') })),
    ];
    const empty = JSON.parse((await call('merge', ...sources, '--dry-run', '--json')).stdout) as object;
    expect(empty).toMatchObject({ runs: 3, replaced: 1, known: 0, results: 5, dryRun: true });
    expect(existsSync(join(folder, '.mk-ci'))).toBe(false);
    await written(runRecord({ uid: 'there', results: results('A:P') }), { ...whole, complete: false, results: [] });
    const dry = JSON.parse((await call('merge', ...sources, '--dry-run', '--json')).stdout) as object;
    expect((await call('merge', ...sources, '--dry-run')).stderr).toBe(
      '4 results of 3 runs would be taken over, 1 runs known before\n',
    );
    const done = JSON.parse((await call('merge', ...sources, '--json')).stdout) as object;
    expect(dry).toEqual({ ...done, dryRun: true });
    expect(JSON.parse((await call('merge', ...sources, '--dry-run', '--json')).stdout)).toMatchObject({
      runs: 0,
      results: 0,
    });
  });

  it('does not make a database for an input that is not there', async () => {
    expect(await call('import', 'none', '--format', 'ndjson')).toMatchObject({ code: 'CLI_NO_INPUT' });
    expect(await call('import', 'none', '--format', 'gopogh-db')).toMatchObject({
      code: expect.stringMatching(/CLI_NO_INPUT|DB_OPEN/) as string,
    });
    expect(existsSync(join(folder, '.mk-ci', 'flake.db'))).toBe(false);
  });
});
