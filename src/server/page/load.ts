/** Data of pages: from scripts beside the page, or from the server. */

import type { PageModel } from '../../flake/charts/schemas.js';
import type { Boot, BootTest } from '../shared/boot.js';
import { apiPathOf, pageFileOf, type Route } from '../shared/route.js';

declare global {
  interface Window {
    mkCiPage?: (file: string, json: string) => void;
  }
}

export interface Source {
  /** @throws {Error} with a sentence for people */
  load(route: Route): Promise<PageModel>;
  /** Whether there is such a page. */
  has(route: Route): boolean;
  search(text: string, signal: AbortSignal): Promise<readonly BootTest[]>;
}

const SEARCH_LIMIT = 20;

export function createSource(boot: Boot): Source {
  return boot.mode === 'live' ? fromServer() : fromFolder(boot);
}

function fromServer(): Source {
  const ask = async (path: string, signal?: AbortSignal): Promise<unknown> => {
    const response = await fetch(path, { headers: { accept: 'application/json' }, ...(signal ? { signal } : {}) });
    if (response.ok) return await response.json();
    const problem = (await response.json().catch(() => ({}))) as { readonly title?: string; readonly detail?: string };
    throw new Error(problem.title ?? `The server answered ${String(response.status)}.`);
  };
  return {
    load: async (route) => (await ask(apiPathOf(route))) as PageModel,
    has: () => true,
    search: async (text, signal) => {
      const query = new URLSearchParams({ search: text, limit: String(SEARCH_LIMIT) });
      return ((await ask(`api/tests?${query.toString()}`, signal)) as { readonly items: readonly BootTest[] }).items;
    },
  };
}

function fromFolder(boot: Boot): Source {
  const pages = new Set(boot.pages);
  const models = new Map<string, PageModel>();
  window.mkCiPage = (file, json) => {
    models.set(file, JSON.parse(json) as PageModel);
  };
  const policy = window.trustedTypes?.createPolicy('mk-ci-pages', {
    createScriptURL: (url) => {
      if (!/^data\/[a-z]+(?:-[0-9a-f]{16})?\.js$/.test(url)) throw new TypeError(`not a page: ${url}`);
      return url;
    },
  });
  const read = (file: string): Promise<void> =>
    new Promise((resolve, reject) => {
      const script = document.createElement('script');
      script.addEventListener('load', () => {
        script.remove();
        resolve();
      });
      script.addEventListener('error', () => {
        script.remove();
        reject(new Error(`data/${file}.js can not be read. Keep the folder beside the page.`));
      });
      const url = `data/${file}.js`;
      script.src = policy?.createScriptURL(url) ?? url;
      document.head.append(script);
    });
  return {
    load: async (route) => {
      const file = pageFileOf(route);
      if (!pages.has(file))
        throw new Error('This copy holds no such page; its pages are those that its lists link to.');
      if (!models.has(file)) await read(file);
      const model = models.get(file);
      if (model === undefined) throw new Error(`data/${file}.js holds another page.`);
      return model;
    },
    has: (route) => pages.has(pageFileOf(route)),
    search: async (text) => {
      const words = text.toLowerCase().split(/\s+/).filter(Boolean);
      const tests = boot.tests ?? [];
      return tests
        .filter(({ test, environment }) => words.every((word) => `${test} ${environment}`.toLowerCase().includes(word)))
        .slice(0, SEARCH_LIMIT);
    },
  };
}
