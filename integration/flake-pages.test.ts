/**
 * The dashboard in a real browser, as files from `file://` and from `mk-ci serve`; and the server as a program. Needs
 * Chromium at /usr/bin/chromium (Debian: `apt-get install chromium`), without it those tests are skipped.
 */
import { createServer } from 'node:net';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

import type { Browser, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';

import { createTemporaryFolder, type TemporaryFolder } from '../src/files.js';
import { openFlakeStore } from '../src/flake/index.js';
import { mkCi, startMkCi } from './mk-ci.js';
import { hasChromium, launchChromium } from './support/chromium.js';
import { HOSTILE_TEST, SAMPLE_ENVIRONMENTS, sampleHistory } from './support/flake-sample.js';

const TOKEN = '0123456789abcdef0123456789abcdef';
const CRIO = SAMPLE_ENVIRONMENTS[1];

let folder: TemporaryFolder;
let database: string;

beforeAll(async () => {
  folder = await createTemporaryFolder('mk-ci-dashboard-');
  database = join(folder.path, 'flake.db');
  await using store = await openFlakeStore(database);
  await store.write(sampleHistory({ days: 80, runsADay: 2, tests: 16 }), { rollup: 'deferred' });
  await store.rebuildRollup();
});

afterAll(async () => {
  await folder[Symbol.asyncDispose]();
});

/** A server that ends with the test. */
async function serve(...args: readonly string[]) {
  const child = startMkCi(['serve', '--listen', '127.0.0.1:0', ...args]);
  await child.sees(/http:\/\/127\.0\.0\.1:\d+\/\n/);
  const url = /http:\S+/.exec(child.stdout())?.[0] ?? '';
  return {
    url,
    child,
    [Symbol.asyncDispose]: async () => {
      child.signal('SIGTERM');
      await child.ended;
    },
  };
}

describe.skipIf(!hasChromium()).each(['file', 'serve'] as const)('the pages in Chromium (%s)', (mode) => {
  let browser: Browser;
  let server: Awaited<ReturnType<typeof serve>> | undefined;
  let base: string;
  let page: Page | undefined;
  let troubles: string[] = [];

  beforeAll(async () => {
    browser = await launchChromium();
    if (mode === 'serve') {
      server = await serve('--database', database);
      base = server.url;
    } else {
      const site = join(folder.path, 'site');
      const { exitCode, stdout } = await mkCi(['flake', 'chart', '--html', site, '--database', database, '--json']);
      expect(exitCode).toBe(0);
      expect((JSON.parse(stdout) as { pages: number }).pages).toBeGreaterThan(40);
      base = pathToFileURL(join(site, 'index.html')).href;
    }
  });

  afterAll(async () => {
    await browser.close();
    await server?.[Symbol.asyncDispose]();
  });

  afterEach(async () => {
    await page?.close();
    page = undefined;
    // No error of the script, nothing refused by the content policy, no request to another place.
    expect(troubles).toEqual([]);
  });

  async function open(hash = '', colorScheme: 'light' | 'dark' = 'light'): Promise<Page> {
    troubles = [];
    const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, colorScheme });
    const one = await context.newPage();
    page = one;
    one.on('pageerror', (error) => troubles.push(error.message));
    one.on('dialog', (dialog) => {
      troubles.push(`dialog ${dialog.message()}`);
      void dialog.dismiss();
    });
    one.on('console', (message) => {
      if (message.type() === 'error') troubles.push(message.text());
    });
    one.on('request', (request) => {
      if (!request.url().startsWith(base.replace(/index\.html$/, ''))) troubles.push(`request ${request.url()}`);
    });
    await one.goto(`${base}${hash}`);
    await ready(one);
    return one;
  }

  async function ready(one: Page): Promise<void> {
    await one.waitForSelector('html[data-ready="true"] .page');
  }

  const hashOf = (parts: Readonly<Record<string, string>>, kind = 'test') =>
    `#${kind}?${new URLSearchParams(parts).toString()}`;

  const testHash = (test: string) =>
    hashOf({ repository: 'kubernetes/minikube', environment: CRIO, package: 'k8s.io/minikube/test/integration', test });

  it('show the overview: figures, charts with pixels, rankings with growth, commits', async () => {
    const one = await open();
    expect(await one.textContent('.figures')).toContain('environments');
    expect(await one.locator('table.list').count()).toBe(3);
    expect(await one.locator('canvas').count()).toBe(2);
    // A chart that was not drawn has one colour.
    const colors = await one.evaluate<number>(`(() => {
      const canvas = document.querySelector('canvas');
      const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
      return new Set(new Uint32Array(data.buffer)).size;
    })()`);
    expect(colors).toBeGreaterThan(20);
    expect(await one.locator('table.list >> nth=0 >> tbody tr').count()).toBe(SAMPLE_ENVIRONMENTS.length);
    expect(await one.textContent('main')).toContain('Growth');
  });

  it('lead from the overview to an environment, a test and a commit, and back', async () => {
    const one = await open();
    await one.click(`td a.name:text-is("${CRIO}")`);
    await one.waitForSelector('.environment canvas');
    await ready(one);
    await one.click('.environment td .who a:has-text("RestartCmd8")');
    await one.waitForSelector('.of-test canvas');
    await ready(one);
    expect(await one.title()).toContain('RestartCmd8');
    await one.click('.of-test td a.mono >> nth=0');
    await one.waitForSelector('.commit');
    expect(await one.textContent('.commit')).toContain('Tests that failed on this commit');
    await one.goBack();
    await one.waitForSelector('.of-test');
  });

  it('show a test: k of n with interval, the change, every attempt with its report, signatures', async () => {
    const one = await open(testHash('TestAddons/parallel/RestartCmd8'));
    expect(await one.textContent('.figures')).toMatch(/failed: \d+ of \d+ attempts/);
    expect(await one.textContent('.note.change')).toContain('Fails more often');
    expect(await one.locator('.of-test a:has-text("open ↗")').first().getAttribute('href')).toMatch(
      /^https:\/\/ci\.example\/job\/\d+\/docker-crio-v1\.36\/report\.html$/,
    );
    expect(await one.textContent('.signature')).toContain('<b>CrashLoopBackOff</b>');
    await one.click('button:has-text("Show all")');
    expect(await one.locator('.of-test table.list >> nth=1 >> tbody tr').count()).toBeGreaterThan(100);
  });

  it('say in tooltips how many of how many', async () => {
    const one = await open(testHash('TestAddons/parallel/RestartCmd8'));
    const canvas = one.locator('canvas').first();
    const before = await canvas.screenshot();
    const box = (await canvas.boundingBox()) ?? expect.fail();
    await one.mouse.move(box.x + box.width * 0.6, box.y + box.height * 0.5);
    // The tooltip is drawn into the canvas: its words are tested as words, here that it appears.
    await expect.poll(async () => (await canvas.screenshot()).equals(before)).toBe(false);
  });

  it('show hostile names as text', async () => {
    const one = await open(testHash(HOSTILE_TEST));
    expect(await one.textContent('h2.title')).toContain("</script><script>document.title='owned'</script>");
    expect(await one.textContent('h2.title')).toContain('\\u202egnp.exe');
    expect(await one.title()).not.toBe('owned');
    expect(await one.locator('main img').count()).toBe(0);
  });

  it('find tests by a part of their name', async () => {
    const one = await open();
    await one.fill('.finder input', 'restartcmd8');
    await one.waitForSelector('.found li a');
    await one.press('.finder input', 'Enter');
    await one.waitForSelector('.of-test');
    expect(await one.textContent('h2.title')).toContain('RestartCmd8');
  });

  it('change between days and weeks, light and dark', async () => {
    const one = await open('', 'dark');
    const canvas = () => one.locator('canvas').first().screenshot();
    const first = await canvas();
    await one.click('.choice button[aria-pressed="false"] >> nth=0');
    await expect.poll(async () => (await canvas()).equals(first)).toBe(false);
    const background = () => one.evaluate<string>('getComputedStyle(document.body).backgroundColor');
    const dark = await background();
    await one.click('button.theme');
    await one.click('button.theme');
    await ready(one);
    expect(await background()).not.toBe(dark);
  });

  it('say so when there is no such page, and fit a narrow screen', async () => {
    const one = await open(hashOf({ commit: 'fffffffffff' }, 'commit'));
    // A browser reports every 404 of a page as an error.
    troubles = troubles.filter((trouble) => !trouble.includes('404'));
    expect(await one.textContent('.note.big')).toMatch(/no such/);
    await one.click('a:has-text("To the overview")');
    await one.waitForSelector('.overview');
    await one.setViewportSize({ width: 360, height: 700 });
    await expect.poll(() => one.evaluate<number>('document.documentElement.scrollWidth')).toBeLessThanOrEqual(360);
  });
});

