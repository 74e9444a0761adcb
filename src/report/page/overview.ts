/** Above the tabs: what is wrong with the run itself, environments × suites, counts as filters. */

import { formatCount, formatDuration, plural } from '../shared/format.js';
import { STATUS_WORDS, type FilterState } from './filter-state.js';
import { element, button, visible } from './dom.js';
import type { Context } from './context.js';
import type { PageCell } from '../shared/page-data.js';

export function notices({ data }: Context): HTMLElement {
  const node = element('div', { class: 'notices' });
  for (const error of data.errors) {
    const card = element(
      'article',
      { class: `card s-${error.infrastructure ? 'error' : 'notrun'}` },
      element(
        'h3',
        {},
        element('code', {}, error.code),
        ' ',
        visible([error.environment, error.cell].filter(Boolean).join(' · '), 200),
      ),
      element('p', { class: 'message' }, visible(error.message)),
    );
    if (error.advice !== undefined) card.append(element('p', { class: 'advice' }, visible(error.advice)));
    if (error.output !== undefined) card.append(element('pre', {}, visible(error.output, 16_000)));
    node.append(card);
  }
  if (!data.conservation.holds) {
    const { started, accounted } = data.conservation;
    node.append(
      element(
        'p',
        { class: 'card s-error' },
        `${plural(started, 'test')} started but ${formatCount(accounted)} are accounted for. This report may be wrong.`,
      ),
    );
  }
  if (!data.run.complete)
    node.append(
      element(
        'p',
        { class: 'card s-notrun' },
        'The run did not end: it was killed, or still runs. Tests without an end are shown as notrun.',
      ),
    );
  if (data.repairs.length > 0) node.append(repairs({ data } as Context));
  return node;
}

function repairs({ data }: Context): HTMLElement {
  const total = data.repairs.reduce((sum, { count }) => sum + (count ?? 1), 0);
  const list = element('ul');
  for (const repair of data.repairs.slice(0, 200)) {
    const where = [
      repair.cell,
      repair.line === undefined ? undefined : `line ${formatCount(repair.line)}`,
      repair.test?.name,
    ]
      .filter(Boolean)
      .join(' · ');
    list.append(
      element(
        'li',
        {},
        element('code', {}, repair.kind),
        (repair.count ?? 1) > 1 && ` ×${formatCount(repair.count ?? 1)}`,
        ' ',
        visible(repair.message, 400),
        ' ',
        element('span', { class: 'dim' }, visible(where, 300)),
      ),
    );
  }
  return element(
    'details',
    { class: 'repairs' },
    element(
      'summary',
      {},
      `${plural(total, 'irregularity').replace('irregularitys', 'irregularities')} in the input, handled`,
    ),
    list,
  );
}

/** Counts as switches of the filter. */
export function countChips({ data }: Context, state: FilterState): HTMLElement {
  const node = element('div', { class: 'chips', role: 'group', aria: { label: 'Filter by status' } });
  const draw = (): void => {
    node.replaceChildren();
    for (const status of STATUS_WORDS) {
      const count = data.counts[status];
      if (count === 0 && !state.filter.statuses.has(status)) continue;
      node.append(
        button(
          '',
          () => {
            state.toggleStatus(status);
          },
          { class: `count s-${status}`, aria: { pressed: state.filter.statuses.has(status) }, data: { status } },
        ),
      );
      node.lastElementChild?.append(element('b', {}, formatCount(count)), ` ${status}`);
    }
    if (data.compare !== undefined && data.compare.newFailures.length > 0) {
      node.append(
        button(
          plural(data.compare.newFailures.length, 'new failure'),
          () => {
            state.change({ onlyNew: !state.filter.onlyNew });
          },
          { class: 'count', aria: { pressed: state.filter.onlyNew } },
        ),
      );
    }
    if (state.isActive)
      node.append(
        button(
          'Clear filters',
          () => {
            state.clear();
          },
          { class: 'clear' },
        ),
      );
  };
  state.listen(draw);
  draw();
  return node;
}

/** Environments down, suites across; each cell filters. */
export function grid({ data }: Context, state: FilterState): HTMLElement | undefined {
  if (data.cells.length < 2) return undefined;
  const environments = [...new Set(data.cells.map(({ environmentName }) => environmentName))];
  const head = element(
    'tr',
    {},
    element('th', {}, 'Environment'),
    ...data.suites.map((suite) => element('th', {}, visible(suite, 60))),
  );
  const body = element('tbody');
  for (const environment of environments) {
    const row = element('tr', {}, element('th', {}, visible(environment, 80)));
    for (const suite of data.suites) {
      const cells = data.cells.filter((cell) => cell.environmentName === environment && cell.suite === suite);
      row.append(
        element(
          'td',
          {},
          cells.length === 0 ? element('span', { class: 'dim' }, '–') : cellButton(cells, state, environment, suite),
        ),
      );
    }
    body.append(row);
  }
  return element('div', { class: 'grid' }, element('table', {}, element('thead', {}, head), body));
}

function cellButton(cells: readonly PageCell[], state: FilterState, environment: string, suite: string): HTMLElement {
  const sum = (key: 'passed' | 'failed' | 'error' | 'timedout' | 'notrun' | 'flaky' | 'skipped'): number =>
    cells.reduce((total, { counts }) => total + counts[key], 0);
  const bad = sum('failed') + sum('error') + sum('timedout') + sum('notrun');
  const worst = cells.some(({ status }) => status === 'error')
    ? 'error'
    : bad > 0 || cells.some(({ status }) => status !== 'passed' && status !== 'skipped')
      ? 'failed'
      : sum('flaky') > 0
        ? 'flaky'
        : 'passed';
  const durationMs = Math.max(0, ...cells.map((cell) => cell.durationMs ?? 0));
  const active = (): boolean => state.filter.environment === environment && state.filter.suite === suite;
  const label = bad > 0 ? `${formatCount(bad)} of ${formatCount(bad + sum('passed'))}` : formatCount(sum('passed'));
  const node = button(
    '',
    () => {
      state.change(active() ? { environment: '', suite: '' } : { environment, suite });
    },
    {
      class: `cell s-${worst}`,
      title: `${environment}, ${suite}: ${formatCount(sum('passed'))} passed, ${formatCount(bad)} not, ${formatCount(sum('skipped'))} skipped`,
      aria: { pressed: active() },
    },
  );
  node.append(element('b', {}, bad > 0 ? `✗ ${label}` : `✓ ${label}`));
  if (sum('flaky') > 0) node.append(element('span', {}, ` ≈ ${formatCount(sum('flaky'))}`));
  if (durationMs > 0) node.append(element('small', {}, ` ${formatDuration(durationMs)}`));
  state.listen(() => {
    node.setAttribute('aria-pressed', String(active()));
  });
  return node;
}
