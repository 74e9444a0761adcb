/** The list of all tests. */

import { formatCount, plural } from '../shared/format.js';
import {
  filterTests,
  listTests,
  type ListRow,
  type TestFilter,
  type TestGroup,
  type TestSort,
} from '../shared/filter.js';
import { formatRoute } from '../shared/route.js';
import { duration, historyBadge, statusMark } from './badges.js';
import { cellOf, packageOf, routeOfTest, type Context } from './context.js';
import { append, button, element, visible } from './dom.js';
import { VirtualList } from './virtual-list.js';

const ROW_HEIGHT = 32;

export class TestList {
  readonly node = element('section', { class: 'tests', aria: { label: 'Tests' } });
  readonly #context: Context;
  readonly #list: VirtualList;
  readonly #count = element('span', { class: 'dim', role: 'status' });
  readonly #closedGroups = new Set<string>();
  readonly #closedTests = new Set<number>();
  #rows: ListRow[] = [];
  #filter: TestFilter;
  #sort: TestSort = 'order';
  #group: TestGroup;
  #selected = -1;

  constructor(context: Context, filter: TestFilter) {
    this.#context = context;
    this.#filter = filter;
    this.#group = context.data.packages.length > 1 ? 'package' : 'none';
    this.#list = new VirtualList({
      rowHeight: ROW_HEIGHT,
      label: 'Tests',
      role: 'list',
      render: (position) => this.#renderRow(position),
    });
    this.node.append(this.#bar(), this.#list.node);
    this.setFilter(filter);
  }

  setFilter(filter: TestFilter): void {
    this.#filter = filter;
    this.#rebuild();
  }

  /** Moves the selection by rows; `bad` stops only at tests that did not pass. */
  move(by: number, bad = false): void {
    const step = Math.sign(by);
    let at = Math.max(-1, Math.min(this.#rows.length, this.#selected + (bad ? 0 : by - step)));
    do at += step;
    while (at >= 0 && at < this.#rows.length && !this.#stopsAt(at, bad));
    if (at < 0 || at >= this.#rows.length) return;
    this.#selected = at;
    this.#list.show(at, 'nearest');
    this.#list.refresh();
  }

  openSelected(): void {
    const row = this.#rows[this.#selected];
    const test = row?.kind === 'test' ? this.#context.data.tests[row.test] : undefined;
    if (test !== undefined) this.#context.go(routeOfTest(this.#context.data, test));
  }

  #stopsAt(position: number, bad: boolean): boolean {
    const row = this.#rows[position];
    if (row?.kind !== 'test') return false;
    const status = this.#context.data.tests[row.test]?.status;
    return !bad || (status !== 'passed' && status !== 'skipped');
  }

  #rebuild(): void {
    const { data } = this.#context;
    const chosen = filterTests(data, this.#filter);
    this.#rows = listTests(data, chosen, {
      sort: this.#sort,
      group: this.#group,
      closedGroups: this.#closedGroups,
      closedTests: this.#closedTests,
    });
    this.#selected = -1;
    this.#count.textContent = `${formatCount(chosen.length)} of ${plural(data.tests.length, 'test')}`;
    this.#list.setCount(this.#rows.length);
  }

  #renderRow(position: number): HTMLElement | undefined {
    const row = this.#rows[position];
    if (row === undefined) return undefined;
    const node = row.kind === 'group' ? this.#groupRow(row) : this.#testRow(row);
    node.classList.toggle('cursor', position === this.#selected);
    node.setAttribute('aria-posinset', String(position + 1));
    node.setAttribute('aria-setsize', String(this.#rows.length));
    return node;
  }

  #groupRow(row: Extract<ListRow, { kind: 'group' }>): HTMLElement {
    const closed = this.#closedGroups.has(row.label);
    const toggle = (): void => {
      if (closed) this.#closedGroups.delete(row.label);
      else this.#closedGroups.add(row.label);
      this.#rebuild();
    };
    return element(
      'div',
      { class: 'test group-row', role: 'listitem' },
      button(closed ? '▸' : '▾', toggle, { class: 'toggle', aria: { expanded: !closed, label: row.label } }),
      element('b', { class: 'name', on: { click: toggle } }, visible(row.label, 300)),
      row.bad > 0 && element('span', { class: 'bad' }, `${formatCount(row.bad)} not passed`),
      element('span', { class: 'dim' }, formatCount(row.tests)),
    );
  }

  #testRow(row: Extract<ListRow, { kind: 'test' }>): HTMLElement {
    const { data } = this.#context;
    const test = data.tests[row.test];
    if (test === undefined) return element('div');
    const closed = this.#closedTests.has(row.test);
    const toggle = (): void => {
      if (closed) this.#closedTests.delete(row.test);
      else this.#closedTests.add(row.test);
      this.#rebuild();
    };
    const node = element('div', { class: 'test', role: 'listitem' });
    const indent = element('span', { class: 'indent' });
    indent.style.width = `${String(Math.min(row.depth, 12) * 18)}px`;
    const parent = test.parent === undefined ? undefined : data.tests[test.parent];
    // Below its parent a subtest needs only the last part of its name.
    const shortened = row.depth > 0 && parent !== undefined && test.name.startsWith(parent.name);
    const name = shortened ? test.name.slice(parent.name.length).replace(/^(?:\/| > )/, '') : test.name;
    node.append(
      indent,
      row.children > 0
        ? button(closed ? '▸' : '▾', toggle, { class: 'toggle', aria: { expanded: !closed, label: 'Subtests' } })
        : element('span', { class: 'toggle' }),
      statusMark(test),
      element(
        'a',
        { class: 'name', href: formatRoute(routeOfTest(data, test)), title: test.name.slice(0, 500) },
        visible(name, 300),
      ),
    );
    if (test.isNew === true) node.append(element('span', { class: 'chip new' }, 'new'));
    if (test.flaky === true && test.status !== 'passed') node.append(element('span', { class: 'chip' }, 'flaky'));
    if (this.#group !== 'package' && packageOf(data, test) !== '') {
      node.append(element('span', { class: 'dim wide' }, visible(packageOf(data, test), 80)));
    }
    if (data.cells.length > 1 && this.#group !== 'environment') {
      node.append(element('span', { class: 'dim wide' }, visible(cellOf(data, test)?.id ?? '', 60)));
    }
    append(node, [test.history !== undefined && test.history.failed > 0 && historyBadge(test.history)]);
    node.append(element('span', { class: 'ms' }, duration(test.ms)));
    return node;
  }

  #bar(): HTMLElement {
    const choose = <Value extends string>(
      label: string,
      value: Value,
      options: readonly (readonly [Value, string])[],
      changed: (value: Value) => void,
    ): HTMLElement => {
      const select = element('select', {
        on: {
          change: (event) => {
            changed((event.currentTarget as HTMLSelectElement).value as Value);
            this.#rebuild();
          },
        },
      });
      for (const [key, text] of options) {
        const option = element('option', { value: key }, text);
        option.selected = key === value;
        select.append(option);
      }
      return element('label', {}, `${label} `, select);
    };
    return element(
      'div',
      { class: 'bar' },
      choose<TestSort>(
        'Sort',
        this.#sort,
        [
          ['order', 'as run, subtests below'],
          ['status', 'by status'],
          ['slowest', 'slowest first'],
          ['flakiest', 'flakiest first'],
          ['name', 'by name'],
        ],
        (value) => (this.#sort = value),
      ),
      choose<TestGroup>(
        'Group',
        this.#group,
        [
          ['package', 'by package'],
          ['environment', 'by environment'],
          ['status', 'by status'],
          ['none', 'no groups'],
        ],
        (value) => (this.#group = value),
      ),
      this.#count,
    );
  }
}