describe('the static site', () => {
  it('takes away its own old pages and nothing else', async () => {
    const site = join(folder.path, 'again');
    const write = async (...args: string[]) =>
      await mkCi(['flake', 'chart', '--html', site, '--database', database, ...args]);
    expect((await write('--max-tests', '30')).exitCode).toBe(0);
    await writeFile(join(site, 'data', 'mine.js'), 'mine');
    const before = await readdir(join(site, 'data'));
    expect((await write('--max-tests', '2')).exitCode).toBe(0);
    const after = await readdir(join(site, 'data'));
    expect(after.length).toBeLessThan(before.length);
    expect(after.filter((name) => name.startsWith('test-'))).toHaveLength(2);
    expect(await readFile(join(site, 'data', 'mine.js'), 'utf8')).toBe('mine');
    expect(await readFile(join(site, 'index.html'), 'utf8')).toContain('tests that failed');
  });

  it('says that an empty database has nothing to show', async () => {
    const empty = join(folder.path, 'empty.db');
    await (await openFlakeStore(empty)).close();
    const { exitCode, stderr } = await mkCi([
      'flake',
      'chart',
      '--html',
      join(folder.path, 'none'),
      '--database',
      empty,
    ]);
    expect(exitCode).toBe(35);
    expect(stderr).toContain('DB_NO_RUNS');
  });
});

