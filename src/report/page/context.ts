/** What all parts of the page share. */

import type { PageCell, PageData, PageLog, PageTest } from '../shared/page-data.js';
import { formatRoute, type Route } from '../shared/route.js';
import { LogSource } from './log-source.js';
import type { LoadBlock } from './blocks.js';

export interface Context {
  readonly data: PageData;
  readonly logs: readonly LogSource[];
  go(route: Route): void;
}

export function createLogs(data: PageData, load: LoadBlock): LogSource[] {
  return data.logs.map((log) => new LogSource(log, load));
}

export function cellOf(data: PageData, test: PageTest): PageCell | undefined {
  return data.cells[test.cell];
}

export function packageOf(data: PageData, test: PageTest): string {
  return data.packages[test.pkg] ?? '';
}

/** The log of an attempt of a cell; of the cell's last attempt when it has no log of its own. */
export function logOfCell(context: Context, cell: number, attempt: number): LogSource | undefined {
  const own = context.logs.filter(({ log }) => log.cell === cell);
  return own.find(({ log }) => log.attempt === attempt) ?? own.at(-1);
}

export function clusterLogs(context: Context, environment: string | undefined): LogSource[] {
  return context.logs.filter(
    ({ log }) => log.kind === 'cluster' && (environment === undefined || log.environment === environment),
  );
}

/** Route to a log as such. */
export function routeOfLog(data: PageData, log: PageLog): Route {
  if (log.kind === 'cluster') return { kind: 'cluster', environment: log.environment ?? '', title: log.title };
  return { kind: 'cell', cell: data.cells[log.cell ?? -1]?.id ?? '', attempt: log.attempt ?? 1 };
}

export function routeOfTest(data: PageData, test: PageTest, attempt?: number): Route {
  return {
    kind: 'test',
    test: test.id,
    cell: cellOf(data, test)?.id ?? '',
    ...(attempt === undefined ? {} : { attempt }),
  };
}

/** Address of a place in this page, for copying. */
export function addressOf(route: Route): string {
  return `${location.href.replace(/#.*$/s, '')}${formatRoute(route)}`;
}

export function statusWord(test: PageTest): string {
  return test.flaky === true && test.status === 'passed' ? 'flaky' : test.status;
}
