/**
 * The report page in a real browser, from `file://`. Needs Chromium at /usr/bin/chromium (Debian: `apt-get install chromium`);
 * without it the tests are skipped.
 */
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

import type { Browser, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';

import { createTemporaryFolder, type TemporaryFolder } from '../src/files.js';
import { openReport, testAnchor } from '../src/report/index.js';
import { hasChromium, launchChromium } from './support/chromium.js';
import { addSampleLogs, HOSTILE_NAME, sampleHistory, sampleRun, sampleRunBefore } from './support/report-sample.js';

const CHECKOUT = 'TestFunctional/parallel/CheckoutCmd';
const CRIO_LOG = '#log/docker-crio-v1.36.e2e@1';

describe.skipIf(!hasChromium())('the report page in Chromium (skipped where it is not installed)', () => {
  let browser: Browser;
  let folder: TemporaryFolder;
  let page: Page | undefined;
  let troubles: string[] = [];

  beforeAll(async () => {
    browser = await launchChromium();
    folder = await createTemporaryFolder('mk-ci-page-');
    for (const singleFile of [true, false]) {
      await using report = await openReport({
        htmlPath: join(folder.path, singleFile ? 'single.html' : 'folder.html'),
        singleFile,
        year: 2026,
      });
      await addSampleLogs(report);
      await report.finish(sampleRun(), { history: sampleHistory, against: sampleRunBefore() });
    }
  });

  afterAll(async () => {
    await browser.close();
    await folder[Symbol.asyncDispose]();
  });

  afterEach(async () => {
    await page?.close();
    page = undefined;
    // No error of the script, nothing refused by the content policy, no request to anywhere.
    expect(troubles).toEqual([]);
  });

  async function open(hash = '', file: 'single' | 'folder' = 'folder', script = true): Promise<Page> {
    troubles = [];
    const context = await browser.newContext({ javaScriptEnabled: script, viewport: { width: 1280, height: 900 } });
    const one = await context.newPage();
    page = one;
    one.on('pageerror', (error) => troubles.push(error.message));
    one.on('console', (message) => {
      if (message.type() === 'error') troubles.push(message.text());
    });
    one.on('request', (request) => {
      if (!/^(?:file|blob):/.test(request.url())) troubles.push(`request ${request.url()}`);
    });
    await one.goto(`${pathToFileURL(join(folder.path, `${file}.html`)).href}${hash}`);
    if (script) await one.waitForSelector('html[data-ready="true"]');
    return one;
  }

  const row = (one: Page, line: number) => one.locator(`.log .row[data-line="${String(line)}"]`).first();

  it('shows verdict, grid, counts and the failures, the new one first', async () => {
    const one = await open();
    expect(await one.textContent('.verdict')).toContain('6 of 508 tests did not pass.');
    expect(await one.locator('.grid .cell').count()).toBe(6);
    expect(await one.locator('.failures article h3').first().textContent()).toContain(CHECKOUT);
    expect(await one.locator('.failures article').first().textContent()).toContain('caused by this change');
  });

  it('works without a script as far as the list of failures', async () => {
    const one = await open('', 'folder', false);
    expect(await one.locator('main article:visible').count()).toBeGreaterThan(5);
    expect(await one.textContent('main')).toContain('expected status 200 from /checkout');
  });

  it.each(['single', 'folder'] as const)(
    'opens the log of a failure at its reason, the post-mortem closed (%s)',
    async (file) => {
      const one = await open('', file);
      await one.click(`article:has-text("${CHECKOUT}") button.primary`);
      await one.waitForSelector('.log .row[data-line="100"].cursor');
      expect(await row(one, 100).textContent()).toContain('got 503 after 2m0s');
      expect(await row(one, 101).locator('.folded').textContent()).toContain('9,641 lines');
      expect(await row(one, 102).count()).toBe(0);
      expect(await row(one, 100).locator('.late-by').textContent()).toBe('+2 min 00 s');
      expect(await one.locator('.row.gap').first().textContent()).toContain('show 33 more lines');
    },
  );

  it('shows what a gap and a section hide', async () => {
    const one = await open(
      `#test/${testAnchor({ package: 'example.com/shop/test/e2e', name: CHECKOUT })}/docker-crio-v1.36.e2e`,
    );
    await one.click('.row.gap .gap-all');
    await row(one, 40).waitFor();
    await row(one, 101).locator('.toggle').click();
    await row(one, 102).waitFor();
    await row(one, 101).locator('.toggle').click();
    await row(one, 102).waitFor({ state: 'detached' });
  });

  it('follows a permalink to lines inside a closed section and makes new ones', async () => {
    const one = await open(`${CRIO_LOG}:L5000-L5003`);
    await row(one, 5000).waitFor();
    expect(await one.locator('.row.selected').count()).toBe(4);
    await row(one, 5002).locator('.num').click();
    await row(one, 5005)
      .locator('.num')
      .click({ modifiers: ['Shift'] });
    expect(await one.evaluate<string>(`location.hash`)).toBe(`${CRIO_LOG}:L5002-L5005`);
    expect(await one.locator('.row.selected').count()).toBe(4);
  });

  it('says so when a link leads nowhere', async () => {
    const one = await open('#test/000000000000/nowhere');
    expect(await one.textContent('.screen')).toContain('Not in this report');
  });

  it('searches a log, counts, and steps from match to match', async () => {
    const one = await open(CRIO_LOG);
    await one.fill('.log .search', 'StartContainer');
    await one
      .locator('.search-count', { hasText: /^1 of 100/ })
      .first()
      .waitFor();
    await one.press('.log .search', 'Enter');
    await one.locator('.search-count', { hasText: /^2 of/ }).waitFor();
    expect(await one.locator('.row.cursor mark').first().textContent()).toBe('StartContainer');
    await one.fill('.log .search', '/checkout-2\\d\\d\\d"/');
    await one
      .locator('.search-count', { hasText: /^1 of 16/ })
      .first()
      .waitFor();
    await one.fill('.log .search', '/(/');
    await one
      .locator('.search-count', { hasText: /Invalid regular expression/ })
      .first()
      .waitFor();
  });

  it('searches all logs at once', async () => {
    const one = await open();
    await one.fill('.search.global', 'Failed to create sandbox');
    await one.press('.search.global', 'Enter');
    await one.waitForSelector('.log-search[data-done="45"]');
    expect(await one.textContent('.log-search b')).toContain('45 lines in 3 logs');
    await one.click('.log-search li a >> nth=0');
    await one.waitForSelector('.log .row.selected');
  });

  it('filters tests by status, environment and name', async () => {
    const one = await open();
    await one.click('.count[data-status="skipped"]');
    expect(await one.textContent('.tests .bar [role=status]')).toBe('18 of 508 tests');
    await one.click('.grid .cell >> nth=0');
    expect(await one.textContent('.tests .bar [role=status]')).toBe('1 of 508 tests');
    await one.click('.clear');
    await one.fill('.search.global', 'volumes case_01');
    expect(await one.textContent('.tests .bar [role=status]')).toBe('3 of 508 tests');
  });

  it('is driven by the keyboard', async () => {
    const one = await open();
    await one.keyboard.press('j');
    await one.keyboard.press('Enter');
    await one.waitForSelector('.log .row.cursor');
    await one.keyboard.press('n');
    await one.locator('.row.cursor', { hasText: /FAIL/ }).first().waitFor();
    await one.keyboard.press('p');
    await one
      .locator('.row.cursor', { hasText: /got 503/ })
      .first()
      .waitFor();
    await one.keyboard.press('j');
    await one.keyboard.press('k');
    expect(await one.textContent('.row.cursor')).toContain('got 503');
    await one.keyboard.press('/');
    expect(await one.evaluate<string | number>(String.raw`document.activeElement?.className`)).toBe('search');
    await one.keyboard.press('Escape');
    await one.keyboard.press('Escape');
    await one.waitForSelector('.screen', { state: 'detached' });
    await one.keyboard.press('?');
    expect(await one.textContent('dialog')).toContain('Next and previous');
    await one.keyboard.press('Escape');
    await one.keyboard.press('/');
    expect(await one.evaluate<string | number>(String.raw`document.activeElement?.className`)).toBe('search global');
  });

  it('leads from a failing line to what the cluster said at that moment', async () => {
    const one = await open(`${CRIO_LOG}:L100`);
    await row(one, 100).hover();
    await row(one, 100).locator('.at-time').click();
    await one.waitForSelector('.below .row.cursor');
    expect(await one.textContent('.below .bar')).toContain('Cluster at 09:32:19.000');
    expect(await one.textContent('.below .row.cursor')).toContain('09:32:19');
    expect(await one.locator('.below select option').first().textContent()).toContain('kubelet');
  });

  it('shows times as printed, from the start, or not at all', async () => {
    const one = await open(`${CRIO_LOG}:L200`);
    await row(one, 200).waitFor();
    expect(await row(one, 200).textContent()).toMatch(/I0914 09:30:\d\d\.\d+/);
    await one.selectOption('select[aria-label="Times"]', 'hidden');
    expect(await row(one, 200).textContent()).not.toMatch(/09:30/);
    await one.selectOption('select[aria-label="Times"]', 'relative');
    expect(await row(one, 200).locator('.time').textContent()).toMatch(/^\+\d+\.\d{3}$/);
  });

  it('draws colours, redrawn lines and groups', async () => {
    const one = await open(CRIO_LOG);
    await row(one, 1).waitFor();
    await row(one, 1).locator('.toggle').click();
    await row(one, 2).waitFor();
    expect(await row(one, 2).locator('.a-f2').textContent()).toBe('✓');
    expect(await row(one, 15).locator('.text').textContent()).toBe('↻ 2downloading 100 %');
  });

  it('shows hostile names and lines as text', async () => {
    const anchor = testAnchor({ package: 'example.com/shop/test/e2e', name: HOSTILE_NAME });
    const one = await open(`#test/${anchor}/docker-containerd-v1.36.e2e`);
    await one.waitForSelector('.log .row[data-row]');
    expect(await one.title()).not.toContain('owned');
    expect(await one.textContent('.log')).toContain(
      '</script><script>document.title="owned"</script> \\u202eevil \\x07',
    );
    expect(await one.textContent('.screen h2')).toContain('\\u202egnp.exe');
  });

  it('saves the log as it was', async () => {
    const one = await open(CRIO_LOG);
    await row(one, 1).waitFor();
    const [download] = await Promise.all([one.waitForEvent('download'), one.click('.log-bar button:has-text("Save")')]);
    const chunks: Buffer[] = [];
    for await (const chunk of await download.createReadStream()) chunks.push(chunk as Buffer);
    const lines = Buffer.concat(chunks).toString().split('\n');
    expect(lines).toHaveLength(9_799);
    expect(lines[99]).toBe('    functional_test.go:214: expected status 200 from /checkout, got 503 after 2m0s');
    expect(lines[14]).toBe('downloading 1 %\rdownloading 50 %\rdownloading 100 %');
  });

  it('compares, draws the timeline and fits a narrow screen', async () => {
    const one = await open('#compare');
    expect(await one.textContent('.compare')).toContain('New failures (1)');
    await one.click('.tabs a[href="#timeline"]');
    expect(await one.locator('.gantt rect').count()).toBe(18);
    await one.setViewportSize({ width: 360, height: 700 });
    await one.click('.tabs a[href="#failures"]');
    expect(await one.evaluate<string | number>(String.raw`document.documentElement.scrollWidth`)).toBeLessThanOrEqual(
      360,
    );
  });

  it('leads from a line of the cluster to the tests that ran at that moment', async () => {
    const one = await open('#cluster/docker-crio-v1.36/control-plane%2Fkubelet.log:L1509');
    await row(one, 1509).hover();
    await row(one, 1509).locator('.at-time').click();
    await one.waitForSelector('.below .row.cursor');
    expect(await one.textContent('.below .bar')).toMatch(/Tests at 09:3\d:\d\d/);
    expect(await one.textContent('.below .moment-tests')).toContain(CHECKOUT);
    await one.click(`.below .moment-tests a:has-text("${CHECKOUT}")`);
    expect(await one.textContent('.screen h2')).toContain(CHECKOUT);
  });

  it('narrows tests by environment, package, duration and new failures', async () => {
    const one = await open('#tests');
    const count = () => one.textContent('.tests .bar [role=status]');
    await one.selectOption('select[data-filter="environment"]', 'docker-crio-v1.36');
    const inEnvironment = Number(/^\d+/.exec((await count()) ?? '')?.[0]);
    expect(inEnvironment).toBeGreaterThan(50);
    await one.selectOption('select[data-filter="duration"]', '10000');
    const long = Number(/^\d+/.exec((await count()) ?? '')?.[0]);
    expect(long).toBeGreaterThan(0);
    expect(long).toBeLessThan(inEnvironment);
    await one.click('.clear');
    expect(await count()).toBe('508 of 508 tests');
    await one.click('.count:has-text("new failure")');
    expect(await count()).toBe('1 of 508 tests');
  });

  it('shows the history of a failure as bars and k of n', async () => {
    const one = await open();
    const card = one.locator('article', { hasText: 'TestAddons/parallel/Registry' }).first();
    expect(await card.locator('.history').getAttribute('aria-label')).toMatch(/failed 7 of 118 earlier runs \(5\.9 %/);
    expect(await card.locator('.spark rect').count()).toBe(30);
  });

  it.each(['light', 'dark'] as const)('names every control and keeps every text legible (%s)', async (colorScheme) => {
    const one = await open();
    await one.emulateMedia({ colorScheme });
    for (const hash of ['#failures', '#tests', '#timeline', '#compare', CRIO_LOG]) {
      await one.evaluate(`location.hash = ${JSON.stringify(hash)}`);
      if (hash === CRIO_LOG) await row(one, 1).waitFor();
      expect({ hash, faults: await one.evaluate<string[]>(FAULTS) }).toEqual({ hash, faults: [] });
    }
  });
});

/** Controls without a name and texts with a contrast below 4.5, the limit of WCAG 2 AA. */
const FAULTS = String.raw`(() => {
  const faults = [];
  const isShown = (one) => one.getClientRects().length > 0;
  for (const one of document.querySelectorAll('button, a[href], input, select, [role=button]')) {
    const name = one.getAttribute('aria-label') || one.textContent || one.labels?.[0]?.textContent || '';
    if (isShown(one) && name.trim() === '') faults.push('no name: ' + one.outerHTML.slice(0, 100));
  }
  const parts = (color) => (color.match(/[\d.]+/g) ?? []).map(Number);
  const light = (color) => {
    const [r, g, b] = parts(color).slice(0, 3).map((v) => (v <= 10 ? v / 3294 : ((v / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (one) => {
    for (let node = one; node !== null; node = node.parentElement) {
      const color = getComputedStyle(node).backgroundColor;
      if ((parts(color)[3] ?? 1) === 1) return color;
    }
    return 'rgb(255, 255, 255)';
  };
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const one = texts.currentNode.parentElement;
    const text = texts.currentNode.textContent.trim();
    if (text === '' || !isShown(one) || one.closest('script, style, svg, [aria-hidden=true]') !== null) continue;
    const [low, high] = [light(getComputedStyle(one).color), light(behind(one))].sort((a, b) => a - b);
    const contrast = (high + 0.05) / (low + 0.05);
    if (contrast < 4.5) faults.push(contrast.toFixed(2) + ' ' + one.className + ': ' + text.slice(0, 40));
  }
  return faults;
})()`;
