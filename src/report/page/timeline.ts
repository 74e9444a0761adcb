/** When things happened: phases of clusters and cells as bars, slowest tests below. */

import { formatDuration } from '../shared/format.js';
import { formatRoute } from '../shared/route.js';
import type { PagePhase } from '../shared/page-data.js';
import { cellOf, routeOfTest, type Context } from './context.js';
import { element, svg, visible } from './dom.js';

const LABEL_WIDTH = 230;
const WIDTH = 1100;
const BAR_HEIGHT = 18;
const SLOWEST = 30;

export function timelineTab(context: Context): HTMLElement {
  const { data } = context;
  const node = element('section', { class: 'timeline', aria: { label: 'Timeline' } });
  if (data.phases.length > 0) node.append(element('h2', {}, 'Run'), gantt(data.phases));
  node.append(element('h2', {}, 'Slowest tests'), slowest(context));
  return node;
}

interface Lane {
  readonly name: string;
  readonly rows: PagePhase[][];
}

/** Phases of a lane that overlap go below each other. */
function lanesOf(phases: readonly PagePhase[]): Lane[] {
  const lanes = new Map<string, Lane>();
  for (const phase of [...phases].sort((a, b) => a.startMs - b.startMs)) {
    const lane = lanes.get(phase.lane) ?? { name: phase.lane, rows: [] };
    lanes.set(phase.lane, lane);
    const row = lane.rows.find((bars) => {
      const last = bars.at(-1);
      return last === undefined || last.startMs + last.durationMs <= phase.startMs;
    });
    if (row === undefined) lane.rows.push([phase]);
    else row.push(phase);
  }
  return [...lanes.values()];
}

function gantt(phases: readonly PagePhase[]): HTMLElement {
  const end = Math.max(1, ...phases.map(({ startMs, durationMs }) => startMs + durationMs));
  const scale = (WIDTH - LABEL_WIDTH - 20) / end;
  const lanes = lanesOf(phases);
  const height = lanes.reduce((sum, lane) => sum + lane.rows.length * (BAR_HEIGHT + 3) + 8, 26);
  const chart = svg('svg', {
    viewBox: `0 0 ${String(WIDTH)} ${String(height)}`,
    class: 'gantt',
    role: 'img',
    'aria-label': 'Phases of the run',
  });
  for (const at of ticks(end)) {
    const x = LABEL_WIDTH + at * scale;
    chart.append(
      svg('line', { x1: x, x2: x, y1: 18, y2: height, class: 'tick' }),
      text(x, 12, formatDuration(at), 'tick-label'),
    );
  }
  let y = 24;
  for (const lane of lanes) {
    chart.append(text(4, y + 13, lane.name.replace(/^cluster:/, ''), 'lane', 30));
    for (const row of lane.rows) {
      for (const phase of row) {
        const width = Math.max(2, phase.durationMs * scale);
        const x = LABEL_WIDTH + phase.startMs * scale;
        const bar = svg('rect', {
          x,
          y,
          width,
          height: BAR_HEIGHT,
          rx: 3,
          class: `phase k-${phase.kind} p-${phase.status}`,
        });
        const title = svg('title', {});
        title.textContent = `${phase.name}: ${formatDuration(phase.durationMs)}${phase.message === undefined ? '' : ` (${phase.message})`}`;
        bar.append(title);
        chart.append(bar);
        if (width > 40) chart.append(text(x + 5, y + 13, phase.name, 'phase-label', Math.floor((width - 8) / 6.2)));
      }
      y += BAR_HEIGHT + 3;
    }
    y += 8;
  }
  return element('div', { class: 'gantt-holder' }, chart as unknown as HTMLElement, phaseTable(phases));
}

/** The same as a table, for those who do not see the chart. */
function phaseTable(phases: readonly PagePhase[]): HTMLElement {
  const body = element('tbody');
  for (const phase of phases) {
    body.append(
      element(
        'tr',
        {},
        element('td', {}, phase.lane),
        element('td', {}, phase.name),
        element('td', {}, `+${formatDuration(phase.startMs)}`),
        element('td', {}, formatDuration(phase.durationMs)),
        element('td', {}, phase.status),
      ),
    );
  }
  const head = element(
    'tr',
    {},
    ...['Where', 'Phase', 'Start', 'Duration', 'End'].map((name) => element('th', {}, name)),
  );
  return element(
    'details',
    {},
    element('summary', {}, 'As a table'),
    element('table', {}, element('thead', {}, head), body),
  );
}

function ticks(end: number): number[] {
  const steps = [
    100, 500, 1_000, 5_000, 10_000, 30_000, 60_000, 300_000, 600_000, 1_800_000, 3_600_000, 14_400_000, 86_400_000,
  ];
  const step = steps.find((one) => end / one <= 8) ?? end / 8;
  return Array.from({ length: Math.floor(end / step) + 1 }, (_, index) => index * step);
}

function text(x: number, y: number, content: string, className: string, limit = 60): SVGElement {
  const node = svg('text', { x, y, class: className });
  node.textContent = content.length > limit ? `${content.slice(0, Math.max(1, limit - 1))}…` : content;
  return node;
}

/** Leaves only: a parent takes as long as its subtests together. */
function slowest({ data }: Context): HTMLElement {
  const parents = new Set(data.tests.map(({ parent }) => parent));
  const order = data.tests
    .map((test, index) => ({ test, index }))
    .filter(({ test, index }) => test.ms !== undefined && !parents.has(index))
    .sort((a, b) => (b.test.ms ?? 0) - (a.test.ms ?? 0))
    .slice(0, SLOWEST);
  const longest = order[0]?.test.ms ?? 1;
  const body = element('tbody');
  for (const { test } of order) {
    const bar = svg(
      'svg',
      { width: 160, height: 12, class: 'slow-bar', 'aria-hidden': 'true' },
      svg('rect', { width: Math.max(1, (160 * (test.ms ?? 0)) / longest), height: 12, rx: 2 }),
    );
    const median = test.history?.usualMs;
    if (median !== undefined)
      bar.append(
        svg('rect', { x: Math.min(158, (160 * median) / longest), y: 0, width: 2, height: 12, class: 'median' }),
      );
    body.append(
      element(
        'tr',
        {},
        element('td', {}, element('a', { href: formatRoute(routeOfTest(data, test)) }, visible(test.name, 200))),
        element('td', { class: 'dim' }, cellOf(data, test)?.environmentName ?? ''),
        element('td', { class: 'ms' }, formatDuration(test.ms ?? 0)),
        element('td', {}, bar as unknown as HTMLElement),
        element('td', { class: 'dim' }, median === undefined ? '' : `usually ${formatDuration(median)}`),
      ),
    );
  }
  return element('table', { class: 'slow' }, body);
}
