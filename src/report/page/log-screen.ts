/** The screen of a test or a log: what is known of it, its lines, and below them what the cluster said. */

import { formatRoute, type LineRange, type Route } from '../shared/route.js';
import type { PageAttempt, PageTest } from '../shared/page-data.js';
import { duration, historyBadge, statusBadge } from './badges.js';
import {
  addressOf,
  cellOf,
  clusterLogs,
  logOfCell,
  packageOf,
  routeOfLog,
  routeOfTest,
  statusWord,
  type Context,
} from './context.js';
import { append, button, copyText, element, visible } from './dom.js';
import { LogView, type LogViewOptions } from './log-view.js';
import { showClusterAt, showTestsAt } from './moment.js';
import type { LogSource } from './log-source.js';

export interface LogScreen {
  readonly node: HTMLElement;
  readonly view: LogView | undefined;
}

type LogRoute = Exclude<Route, { kind: 'tab' }>;

export function createLogScreen(context: Context, route: LogRoute, close: () => void, query?: string): LogScreen {
  const holder = element('div', { class: 'screen', role: 'dialog', aria: { modal: true, label: 'Log' } });
  const found = find(context, route);
  const head = element(
    'header',
    { class: 'screen-head' },
    button('← Back', close, { class: 'back', title: 'Back (Esc)' }),
  );
  holder.append(head);
  if (found === undefined) {
    head.append(element('h2', {}, 'Not in this report'));
    holder.append(element('p', { class: 'note' }, `This report has nothing at ${formatRoute(route)}.`));
    return { node: holder, view: undefined };
  }
  if (found.test !== undefined) testHead(context, head, holder, found.test, found.attempt, route);
  else head.append(element('h2', {}, visible(found.source?.log.title ?? '', 300)), logTabs(context, found.source));
  if (found.source === undefined) {
    holder.append(element('p', { class: 'note' }, 'This result came without a log.'));
    return { node: holder, view: undefined };
  }
  let current: LineRange | undefined = 'lines' in route ? route.lines : undefined;
  const place = (lines: LineRange | undefined): Route => ({ ...route, ...(lines === undefined ? {} : { lines }) });
  const below = element('div', { class: 'below', hidden: true });
  const view = new LogView({
    source: found.source,
    ...(query === undefined ? {} : { query }),
    ...(current === undefined ? {} : { lines: current }),
    ...subjectOf(context, found),
    addressOf: (lines) => formatRoute(place(lines)),
    selected: (lines) => {
      current = lines;
      history.replaceState(null, '', formatRoute(place(lines)));
    },
    ...momentOf(context, found, below),
    statusOf: statusLookup(context, found.source),
  });
  head.append(
    button('Copy link', () => void copyText(addressOf(place(current))), { title: 'Copy a link to the lines chosen' }),
  );
  holder.append(view.node, below);
  void view.open();
  return { node: holder, view };
}

interface Found {
  readonly source: LogSource | undefined;
  readonly test?: PageTest;
  readonly attempt?: PageAttempt;
}

function find(context: Context, route: LogRoute): Found | undefined {
  const { data, logs } = context;
  if (route.kind === 'cluster') {
    const source = logs.find(
      ({ log }) => log.kind === 'cluster' && log.environment === route.environment && log.title === route.title,
    );
    return source === undefined ? undefined : { source };
  }
  const cell = data.cells.findIndex(({ id }) => id === route.cell);
  if (route.kind === 'cell') {
    const source = cell === -1 ? undefined : logOfCell(context, cell, route.attempt);
    return source === undefined ? undefined : { source };
  }
  // A link from another run may name a cell that this run has not: then the test counts.
  const test =
    data.tests.find((one) => one.id === route.test && one.cell === cell) ??
    data.tests.find((one) => one.id === route.test);
  if (test === undefined) return undefined;
  const attempt = test.attempts?.find((one) => one.attempt === route.attempt) ?? lastTelling(test);
  return {
    source: logOfCell(context, test.cell, attempt?.cellAttempt ?? 1),
    test,
    ...(attempt === undefined ? {} : { attempt }),
  };
}

/** The attempt worth opening: the last one that failed, else the last. */
function lastTelling(test: PageTest): PageAttempt | undefined {
  return test.attempts?.findLast(({ status }) => status !== 'passed' && status !== 'skipped') ?? test.attempts?.at(-1);
}

function subjectOf({ data }: Context, { test, attempt }: Found): Pick<LogViewOptions, 'subject'> {
  if (test === undefined) return {};
  return { subject: { package: packageOf(data, test), name: test.name, occurrence: attempt?.occurrence ?? 1 } };
}

