/** Starts the page: reads the data, builds what is visible, follows the address. */

import { NO_FILTER, filterTests } from '../shared/filter.js';
import { formatRoute, parseRoute, TABS, type Route, type Tab } from '../shared/route.js';
import type { PageData } from '../shared/page-data.js';
import { createBlockLoader } from './blocks.js';
import { compareTab } from './compare.js';
import { createLogs, type Context } from './context.js';
import { button, element } from './dom.js';
import { failuresTab } from './failures.js';
import { filterBar } from './filter-bar.js';
import { FilterState } from './filter-state.js';
import { helpDialog, installKeys } from './keys.js';
import { createLogScreen, type LogScreen } from './log-screen.js';
import { LogSearch } from './log-search.js';
import { countChips, grid, notices } from './overview.js';
import { logsTab } from './clusters.js';
import { TestList } from './tests.js';
import { themeButton } from './theme.js';
import { timelineTab } from './timeline.js';

const TAB_NAMES: Readonly<Record<Tab, string>> = {
  failures: 'Failures',
  tests: 'Tests',
  timeline: 'Timeline',
  clusters: 'Logs',
  compare: 'Compare',
};

function start(): void {
  const json = document.getElementById('data');
  const main = document.getElementById('main');
  if (json === null || main === null) return;
  const data = JSON.parse(json.textContent) as PageData;
  json.remove();
  const state = new FilterState();
  const context: Context = {
    data,
    logs: createLogs(data, createBlockLoader(data.storage)),
    go: (route) => {
      location.hash = formatRoute(route);
    },
  };
  new Page(context, state, main).start();
}

class Page {
  readonly #context: Context;
  readonly #state: FilterState;
  readonly #main: HTMLElement;
  readonly #content = element('div', { class: 'content', id: 'content', role: 'tabpanel' });
  readonly #tabs = element('div', { class: 'tabs', role: 'tablist', aria: { label: 'Parts of the report' } });
  readonly #search: HTMLInputElement;
  readonly #logSearch: LogSearch;
  #tab: Tab;
  #tests: TestList | undefined;
  #screen: LogScreen | undefined;
  #screenQuery: string | undefined;
  #failureAt = -1;
  #returnFocus: Element | null = null;

