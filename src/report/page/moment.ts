/** The lower half of a log screen: what others said at one moment. From a test to its cluster, from a cluster to its tests. */

import { formatClock, formatDuration, plural } from '../shared/format.js';
import { lineOfRow } from '../shared/log-data.js';
import type { PageTest } from '../shared/page-data.js';
import { formatRoute, type Route } from '../shared/route.js';
import { statusMark } from './badges.js';
import { routeOfLog, routeOfTest, type Context } from './context.js';
import { button, element, visible } from './dom.js';
import type { LogSource } from './log-source.js';
import { LogView } from './log-view.js';

const NEAR_MS = 60_000;
const TESTS_SHOWN = 30;

/** One cluster log at a moment; the logs that have lines near it first, of these the kubelet's and the API server's. */
export function showClusterAt(context: Context, below: HTMLElement, logs: readonly LogSource[], at: number): void {
  const rank = ({ log }: LogSource): number =>
    /kubelet/.test(log.title) ? 0 : /apiserver/.test(log.title) ? 1 : /containerd|crio|docker/.test(log.title) ? 2 : 3;
  const ordered = [...logs].sort((a, b) => Number(covers(b, at)) - Number(covers(a, at)) || rank(a) - rank(b));
  open(context, below, { title: `Cluster at ${formatClock(at)}`, label: 'Cluster log', logs: ordered, at });
}

/** Tests that ran at a moment in an environment, and the log of their suite at that moment. */
export function showTestsAt(context: Context, below: HTMLElement, environment: string, at: number): void {
  const { data } = context;
  const logs = context.logs.filter(
    ({ log }) => log.kind === 'cell' && data.cells[log.cell ?? -1]?.environmentName === environment,
  );
  const ordered = [...logs].sort((a, b) => Number(covers(b, at)) - Number(covers(a, at)));
  const tests = testsAt(context, environment, at);
  const list = element('ul', { class: 'plain moment-tests' });
  for (const { test, sinceMs } of tests.slice(0, TESTS_SHOWN)) {
    list.append(
      element(
        'li',
        {},
        statusMark(test),
        ' ',
        element('a', { href: formatRoute(routeOfTest(data, test)) }, visible(test.name, 200)),
        element('span', { class: 'dim' }, ` ${data.cells[test.cell]?.suite ?? ''}, ${formatDuration(sinceMs)} in`),
      ),
    );
  }
  if (tests.length > TESTS_SHOWN)
    list.append(element('li', { class: 'dim' }, `… ${plural(tests.length - TESTS_SHOWN, 'more test')}`));
  const title =
    tests.length === 0 ? `No test is known to have run at ${formatClock(at)}` : `Tests at ${formatClock(at)}`;
  open(context, below, { title, label: 'Suite log', logs: ordered, at, above: list });
}

/** Tests whose attempt began before the moment and ended after it: leaves and failures first. */
export function testsAt(
  { data }: Pick<Context, 'data'>,
  environment: string,
  at: number,
): { readonly test: PageTest; readonly sinceMs: number }[] {
  const start = Date.parse(data.run.startedAt);
  const parents = new Set(data.tests.map(({ parent }) => parent));
  const running: { test: PageTest; sinceMs: number; isLeaf: boolean }[] = [];
  data.tests.forEach((test, index) => {
    if (data.cells[test.cell]?.environmentName !== environment) return;
    const spans =
      test.attempts?.map(({ startedAt, ms }) => ({ from: Date.parse(startedAt ?? ''), ms })) ??
      (test.startMs === undefined ? [] : [{ from: start + test.startMs, ms: test.ms }]);
    const span = spans.find(({ from, ms }) => from <= at && at <= from + (ms ?? Infinity));
    if (span !== undefined) running.push({ test, sinceMs: at - span.from, isLeaf: !parents.has(index) });
  });
  const isBad = ({ test }: { readonly test: PageTest }): boolean =>
    test.status !== 'passed' && test.status !== 'skipped';
  return running.sort((a, b) => Number(b.isLeaf) - Number(a.isLeaf) || Number(isBad(b)) - Number(isBad(a)));
}

function covers({ log }: LogSource, at: number): boolean {
  return (
    log.firstAt !== undefined && log.lastAt !== undefined && log.firstAt <= at + NEAR_MS && log.lastAt >= at - NEAR_MS
  );
}

interface Moment {
  readonly title: string;
  readonly label: string;
  readonly logs: readonly LogSource[];
  readonly at: number;
  readonly above?: HTMLElement;
}

function open(context: Context, below: HTMLElement, { title, label, logs, at, above }: Moment): void {
  const content = element('div', { class: 'below-log' });
  const link = element('a', { class: 'open-there', hidden: true }, 'Open there');
  const show = (source: LogSource): void => {
    const place = (lines: { readonly from: number; readonly to: number }): string =>
      formatRoute({ ...routeOfLog(context.data, source.log), lines } as Route);
    const view = new LogView({ source, atTime: at, addressOf: place });
    content.replaceChildren(view.node);
    void view.open();
    void Promise.all([source.index(), source.rowAtTime(at)]).then(([index, row]) => {
      const line = lineOfRow(index, row);
      link.href = place({ from: line, to: line });
      link.hidden = false;
    });
  };
  const choice = element('select', {
    aria: { label },
    on: {
      change: (event) => {
        const source = logs[Number((event.currentTarget as HTMLSelectElement).value)];
        if (source !== undefined) show(source);
      },
    },
  });
  logs.forEach((source, index) => {
    const note = covers(source, at) ? '' : ' (other time)';
    choice.append(element('option', { value: String(index) }, `${source.log.title.slice(0, 120)}${note}`));
  });
  const close = button('Close', () => {
    below.hidden = true;
    below.replaceChildren();
  });
  below.replaceChildren(
    element('div', { class: 'bar' }, element('b', {}, title), logs.length > 0 && choice, link, close),
    ...(above === undefined ? [] : [above]),
    content,
  );
  below.hidden = false;
  if (logs[0] !== undefined) show(logs[0]);
}
