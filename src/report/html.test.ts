import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { describe, expect, it } from 'vitest';

import { addClusterLogs } from './cluster-logs.js';
import { renderPage, scriptJson } from './html.js';
import { reportModel } from './model.js';
import { openReport } from './report.js';
import type { RunResult } from '../results/model.js';

async function createTemporaryFolder(): Promise<AsyncDisposable & { readonly path: string }> {
  const path = await mkdtemp(join(tmpdir(), 'mk-ci-report-'));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
}

const EVIL = '</script><img src=x onerror=alert(1)>\u202Ex';

const run: RunResult = {
  runId: 'r1',
  toolVersion: '0.1.0',
  startedAt: '2026-09-14T09:30:00Z',
  title: EVIL,
  source: {},
  environments: [{ name: 'local' }],
  cells: [
    {
      id: 'local.e2e',
      environment: 'local',
      suite: 'e2e',
      attempts: [],
      tests: [
        {
          id: { package: EVIL, name: EVIL },
          attempts: [{ attempt: 1, cellAttempt: 1, status: 'failed', failure: { message: EVIL, text: EVIL } }],
          status: 'failed',
          flaky: false,
        },
      ],
      packages: [],
      repairs: [],
      status: 'failed',
    },
  ],
  phases: [],
  errors: [],
  repairs: [],
  complete: true,
};

const assets = { script: 'let started = 1;', style: 'body { margin: 0 }' };

describe('the page as text', () => {
  const { before } = renderPage(reportModel(run), assets);

  it('holds nothing from outside as markup', () => {
    expect(before).not.toContain('<img');
    expect(before.match(/<\/script/g)).toHaveLength(2);
    expect(before.replace(/<script type="application\/json"[^]*/, '')).not.toContain('\u202e');
  });

  it('allows only its own script and style, by hash', () => {
    const policy = /http-equiv="Content-Security-Policy" content="([^"]*)"/.exec(before)?.[1] ?? '';
    expect(policy.replaceAll('&#x27;', "'")).toMatch(
      /^default-src 'none'; script-src 'sha256-[\w+/=&#;]+'; style-src 'sha256-/,
    );
    expect(policy).not.toContain('unsafe');
  });

  it('asks for nothing from outside', () => {
    expect(before).not.toMatch(/(?:src|href)="(?!#)/);
  });

  it('shows failures without a script', () => {
    const page = before.slice(0, before.indexOf('<script'));
    expect(page).toContain('&lt;/script&gt;&lt;img src&#x3D;x onerror&#x3D;alert(1)&gt;\\u202ex');
  });

  it('carries data that ends no script', () => {
    expect(scriptJson({ a: '</script><!--\u2028' })).toBe('{"a":"\\u003c/script>\\u003c!--\\u2028"}');
  });
});

describe('the files of a report', () => {
  const lines = (count: number): string[] =>
    Array.from({ length: count }, (_, row) => `line ${String(row)} ${String(Math.sin(row))}`);

  async function write(htmlPath: string, singleFile: boolean, count: number): Promise<void> {
    await using report = await openReport({ htmlPath, singleFile, year: 2026 });
    const log = report.log({ cell: 'local.e2e', attempt: 1 });
    for (const line of lines(count)) log.line(line);
    await log.end();
    await report.finish(run);
  }

  it('are one page when asked for, and nothing else is left', async () => {
    await using folder = await createTemporaryFolder();
    await write(join(folder.path, 'report.html'), true, 5_000);
    expect(await readdir(folder.path, { recursive: true })).toEqual(['report.html']);
    expect(await readFile(join(folder.path, 'report.html'), 'utf8')).toContain('id="block-0-1"');
  });

  it('are a page and a folder of its own, replaced as one', async () => {
    await using folder = await createTemporaryFolder();
    const htmlPath = join(folder.path, 'report.html');
    await write(htmlPath, false, 9_000);
    await write(join(folder.path, 'other.html'), false, 10);
    await write(htmlPath, false, 10);
    expect((await readdir(folder.path, { recursive: true })).sort()).toEqual([
      'log',
      'log/other',
      'log/other/0-0.js',
      'log/other/0-index.js',
      'log/report',
      'log/report/0-0.js',
      'log/report/0-index.js',
      'other.html',
      'report.html',
    ]);
  });

  it('stay as they were when a report is given up', async () => {
    await using folder = await createTemporaryFolder();
    const htmlPath = join(folder.path, 'report.html');
    await write(htmlPath, false, 10);
    const before = await readFile(htmlPath, 'utf8');
    {
      await using report = await openReport({ htmlPath });
      const log = report.log({ cell: 'local.e2e', attempt: 1 });
      for (const line of lines(5_000)) log.line(line);
      await log.end();
    }
    expect(await readFile(htmlPath, 'utf8')).toBe(before);
    expect(await readdir(join(folder.path, 'log'))).toEqual(['report']);
  });

  it('hold the logs that a run saved of its clusters, but not its databases', async () => {
    await using folder = await createTemporaryFolder();
    const node = join(folder.path, 'clusters', 'local', 'node-1');
    await mkdir(node, { recursive: true });
    await writeFile(join(node, 'kubelet.log'), 'I0914 09:30:12.678901    1 a.go:1] x\r\nlast without end');
    await writeFile(join(node, 'etcd.db'), Buffer.from([1, 0, 2]));
    await writeFile(join(node, 'empty.log'), '');
    await using report = await openReport({ htmlPath: join(folder.path, 'report.html'), year: 2026 });
    expect(await addClusterLogs(report, join(folder.path, 'clusters'))).toBe(1);
    expect(await addClusterLogs(report, join(folder.path, 'nothing-here'))).toBe(0);
    await report.finish(run);
    const page = await readFile(join(folder.path, 'report.html'), 'utf8');
    expect(page).toContain('"title":"node-1/kubelet.log","environment":"local","rows":2,"lines":2');
  });
});
