/** Logs of clusters and of whole cells, one line each. */

import { formatBytes, formatClock, formatCount } from '../shared/format.js';
import { formatRoute } from '../shared/route.js';
import { routeOfLog, type Context } from './context.js';
import { element, visible } from './dom.js';
import type { PageLog } from '../shared/page-data.js';

export function logsTab({ data }: Context): HTMLElement {
  const node = element('section', { class: 'logs', aria: { label: 'Logs' } });
  const groups = new Map<string, PageLog[]>();
  for (const log of data.logs) {
    const environment = log.environment ?? data.cells[log.cell ?? -1]?.environmentName ?? '';
    groups.set(environment, [...(groups.get(environment) ?? []), log]);
  }
  for (const [environment, logs] of groups) {
    const body = element('tbody');
    for (const log of logs) {
      const span =
        log.firstAt === undefined || log.lastAt === undefined
          ? ''
          : `${formatClock(log.firstAt).slice(0, 8)} – ${formatClock(log.lastAt).slice(0, 8)}`;
      body.append(
        element(
          'tr',
          {},
          element('td', {}, element('a', { href: formatRoute(routeOfLog(data, log)) }, visible(log.title, 200))),
          element('td', { class: 'dim' }, log.kind === 'cell' ? 'suite' : 'cluster'),
          element('td', { class: 'ms' }, `${formatCount(log.lines)} lines`),
          element('td', { class: 'ms' }, formatBytes(log.characters)),
          element('td', { class: log.errors > 0 ? 'bad' : 'dim' }, `${formatCount(log.errors)} errors`),
          element('td', { class: 'dim' }, span),
        ),
      );
    }
    node.append(element('h2', {}, visible(environment, 100)), element('table', { class: 'slow' }, body));
  }
  if (data.logs.length === 0) node.append(element('p', { class: 'note' }, 'This report has no logs.'));
  return node;
}
