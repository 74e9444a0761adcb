/// <reference lib="dom" />
/** Debian's Chromium, driven by playwright-core: for tests and figures of the report page. */

import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { pathToFileURL } from 'node:url';

import { chromium, type Browser } from 'playwright-core';

export const CHROMIUM = '/usr/bin/chromium';

export function hasChromium(): boolean {
  return existsSync(CHROMIUM);
}

export async function launchChromium(): Promise<Browser> {
  return chromium.launch({
    executablePath: CHROMIUM,
    args: [
      '--headless',
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ],
  });
}

export interface PageFigures {
  /** From navigation to the first paint, and until the script has built the page. */
  readonly firstPaintMs: number;
  readonly readyMs: number;
  /** From a click on a failure to its lines; then to lines far away, the slowest of five. */
  readonly openLogMs?: number;
  readonly jumpMs?: number;
  /** Whole log for a text that is in every chunk, and for one that is in none. */
  readonly searchCommonMs?: number;
  readonly searchRareMs?: number;
  readonly filterMs?: number;
  /** Largest resident size of the tab's process. */
  readonly tabPeakMiB?: number;
}

/** @returns `undefined` when there is no Chromium */
export async function measurePage(
  htmlPath: string,
  options: { readonly test?: string | undefined; readonly lines: number },
): Promise<PageFigures | undefined> {
  if (!hasChromium()) return undefined;
  const browser = await launchChromium();
  try {
    const page = await browser.newPage({ viewport: { width: 1280, height: 900 } });
    // On a busy host a figure is large; it must not be missing.
    page.setDefaultTimeout(300_000);
    const url = pathToFileURL(htmlPath).href;
    await page.goto(url);
    await page.waitForSelector('html[data-ready="true"]');
    const { firstPaintMs, readyMs } = await page.evaluate<{ firstPaintMs: number; readyMs: number }>(
      `({ firstPaintMs: performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? NaN, readyMs: performance.now(), })`,
    );
    const timed = async (act: () => Promise<unknown>): Promise<number> => {
      const began = performance.now();
      await act();
      return Math.round(performance.now() - began);
    };
    const filterMs = await timed(async () => {
      await page.fill('.search.global', 'case_49');
      await page.waitForTimeout(0);
    });
    await page.fill('.search.global', '');
    let figures: Partial<PageFigures> = { filterMs };
    if (options.test !== undefined) {
      const openLogMs = await timed(async () => {
        await page.goto(`${url}#failures`);
        await page.click('.failures article button.primary');
        await page.waitForSelector('.log .row[data-row]');
      });
      const jumps: number[] = [];
      for (const share of [0.93, 0.11, 0.5, 0.77, 0.02]) {
        const line = Math.max(1, Math.floor(options.lines * share));
        jumps.push(
          await timed(async () => {
            await page.evaluate(`location.hash = '#log/local.e2e@1:L${String(line)}'`);
            await page.waitForSelector(`.log .row[data-line="${String(line)}"] .text`);
          }),
        );
      }
      const search = async (text: string): Promise<number> =>
        timed(async () => {
          await page.fill('.log .search', text);
          await page.locator('.search-count', { hasText: /^(?:[\d,]+ of|[\d,]+$|not found)/ }).waitFor();
        });
      const searchCommonMs = await search('reconciler.go:231');
      await page.evaluate(`document.querySelector('.search-count').textContent = ''`);
      const searchRareMs = await search('no such text anywhere');
      figures = { ...figures, openLogMs, jumpMs: Math.max(...jumps), searchCommonMs, searchRareMs };
    }
    const tabPeakMiB = await rendererPeakMiB(browser);
    return { firstPaintMs: Math.round(firstPaintMs), readyMs: Math.round(readyMs), ...figures, tabPeakMiB };
  } finally {
    await browser.close();
  }
}

/** VmHWM of the largest renderer process. */
async function rendererPeakMiB(browser: Browser): Promise<number> {
  const session = await browser.newBrowserCDPSession();
  const { processInfo } = await session.send('SystemInfo.getProcessInfo');
  let peak = 0;
  for (const one of processInfo) {
    if (one.type !== 'renderer') continue;
    const status = await readFile(`/proc/${String(one.id)}/status`, 'utf8').catch(() => '');
    peak = Math.max(peak, Number(/VmHWM:\s+(\d+)/.exec(status)?.[1] ?? 0) / 1024);
  }
  return Math.round(peak);
}
