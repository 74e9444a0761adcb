/** Choices that narrow the tests beside their status: where they ran, their package, how long they took. */

import type { Context } from './context.js';
import { element } from './dom.js';
import type { FilterState } from './filter-state.js';
import { visibleText } from '../shared/visible.js';

const MINIMUMS: readonly (readonly [string, string])[] = [
  ['0', 'any duration'],
  ['1000', '1 s and longer'],
  ['10000', '10 s and longer'],
  ['60000', '1 min and longer'],
  ['300000', '5 min and longer'],
];
/** A list to choose from of more is none; then the search box is for it. */
const MOST_CHOICES = 2_000;

export function filterBar({ data }: Context, state: FilterState): HTMLElement {
  const node = element('div', { class: 'filters', role: 'group', aria: { label: 'Narrow tests' } });
  const environments = [...new Set(data.cells.map(({ environmentName }) => environmentName))];
  const names = (all: string, list: readonly string[]): (readonly [string, string])[] => [
    ['', all],
    ...[...list].sort().map((name) => [name, visibleText(name.slice(0, 200)) || '(none)'] as const),
  ];
  const add = (
    label: string,
    options: readonly (readonly [string, string])[],
    read: () => string,
    write: (value: string) => void,
  ): void => {
    if (options.length < 3 || options.length > MOST_CHOICES) return;
    const select = element('select', {
      aria: { label },
      data: { filter: label.toLowerCase() },
      on: {
        change: () => {
          write(select.value);
        },
      },
    });
    for (const [value, text] of options) select.append(element('option', { value }, text));
    state.listen(() => {
      select.value = read();
      select.classList.toggle('on', select.selectedIndex > 0);
    });
    node.append(select);
  };
  add(
    'Environment',
    names('all environments', environments),
    () => state.filter.environment,
    (environment) => {
      state.change({ environment });
    },
  );
  add(
    'Package',
    names(
      'all packages',
      data.packages.filter((name) => name !== ''),
    ),
    () => state.filter.pkg,
    (pkg) => {
      state.change({ pkg });
    },
  );
  if (data.tests.some(({ ms }) => (ms ?? 0) >= 1_000)) {
    add(
      'Duration',
      MINIMUMS,
      () => String(state.filter.minimumMs),
      (value) => {
        state.change({ minimumMs: Number(value) });
      },
    );
  }
  return node;
}
