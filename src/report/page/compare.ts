/** What changed from another run. */

import { formatDuration, plural } from '../shared/format.js';
import { formatRoute } from '../shared/route.js';
import type { PageComparison } from '../shared/page-data.js';
import { statusMark } from './badges.js';
import { cellOf, routeOfTest, type Context } from './context.js';
import { element, visible } from './dom.js';

const SHOWN = 500;

export function compareTab(context: Context, compare: PageComparison): HTMLElement {
  const node = element('section', { class: 'compare', aria: { label: 'Comparison' } });
  node.append(element('p', { class: 'note' }, 'Compared with ', visible(compare.title, 200)));
  list(context, node, 'New failures', compare.newFailures);
  if (compare.newBrokenPackages.length > 0) {
    const items = element('ul', { class: 'plain' });
    for (const { name, cell } of compare.newBrokenPackages)
      items.append(element('li', {}, visible(name, 300), ' ', element('span', { class: 'dim' }, visible(cell, 100))));
    node.append(element('h2', {}, `Newly broken packages (${String(compare.newBrokenPackages.length)})`), items);
  }
  list(context, node, 'Fixed', compare.fixed);
  const slower = new Map(
    compare.slower.map(({ test, beforeMs, afterMs }) => [
      test,
      `${formatDuration(beforeMs)} → ${formatDuration(afterMs)}`,
    ]),
  );
  list(context, node, 'Slower', [...slower.keys()], slower);
  list(context, node, 'Added', compare.added);
  if (compare.removed.length > 0) {
    const items = element('ul');
    const rest = compare.removedCount - compare.removed.length;
    for (const name of compare.removed) items.append(element('li', {}, visible(name, 300)));
    if (rest > 0) items.append(element('li', { class: 'dim' }, `… ${plural(rest, 'more test')}`));
    node.append(
      element(
        'details',
        {},
        element('summary', {}, `${plural(compare.removedCount, 'test')} only in the other run`),
        items,
      ),
    );
  }
  return node;
}

function list(
  { data }: Context,
  node: HTMLElement,
  title: string,
  tests: readonly number[],
  notes?: ReadonlyMap<number, string>,
): void {
  const items = element('ul', { class: 'plain' });
  for (const index of tests.slice(0, SHOWN)) {
    const test = data.tests[index];
    if (test === undefined) continue;
    items.append(
      element(
        'li',
        {},
        statusMark(test),
        ' ',
        element('a', { href: formatRoute(routeOfTest(data, test)) }, visible(test.name, 300)),
        ' ',
        element('span', { class: 'dim' }, cellOf(data, test)?.id ?? '', ' ', notes?.get(index) ?? ''),
      ),
    );
  }
  if (tests.length > SHOWN)
    items.append(element('li', { class: 'dim' }, `… ${plural(tests.length - SHOWN, 'more test')}`));
  const heading = element('h2', {}, `${title} (${String(tests.length)})`);
  if (tests.length > 100) node.append(element('details', {}, element('summary', {}, heading), items));
  else node.append(heading, items);
}