function statusLookup({ data }: Context, source: LogSource): NonNullable<LogViewOptions['statusOf']> {
  const statuses = new Map<string, string>();
  for (const test of data.tests) {
    if (test.cell !== source.log.cell) continue;
    const name = `${packageOf(data, test)}\0${test.name}`;
    if (test.attempts === undefined) statuses.set(`1\0${name}`, test.status);
    for (const attempt of test.attempts ?? []) {
      if (attempt.cellAttempt === source.log.attempt)
        statuses.set(`${String(attempt.occurrence)}\0${name}`, attempt.status);
    }
  }
  return (owner) => statuses.get(`${String(owner.occurrence)}\0${owner.package}\0${owner.name}`);
}

/** From a test's line to its cluster, and from a cluster's line to the tests of that moment. */
function momentOf(
  context: Context,
  found: Found,
  below: HTMLElement,
): Pick<LogViewOptions, 'showClusterAt' | 'showTestsAt'> {
  const { data } = context;
  if (found.source?.log.kind === 'cluster') {
    const { environment } = found.source.log;
    if (environment === undefined || !data.cells.some((cell) => cell.environmentName === environment)) return {};
    return {
      showTestsAt: (at) => {
        showTestsAt(context, below, environment, at);
      },
    };
  }
  const environment =
    found.test === undefined
      ? data.cells[found.source?.log.cell ?? -1]?.environmentName
      : cellOf(data, found.test)?.environmentName;
  const logs = clusterLogs(context, environment);
  if (logs.length === 0) return {};
  return {
    showClusterAt: (at) => {
      showClusterAt(context, below, logs, at);
    },
  };
}

function testHead(
  context: Context,
  head: HTMLElement,
  holder: HTMLElement,
  test: PageTest,
  attempt: PageAttempt | undefined,
  route: LogRoute,
): void {
  const { data } = context;
  head.append(
    statusBadge(attempt?.status ?? statusWord(test)),
    element('h2', {}, visible(test.name, 400)),
    element('span', { class: 'dim' }, duration(attempt?.ms ?? test.ms)),
  );
  append(head, [test.history && historyBadge(test.history)]);
  if ((test.attempts?.length ?? 0) > 1) {
    const attempts = element('span', { class: 'segments', role: 'group', aria: { label: 'Attempts' } });
    for (const one of test.attempts ?? []) {
      attempts.append(
        button(
          `${String(one.attempt)} ${one.status}`,
          () => {
            context.go(routeOfTest(data, test, one.attempt));
          },
          {
            class: `s-${one.status}`,
            aria: { pressed: one === attempt },
          },
        ),
      );
    }
    head.append(attempts);
  }
  const place = [packageOf(data, test), cellOf(data, test)?.id, attempt?.where ?? test.where]
    .filter(Boolean)
    .join(' · ');
  holder.append(element('p', { class: 'where' }, visible(place, 600)));
  if (attempt?.message !== undefined && (route.kind !== 'test' || route.lines === undefined)) {
    const text = attempt.text ?? attempt.message;
    const details = element('details', { class: 'reason' }, element('summary', {}, visible(attempt.message, 600)));
    if (text !== attempt.message) details.append(element('pre', {}, visibleLines(text)));
    holder.append(details);
  }
  if (attempt?.skipReason !== undefined) holder.append(element('p', { class: 'reason' }, visible(attempt.skipReason)));
}

/** Text of several lines, each with its hidden characters made visible. */
export function visibleLines(text: string): DocumentFragment {
  const fragment = document.createDocumentFragment();
  text.split('\n').forEach((line, index) => {
    if (index > 0) fragment.append('\n');
    fragment.append(visible(line));
  });
  return fragment;
}

/** Tabs between the logs of a cell and of its cluster. */
function logTabs(context: Context, source: LogSource | undefined): HTMLElement {
  const { data } = context;
  const environment = source?.log.environment ?? data.cells[source?.log.cell ?? -1]?.environmentName;
  const family = context.logs.filter(
    ({ log }) => (log.environment ?? data.cells[log.cell ?? -1]?.environmentName) === environment,
  );
  const choice = element('select', {
    aria: { label: 'Log' },
    on: {
      change: (event) => {
        const chosen = family[Number((event.currentTarget as HTMLSelectElement).value)];
        if (chosen !== undefined) context.go(routeOfLog(data, chosen.log));
      },
    },
  });
  family.forEach((one, index) => {
    const option = element('option', { value: String(index) }, one.log.title);
    option.selected = one === source;
    choice.append(option);
  });
  return choice;
}
