import { mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { hostErrorOf, isMkCiError, MkCiError } from '../errors.js';
import {
  readCommitPage,
  readEnvironmentPage,
  readOverview,
  readTestPage,
  type ChartStore,
  type PageModel,
  type PageQuery,
} from '../flake/charts/index.js';
import { loadDashboardAssets } from './assets.js';
import type { BootTest } from './shared/boot.js';
import { pageFileOf, type Route } from './shared/route.js';
import { renderShell } from './shell.js';

export interface StaticSiteOptions {
  /** Folder; made when it is missing. Pages of an earlier site in it are taken away. */
  readonly folder: string;
  readonly query: PageQuery;
  readonly toolVersion: string;
  readonly now: Date;
  /** Most pages of tests. @default 300 */
  readonly maxTests?: number;
  readonly signal?: AbortSignal;
}

export interface StaticSite {
  readonly indexPath: string;
  readonly pages: number;
  readonly bytes: number;
  /** Pages that were left out, by kind. */
  readonly leftOut: Readonly<Record<string, number>>;
}

/** Names of files that a site of ours holds; nothing else in the folder is touched. */
const PAGE_FILE = /^(?:overview|(?:environment|test|commit)-[0-9a-f]{16})\.js$/;

/**
 * Writes the dashboard as files: `index.html` with style and script in it, and the data of each page in `data/`, loaded when
 * its page is opened. Works from disk. Pages are those that the lists of the overview and of the environments lead to.
 *
 * @throws {MkCiError} `DB_NO_RUNS` for an empty database; `HOST_PERMISSION`, `HOST_DISK_FULL`
 */
export async function writeStaticSite(store: ChartStore, options: StaticSiteOptions): Promise<StaticSite> {
  const { folder, query, maxTests = 300, signal } = options;
  const site = new SiteWriter(folder);
  const overview = await readOverview(store, query);
  if (overview.environments.length === 0) {
    throw new MkCiError('DB_NO_RUNS', { message: `from ${overview.window.from} to ${overview.window.to}` });
  }
  // All pages show the same days.
  const same: PageQuery = { ...query, days: overview.window.days, until: overview.window.to };
  try {
    await site.begin();
    await site.add({ kind: 'overview' }, overview);
    const repository = query.repository === undefined ? {} : { repository: query.repository };
    const tests = new Map<string, BootTest>();
    const want = ({ repository: of, environment, package: pkg, test }: BootTest): void => {
      const key = JSON.stringify([of, environment, pkg, test]);
      if (!tests.has(key)) tests.set(key, { repository: of, environment, package: pkg, test });
    };
    for (const row of overview.tests) want(row);
    for (const { environment } of overview.environments) {
      signal?.throwIfAborted();
      const page = await readEnvironmentPage(store, environment, same);
      await site.add({ kind: 'environment', environment, ...repository }, page);
      // Lists of commits and tests lead to environments without saying a repository.
      if (query.repository !== undefined) await site.add({ kind: 'environment', environment }, page);
      for (const row of page.tests) want(row);
    }
    for (const { commit, repository: of } of overview.commits) {
      signal?.throwIfAborted();
      const page = await readCommitPage(store, commit, { repository: of });
      await site.add({ kind: 'commit', repository: of, commit }, page);
      for (const row of page.failures) want(row);
    }
    const written: BootTest[] = [];
    for (const test of [...tests.values()].slice(0, maxTests)) {
      signal?.throwIfAborted();
      try {
        await site.add({ kind: 'test', ...test }, await readTestPage(store, test, same));
        written.push(test);
      } catch (error) {
        // Renamed or pruned between two reads.
        if (!isMkCiError(error, 'DB_NOT_FOUND')) throw error;
      }
    }
    const leftOut = {
      ...(overview.leftOut['environments'] === undefined ? {} : { environments: overview.leftOut['environments'] }),
      ...(overview.totals.failingTests > written.length
        ? { 'tests that failed': overview.totals.failingTests - written.length }
        : {}),
    };
    const { html } = renderShell(
      {
        mode: 'static',
        toolVersion: options.toolVersion,
        writtenAt: options.now.toISOString(),
        tests: written,
        pages: site.files,
        leftOut,
      },
      await loadDashboardAssets(),
    );
    const indexPath = join(folder, 'index.html');
    await writeFile(indexPath, html);
    return { indexPath, pages: site.files.length, bytes: site.bytes + Buffer.byteLength(html), leftOut };
  } catch (error) {
    throw hostErrorOf(error, folder) ?? error;
  }
}

class SiteWriter {
  readonly #folder: string;
  readonly #files = new Map<string, string>();
  bytes = 0;

  constructor(folder: string) {
    this.#folder = join(folder, 'data');
  }

  get files(): string[] {
    return [...this.#files.keys()];
  }

  async begin(): Promise<void> {
    await mkdir(this.#folder, { recursive: true });
    for (const name of await readdir(this.#folder)) {
      if (PAGE_FILE.test(name)) await rm(join(this.#folder, name));
    }
  }

  async add(route: Route, model: PageModel): Promise<void> {
    const file = pageFileOf(route);
    const names = JSON.stringify(route);
    const taken = this.#files.get(file);
    if (taken === names) return;
    if (taken !== undefined) throw new Error(`two pages have the name ${file}: ${taken} and ${names}`);
    this.#files.set(file, names);
    // Data is text for the script: nothing of it runs.
    const json = JSON.stringify(model).replace(/[\\']/g, '\\$&');
    const text = `mkCiPage('${file}','${json}');\n`;
    await writeFile(join(this.#folder, `${file}.js`), text);
    this.bytes += Buffer.byteLength(text);
  }
}
