import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { openFlakeStore } from '../flake/index.js';
import { NO_COUNTS } from '../results/index.js';
import { callCommand, createTestContext } from './call.test-kit.js';
import { build } from './report.js';
import type { ReportSummary } from './report/input-summary.js';

let folder = '';
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mk-ci-report-'));
});
afterEach(async () => {
  await rm(folder, { recursive: true });
});

const GO =
  '{"Action":"run","Package":"p","Test":"A"}\n{"Action":"pass","Package":"p","Test":"A"}\n{"Action":"run","Package":"p","Test":"B"}\n{"Action":"fail","Package":"p"}\n';

async function write(name: string, text: string): Promise<string> {
  const path = join(folder, name);
  await mkdir(join(path, '..'), { recursive: true });
  await writeFile(path, text);
  return path;
}

async function call(args: readonly string[], stdin = '') {
  const called = await callCommand(build, args, createTestContext(folder, { stdin }));
  return { ...called, json: called.stdout.startsWith('{') ? (JSON.parse(called.stdout) as ReportSummary) : undefined };
}

describe('mk-ci report', () => {
  it('prints counts as JSON in the promised shape', async () => {
    const path = await write('go.jsonl', GO);
    const { json, exitCode } = await call([path, '--json']);
    const counts = { ...NO_COUNTS, passed: 1, notrun: 1 };
    const packages = { ...NO_COUNTS, failed: 1 };
    expect(json).toEqual({
      inputs: [{ path, format: 'go-json', tests: 2, counts, packages, repairs: [] }],
      total: { tests: 2, counts, packages, repairs: [] },
    });
    expect(exitCode).toBe(0);
  });

  it('reads standard input and fails on request when tests did not pass', async () => {
    expect(await call(['-', '--fail-on-failed'], GO)).toMatchObject({ exitCode: 1, code: undefined });
    expect(await call(['-'], GO)).toMatchObject({ exitCode: 0 });
  });

  it('goes on after an input that can not be read, names it and says so with the exit code', async () => {
    const good = await write('good.jsonl', GO);
    const bad = await write('bad.txt', 'nothing of interest\n');
    const { json, exitCode, logged } = await call([bad, good, join(folder, 'none'), '--json']);
    expect(json?.inputs.map((input) => [input.format, input.error?.code, input.tests])).toEqual([
      [null, 'RES_UNKNOWN_FORMAT', 0],
      ['go-json', undefined, 2],
      [null, 'CLI_NO_INPUT', 0],
    ]);
    expect(json?.total.tests).toBe(2);
    expect(exitCode).toBe(18);
    expect(logged).toHaveLength(2);
  });

  it('throws the error when nothing could be read', async () => {
    expect(await call([join(folder, 'none')])).toMatchObject({ code: 'CLI_NO_INPUT', logged: [] });
    expect(await call(['-'])).toMatchObject({ code: 'RES_EMPTY' });
  });

  it('passes over other files of a folder', async () => {
    await write('results/go.jsonl', GO);
    await write('results/notes.md', 'words\n');
    const { json, exitCode } = await call([join(folder, 'results'), '--json']);
    expect(json?.inputs).toHaveLength(1);
    expect(exitCode).toBe(0);
  });

  it('reads the folder of a run', async () => {
    const events = [
      {
        type: 'run-started',
        version: 1,
        at: '2026-01-01T00:00:00Z',
        runId: 'r',
        toolVersion: '1',
        source: {},
        environments: [{ name: 'local' }],
        cells: [{ id: 'c', environment: 'local', suite: 's' }],
      },
      { type: 'test-ended', cell: 'c', attempt: 1, test: { package: 'p', name: 'A' }, status: 'failed' },
    ];
    await write('run/events.jsonl', events.map((event) => JSON.stringify(event)).join('\n'));
    const { json } = await call([join(folder, 'run'), '--json']);
    expect(json?.inputs).toMatchObject([{ format: 'mk-ci', tests: 1, counts: { failed: 1 } }]);
  });

  it('writes the outputs asked for', async () => {
    const path = await write('go.jsonl', GO);
    const junit = join(folder, 'out/junit.xml');
    await call([path, '--junit', junit]);
    expect(await readFile(junit, 'utf8')).toContain('<testcase');
  });

  it('puts the logs into the page or beside it, as it is told', async () => {
    const path = await write('go.jsonl', GO + '{"Action":"output","Package":"p","Output":"a line\\n"}\n');
    const logs = () =>
      readdir(join(folder, 'out/log/r')).then(
        (files) => files.length,
        () => 0,
      );
    const html = join(folder, 'out/r.html');
    await call([path, '--html', html]);
    expect(await logs()).toBe(0);
    await call([path, '--html', html, '--no-single-file']);
    expect(await logs()).toBe(2);
    await call([path, '--html', html, '--single-file']);
    expect(await logs()).toBe(0);
    expect(await readFile(html, 'utf8')).toContain('id="block-0-0"');
  });

  it('calls a report by its files when nobody names it', async () => {
    const path = await write('nightly.jsonl', GO);
    await write('more/other.jsonl', GO);
    const html = join(folder, 'r.html');
    const titleOf = async (...args: string[]) => {
      await call([...args, '--html', html], GO);
      return /<title>(.*?)<\/title>/.exec(await readFile(html, 'utf8'))?.[1];
    };
    expect(await titleOf(path)).toContain('nightly.jsonl');
    expect(await titleOf(path, '-', join(folder, 'more'))).toContain('nightly.jsonl and 2 more');
    expect(await titleOf('-')).toContain('Standard input');
    expect(await titleOf(path, '--title', 'Nightly')).toContain('Nightly');
  });

  it('says for people what was repaired', async () => {
    const { stdout } = await call(['-'], `noise\n${GO}`);
    expect(stdout).toContain('- (go-json): 2 tests: 1 passed, 1 unfinished; 1 package failed');
    expect(stdout).toContain('repaired: non-json-line');
  });

  it('compares with an earlier run: as JSON, for people, in Markdown', async () => {
    const before = await write('before.jsonl', GO.replaceAll('"Test":"B"', '"Test":"C"'));
    const now = await write('now.jsonl', GO.replace('"pass"', '"fail"'));
    const markdown = join(folder, 'summary.md');
    const { stdout } = await call([now, '--against', before, '--json', '--markdown', markdown]);
    expect(JSON.parse(stdout)).toMatchObject({
      inputs: [{ path: now }],
      against: {
        title: before,
        newFailures: [
          { package: 'p', name: 'A', cell: 'now' },
          { package: 'p', name: 'B', cell: 'now' },
        ],
        fixed: [],
        slower: [],
        added: [{ package: 'p', name: 'B' }],
        removed: [{ package: 'p', name: 'C' }],
      },
    });
    expect(await readFile(markdown, 'utf8')).toContain('2 new failures, 0 fixed');
    const people = await call([now, '--against', before]);
    expect(people.stdout).toContain(`against ${before}: 2 new failures, 0 fixed`);
    expect(people.stdout).toContain('new failure: p A');
  });

  it('fails when the earlier run can not be read', async () => {
    const now = await write('now.jsonl', GO);
    expect(await call([now, '--against', join(folder, 'none')])).toMatchObject({ code: 'CLI_NO_INPUT' });
  });

  it('shows the history of failures from a database on the page and in Markdown', async () => {
    const database = join(folder, 'flake.db');
    const store = await openFlakeStore(database);
    const day = 86_400_000;
    await store.write(
      [1, 2, 3].map((days) => ({
        uid: `r${days}`,
        repository: '',
        environment: 'unknown',
        suite: 's',
        startedAtMs: Date.now() - days * day,
        complete: true,
        origin: 'test',
        results: [{ package: 'p', name: 'A', attempt: 1, status: days === 2 ? 'failed' : 'passed' }],
      })),
    );
    await store.close();
    const now = await write('now.jsonl', GO.replace('"pass"', '"fail"'));
    const html = join(folder, 'report.html');
    const markdown = join(folder, 'summary.md');
    await call([now, '--database', database, '--html', html, '--markdown', markdown]);
    expect(await readFile(html, 'utf8')).toContain('"history":{"recent":"pfp","failed":1,"runs":3');
    expect(await readFile(markdown, 'utf8')).toContain('(failed 1 of 3 earlier runs)');
    expect(await call([now, '--database', join(folder, 'none.db')])).toMatchObject({ code: 'DB_OPEN' });
  });
});