describe('mk-ci serve', () => {
  it('takes in what other machines send: a run once, from any format, and shows it at once', async () => {
    const tokenFile = join(folder.path, 'token');
    await writeFile(tokenFile, `${TOKEN}\n`);
    await using server = await serve('--database', join(folder.path, 'fresh.db'), '--token-file', tokenFile);
    const body =
      '<testsuite name="s"><testcase classname="c" name="works"/><testcase classname="c" name="breaks"><failure message="no"/></testcase></testsuite>';
    const send = async (token: string, query = 'environment=remote&repository=o/r&commit=abcdef1234') =>
      await fetch(`${server.url}api/runs?${query}`, {
        method: 'POST',
        body,
        headers: { authorization: `Bearer ${token}` },
      });
    expect((await send('wrong')).status).toBe(401);
    expect((await fetch(`${server.url}api/pages/commit?commit=abcdef1234`)).status).toBe(404);
    const first = await send(TOKEN);
    expect(await first.json()).toMatchObject({ runs: 1, results: 2 });
    expect((await send(TOKEN)).status).toBe(200);
    expect((await send(TOKEN, 'environment=remote&format=nonsense')).status).toBe(400);
    const page = await fetch(`${server.url}api/pages/commit?commit=abcdef1234`);
    expect(await page.json()).toMatchObject({ failures: [{ test: 'breaks', environment: 'remote' }] });
  });

  it('says which port is taken, which token is missing, which database', async () => {
    const other = createServer();
    const port = await new Promise<number>((resolve) => {
      other.listen(0, '127.0.0.1', () => {
        const address = other.address();
        resolve(typeof address === 'object' && address !== null ? address.port : 0);
      });
    });
    try {
      const run = async (...args: string[]) => await mkCi(['serve', '--database', database, ...args]);
      const taken = await run('--listen', `127.0.0.1:${String(port)}`);
      expect([taken.exitCode, taken.stderr]).toEqual([31, expect.stringContaining('SRV_PORT_TAKEN')]);
      const missing = await run('--token-file', join(folder.path, 'no-token'));
      expect([missing.exitCode, missing.stderr]).toEqual([18, expect.stringContaining('SRV_TOKEN')]);
      const nowhere = await mkCi(['serve', '--database', join(folder.path, 'nowhere.db')]);
      expect([nowhere.exitCode, nowhere.stderr]).toEqual([38, expect.stringContaining('DB_OPEN')]);
    } finally {
      other.close();
    }
  });

  it.each(['SIGINT', 'SIGTERM'] as const)('ends on %s, after the answers that run', async (signal) => {
    const server = await serve('--database', database);
    const answer = fetch(`${server.url}api/pages/overview?days=3000`);
    expect((await answer).status).toBe(200);
    server.child.signal(signal);
    expect((await server.child.ended).exitCode).toBe(signal === 'SIGINT' ? 130 : 143);
    await expect(fetch(server.url)).rejects.toThrow();
  });
});
