/** Starts the pages: reads what stands in the page, follows the address, draws what is loaded. */

import { element, visible } from '../../report/page/dom.js';
import { visibleText } from '../../report/shared/visible.js';
import { themeButton } from '../../report/page/theme.js';
import type { Boot, BootTest } from '../shared/boot.js';
import { formatRoute, parseRoute, routeOfGopogh, type Route } from '../shared/route.js';
import { closeCharts } from './chart.js';
import { createSource, type Source } from './load.js';
import { screenOf, titleOf } from './screens.js';

const DAYS = ['14', '30', '90', '180', '365'] as const;
const RUNS = [
  ['all', 'All runs'],
  ['base', 'Without pull requests'],
  ['pull-requests', 'Pull requests'],
] as const;

function start(): void {
  const json = document.getElementById('data');
  const main = document.getElementById('main');
  const tools = document.getElementById('tools');
  if (json === null || main === null || tools === null) return;
  const boot = JSON.parse(json.textContent) as Boot;
  json.remove();
  const old = routeOfGopogh(location.search);
  if (old !== undefined && location.hash === '') location.replace(formatRoute(old));
  const source = createSource(boot);
  let turn = 0;
  const draw = async (): Promise<void> => {
    turn += 1;
    const mine = turn;
    const route = parseRoute(location.hash);
    tools.replaceChildren(searchBox(source), ...(boot.mode === 'live' ? viewChoice(route) : []), themeButton());
    main.setAttribute('aria-busy', 'true');
    document.documentElement.dataset['ready'] = 'false';
    let content: HTMLElement;
    try {
      const model = await source.load(route);
      if (mine !== turn) return;
      closeCharts();
      content = screenOf(model, { source, route, leftOut: model.leftOut });
      document.title = `${visibleText(titleOf(model)).slice(0, 120)} · mk-ci`;
    } catch (error) {
      if (mine !== turn) return;
      closeCharts();
      content = element(
        'div',
        { class: 'page' },
        element(
          'p',
          { class: 'note big s-error' },
          visible(error instanceof Error ? error.message : String(error), 500),
        ),
        element('p', {}, element('a', { href: '#overview' }, 'To the overview')),
      );
    }
    main.replaceChildren(content, footer(boot));
    main.removeAttribute('aria-busy');
    // Charts draw in the next frame.
    requestAnimationFrame(() => {
      requestAnimationFrame(() => {
        if (mine === turn) document.documentElement.dataset['ready'] = 'true';
      });
    });
  };
  addEventListener('hashchange', () => {
    scrollTo(0, 0);
    void draw();
  });
  redrawOnTheme(() => void draw());
  void draw();
}

/** Charts hold their colours, so they are drawn again with others. */
function redrawOnTheme(draw: () => void): void {
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', draw);
  let theme = document.documentElement.dataset['theme'];
  new MutationObserver(() => {
    const now = document.documentElement.dataset['theme'];
    if (now === theme) return;
    theme = now;
    draw();
  }).observe(document.documentElement, { attributes: true, attributeFilter: ['data-theme'] });
}

function viewChoice(route: Route): HTMLElement[] {
  if (route.kind === 'commit') return [];
  const select = (
    label: string,
    chosen: string,
    choices: readonly (readonly [string, string])[],
    go: (value: string) => Route,
  ) => {
    const node = element('select', {
      aria: { label },
      on: {
        change: () => {
          location.hash = formatRoute(go(node.value));
        },
      },
    });
    for (const [value, text] of choices) {
      const option = element('option', { value }, text);
      option.selected = value === chosen;
      node.append(option);
    }
    return node;
  };
  return [
    select(
      'Window',
      route.days ?? '90',
      DAYS.map((days) => [days, `${days} days`] as const),
      (days) => ({ ...route, days }),
    ),
    select('Runs', route.runs ?? 'all', RUNS, (runs) => ({ ...route, runs })),
  ];
}

function searchBox(source: Source): HTMLElement {
  const list = element('ul', { class: 'found', hidden: true, role: 'listbox', aria: { label: 'Tests found' } });
  let running: AbortController | undefined;
  const input = element('input', {
    type: 'search',
    class: 'search',
    placeholder: 'Find a test',
    aria: { label: 'Find a test' },
    on: {
      input: () => {
        running?.abort();
        running = new AbortController();
        void find(input.value.trim(), running.signal);
      },
      keydown: (event) => {
        if (event.key === 'Escape') list.hidden = true;
        if (event.key === 'Enter') list.querySelector('a')?.click();
      },
    },
  });
  const find = async (text: string, signal: AbortSignal): Promise<void> => {
    let found: readonly BootTest[] = [];
    try {
      if (text.length >= 2) found = await source.search(text, signal);
    } catch {
      // The next letter asks again.
      return;
    }
    if (signal.aborted) return;
    list.hidden = text.length < 2;
    list.replaceChildren(
      ...found.map(({ repository, environment, package: pkg, test }) =>
        element(
          'li',
          { role: 'option' },
          element(
            'a',
            {
              href: formatRoute({ kind: 'test', repository, environment, package: pkg, test }),
              on: {
                click: () => {
                  list.hidden = true;
                },
              },
            },
            visible(test, 200),
            element('small', { class: 'dim' }, visible(environment, 80)),
          ),
        ),
      ),
      ...(found.length === 0 ? [element('li', { class: 'dim' }, 'No test of that name has a page.')] : []),
    );
  };
  return element('span', { class: 'finder' }, input, list);
}

function footer(boot: Boot): HTMLElement {
  const parts = [
    boot.mode === 'static' && boot.writtenAt !== undefined
      ? `Written ${boot.writtenAt.slice(0, 16).replace('T', ' ')} UTC by mk-ci ${boot.toolVersion}.`
      : `mk-ci ${boot.toolVersion}, live.`,
    ...Object.entries(boot.leftOut ?? {}).map(
      ([list, count]) => `${count.toLocaleString('en-US')} ${list} have no page here.`,
    ),
    'Failed share = failed ÷ (passed + failed) attempts; skipped, unfinished and infrastructure failures do not count.',
  ];
  return element('footer', { class: 'foot dim' }, parts.join(' '));
}

start();