  constructor(context: Context, state: FilterState, main: HTMLElement) {
    this.#context = context;
    this.#state = state;
    this.#main = main;
    const { data } = context;
    this.#tab = data.failures.length + data.brokenPackages.length > 0 ? 'failures' : 'tests';
    this.#logSearch = new LogSearch(context, (route, query) => {
      this.#screenQuery = query;
      context.go(route);
    });
    this.#search = element('input', {
      type: 'search',
      class: 'search global',
      placeholder: 'Filter tests by name; Enter searches all logs  ( / )',
      aria: { label: 'Filter tests by name; Enter searches all logs' },
      on: {
        input: () => {
          state.change({ text: this.#search.value });
          if (this.#search.value === '') this.#logSearch.clear();
        },
        keydown: (event) => {
          if (event.key === 'Enter') void this.#logSearch.run(this.#search.value);
          else if (event.key === 'Escape') this.#search.blur();
        },
      },
    });
  }

  start(): void {
    const table = grid(this.#context, this.#state);
    document
      .getElementById('tools')
      ?.replaceChildren(themeButton(), button('?', helpDialog, { title: 'Keys (?)', aria: { label: 'Keys' } }));
    const bar = element(
      'div',
      { class: 'bar main-bar' },
      countChips(this.#context, this.#state),
      this.#search,
      filterBar(this.#context, this.#state),
    );
    this.#main.replaceChildren(
      notices(this.#context),
      ...(table === undefined ? [] : [table]),
      bar,
      this.#logSearch.node,
      this.#tabs,
      this.#content,
    );
    this.#state.listen(() => {
      this.#filterChanged();
    });
    addEventListener('hashchange', () => {
      this.#follow();
    });
    installKeys({
      search: () => {
        if (this.#screen?.view !== undefined) this.#screen.view.focusSearch();
        else {
          this.#search.focus();
          this.#search.select();
        }
      },
      move: (by) => {
        this.#move(by);
      },
      next: (direction) => {
        this.#next(direction);
      },
      open: () => {
        if (this.#tab === 'tests') this.#tests?.openSelected();
        else this.#openFailure();
      },
      back: () => {
        if (this.#screen !== undefined) this.#close();
      },
      page: (by) => this.#screen?.view?.page(by),
      edge: (end) => this.#screen?.view?.toEdge(end),
    });
    this.#follow();
    this.#showTab();
    document.documentElement.dataset['ready'] = 'true';
  }

  #follow(): void {
    const route = parseRoute(decodeHash(location.hash));
    if (route === undefined || route.kind === 'tab') {
      this.#closeScreen();
      if (route !== undefined && route.tab !== this.#tab) {
        this.#tab = route.tab;
        this.#showTab();
      }
      return;
    }
    this.#openScreen(route);
  }

  #openScreen(route: Exclude<Route, { kind: 'tab' }>): void {
    if (this.#screen === undefined) this.#returnFocus = document.activeElement;
    this.#screen?.node.remove();
    this.#screen = createLogScreen(
      this.#context,
      route,
      () => {
        this.#close();
      },
      this.#screenQuery,
    );
    this.#screenQuery = undefined;
    document.body.append(this.#screen.node);
    document.body.classList.add('has-screen');
    this.#screen.view?.focus();
  }

  #closeScreen(): void {
    this.#screen?.node.remove();
    this.#screen = undefined;
    document.body.classList.remove('has-screen');
    if (this.#returnFocus instanceof HTMLElement) this.#returnFocus.focus({ preventScroll: true });
    this.#returnFocus = null;
  }

  #close(): void {
    location.hash = `#${this.#tab}`;
  }

  #showTab(): void {
    this.#drawTabs();
    this.#tests = undefined;
    const { data } = this.#context;
    if (this.#tab === 'failures') this.#content.replaceChildren(failuresTab(this.#context, this.#chosenFailures()));
    else if (this.#tab === 'tests') {
      this.#tests = new TestList(this.#context, this.#state.filter);
      this.#content.replaceChildren(this.#tests.node);
    } else if (this.#tab === 'timeline') this.#content.replaceChildren(timelineTab(this.#context));
    else if (this.#tab === 'clusters') this.#content.replaceChildren(logsTab(this.#context));
    else if (data.compare !== undefined) this.#content.replaceChildren(compareTab(this.#context, data.compare));
    this.#failureAt = -1;
  }

  #drawTabs(): void {
    const { data } = this.#context;
    const counts: Partial<Record<Tab, number>> = {
      failures: data.failures.length + data.brokenPackages.length,
      tests: data.counts.tests,
      clusters: data.logs.length,
    };
    this.#tabs.replaceChildren(
      ...TABS.filter((tab) => tab !== 'compare' || data.compare !== undefined).map((tab) => {
        const node = element(
          'a',
          { href: `#${tab}`, role: 'tab', aria: { selected: tab === this.#tab, controls: 'content' } },
          TAB_NAMES[tab],
        );
        const count = counts[tab];
        if (count !== undefined) node.append(element('span', { class: 'dim' }, ` ${count.toLocaleString('en-US')}`));
        return node;
      }),
    );
  }

  #chosenFailures(): number[] {
    const { data } = this.#context;
    if (!this.#state.isActive) return [...data.failures];
    const chosen = new Set(filterTests(data, this.#state.filter));
    return data.failures.filter((index) => chosen.has(index));
  }

  #filterChanged(): void {
    const { statuses } = this.#state.filter;
    const beyondFailures = statuses.has('passed') || statuses.has('skipped');
    if (this.#tab === 'failures' && beyondFailures) this.#tab = 'tests';
    else if (this.#tab !== 'failures' && this.#tab !== 'tests' && this.#state.filter !== NO_FILTER) this.#tab = 'tests';
    else if (this.#tab === 'tests' && this.#tests !== undefined) {
      this.#tests.setFilter(this.#state.filter);
      return;
    }
    this.#showTab();
  }

  #move(by: number): void {
    if (this.#screen !== undefined) this.#screen.view?.moveCursor(by);
    else if (this.#tab === 'tests') this.#tests?.move(by);
    else this.#moveFailure(by);
  }

  #next(direction: 1 | -1): void {
    if (this.#screen !== undefined) this.#screen.view?.nextError(direction);
    else if (this.#tab === 'tests') this.#tests?.move(direction, true);
    else this.#moveFailure(direction);
  }

  #cards(): HTMLElement[] {
    return [...this.#content.querySelectorAll<HTMLElement>('article.card[id]')];
  }

  #moveFailure(by: number): void {
    const cards = this.#cards();
    if (cards.length === 0) return;
    this.#failureAt = Math.max(0, Math.min(cards.length - 1, this.#failureAt + by));
    const card = cards[this.#failureAt];
    card?.focus({ preventScroll: true });
    card?.scrollIntoView({ block: 'nearest' });
  }

  #openFailure(): void {
    const link = this.#cards()[this.#failureAt]?.querySelector<HTMLAnchorElement>('h3 a');
    link?.click();
  }
}

/** Some programs encode the `#…` of a link once more when it is copied. */
function decodeHash(hash: string): string {
  return hash.replace(/%3AL(\d+)(-L\d+)?$/i, ':L$1$2');
}

start();
