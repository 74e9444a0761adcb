/** The list of tests: which ones, in what order, under what headings. */

import type { Status } from '../../results/model.js';
import type { PageData, PageTest } from './page-data.js';

export interface TestFilter {
  /** Part of package or name, upper and lower case alike; several words must all occur. */
  readonly text: string;
  /** Statuses to show; all when empty. `flaky` shows tests that flaked, whatever their status. */
  readonly statuses: ReadonlySet<Status | 'flaky'>;
  readonly environment: string;
  readonly suite: string;
  readonly pkg: string;
  readonly minimumMs: number;
  readonly onlyNew: boolean;
}

export const NO_FILTER: TestFilter = {
  text: '',
  statuses: new Set(),
  environment: '',
  suite: '',
  pkg: '',
  minimumMs: 0,
  onlyNew: false,
};

export type TestSort = 'order' | 'name' | 'slowest' | 'status' | 'flakiest';
export type TestGroup = 'package' | 'environment' | 'status' | 'none';

export type ListRow =
  | { readonly kind: 'group'; readonly label: string; readonly tests: number; readonly bad: number }
  | { readonly kind: 'test'; readonly test: number; readonly depth: number; readonly children: number };

const STATUS_ORDER: readonly Status[] = ['failed', 'error', 'timedout', 'notrun', 'skipped', 'passed'];

export function filterTests(data: PageData, filter: TestFilter): number[] {
  const words = filter.text.toLowerCase().split(/\s+/).filter(Boolean);
  const result: number[] = [];
  data.tests.forEach((test, index) => {
    if (matches(data, test, filter, words)) result.push(index);
  });
  return result;
}

function matches(data: PageData, test: PageTest, filter: TestFilter, words: readonly string[]): boolean {
  if (filter.statuses.size > 0 && !filter.statuses.has(test.status)) {
    if (!(filter.statuses.has('flaky') && test.flaky === true)) return false;
  }
  const cell = data.cells[test.cell];
  if (filter.environment !== '' && cell?.environmentName !== filter.environment) return false;
  if (filter.suite !== '' && cell?.suite !== filter.suite) return false;
  const pkg = data.packages[test.pkg] ?? '';
  if (filter.pkg !== '' && pkg !== filter.pkg) return false;
  if (filter.minimumMs > 0 && (test.ms ?? 0) < filter.minimumMs) return false;
  if (filter.onlyNew && test.isNew !== true) return false;
  if (words.length === 0) return true;
  const text = `${pkg} ${test.name}`.toLowerCase();
  return words.every((word) => text.includes(word));
}

export interface ListOptions {
  readonly sort: TestSort;
  readonly group: TestGroup;
  /** Labels of groups that are closed. */
  readonly closedGroups: ReadonlySet<string>;
  /** Tests whose subtests are closed. */
  readonly closedTests: ReadonlySet<number>;
}

/** Rows of the list. Subtests stand below their parents in the order of the run; any other order is flat. */
export function listTests(data: PageData, chosen: readonly number[], options: ListOptions): ListRow[] {
  const groups = new Map<string, number[]>();
  for (const index of chosen) {
    const label = groupLabel(data, index, options.group);
    const members = groups.get(label);
    if (members === undefined) groups.set(label, [index]);
    else members.push(index);
  }
  const rows: ListRow[] = [];
  for (const [label, members] of groups) {
    if (options.group !== 'none') {
      const bad = members.filter((index) => isBadStatus(data.tests[index]?.status)).length;
      rows.push({ kind: 'group', label, tests: members.length, bad });
      if (options.closedGroups.has(label)) continue;
    }
    if (options.sort === 'order') addTree(data, members, options.closedTests, rows);
    else
      for (const test of sortTests(data, members, options.sort))
        rows.push({ kind: 'test', test, depth: 0, children: 0 });
  }
  return rows;
}

function groupLabel(data: PageData, index: number, group: TestGroup): string {
  const test = data.tests[index];
  if (test === undefined || group === 'none') return '';
  if (group === 'package') return data.packages[test.pkg] || '(no package)';
  if (group === 'status') return test.status;
  return data.cells[test.cell]?.environmentName ?? '';
}

function isBadStatus(status: Status | undefined): boolean {
  return status !== 'passed' && status !== 'skipped';
}

function addTree(data: PageData, members: readonly number[], closed: ReadonlySet<number>, rows: ListRow[]): void {
  const inside = new Set(members);
  const children = new Map<number, number[]>();
  const roots: number[] = [];
  for (const index of members) {
    const parent = data.tests[index]?.parent;
    if (parent === undefined || !inside.has(parent) || parent === index) roots.push(index);
    else {
      const siblings = children.get(parent);
      if (siblings === undefined) children.set(parent, [index]);
      else siblings.push(index);
    }
  }
  // A stack of its own: names can nest deeper than calls may.
  const stack = roots.reverse().map((test) => ({ test, depth: 0 }));
  for (let next = stack.pop(); next !== undefined; next = stack.pop()) {
    const below = children.get(next.test) ?? [];
    rows.push({ kind: 'test', test: next.test, depth: next.depth, children: below.length });
    if (closed.has(next.test)) continue;
    for (let at = below.length - 1; at >= 0; at -= 1) stack.push({ test: below[at] ?? 0, depth: next.depth + 1 });
  }
}

function sortTests(data: PageData, members: readonly number[], sort: Exclude<TestSort, 'order'>): number[] {
  const test = (index: number): PageTest | undefined => data.tests[index];
  const compare: Record<Exclude<TestSort, 'order'>, (a: number, b: number) => number> = {
    name: (a, b) => ((test(a)?.name ?? '') < (test(b)?.name ?? '') ? -1 : 1),
    slowest: (a, b) => (test(b)?.ms ?? -1) - (test(a)?.ms ?? -1),
    status: (a, b) =>
      STATUS_ORDER.indexOf(test(a)?.status ?? 'passed') - STATUS_ORDER.indexOf(test(b)?.status ?? 'passed'),
    flakiest: (a, b) => (test(b)?.history?.rate ?? -1) - (test(a)?.history?.rate ?? -1),
  };
  return [...members].sort((a, b) => compare[sort](a, b) || a - b);
}
