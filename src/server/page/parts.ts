/** Pieces that several pages use. */

import type { Point, Rate, RankedTest, Window } from '../../flake/charts/schemas.js';
import { button, element, visible } from '../../report/page/dom.js';
import { formatCount, formatDuration } from '../../report/shared/format.js';
import { visibleText } from '../../report/shared/visible.js';
import { formatDate, formatGrowth, formatOf, formatShare, rateLines, timeOf } from '../shared/chart-data.js';
import { formatRoute, type Route } from '../shared/route.js';
import type { Dot } from './chart.js';
import type { Source } from './load.js';

/** What screens need from the page. */
export interface Screen {
  readonly source: Source;
  readonly route: Route;
  /** Lists of the model that are not whole. */
  readonly leftOut: Readonly<Record<string, number>>;
}

/** A link when there is such a page, else its text. */
export function link(screen: Screen, route: Route, text: string, className = ''): HTMLElement {
  const { days, runs } = screen.route;
  const whole = { ...route, ...(days === undefined ? {} : { days }), ...(runs === undefined ? {} : { runs }) };
  const node = screen.source.has(whole)
    ? element('a', { href: formatRoute(whole), class: className })
    : element('span', { class: className });
  node.append(visible(text, 300));
  return node;
}

/** Links to other hosts open beside. */
export function outside(url: string, text: string): HTMLElement {
  const node = element('a', { href: url, title: visibleText(url) }, text);
  node.rel = 'noreferrer noopener';
  node.target = '_blank';
  return node;
}

export function heading(crumbs: readonly Node[], title: string, ...badges: Node[]): HTMLElement {
  const path = element('p', { class: 'crumbs' });
  for (const [index, crumb] of crumbs.entries()) path.append(...(index === 0 ? [] : [' / ']), crumb);
  const head = element('h2', { class: 'title' }, visible(title, 500));
  head.append(...badges);
  return element('div', { class: 'heading' }, path, head);
}

export interface Fact {
  readonly value: string;
  readonly label: string;
  readonly note?: string;
  readonly tone?: 'bad' | 'good';
}

export function factRow(facts: readonly Fact[]): HTMLElement {
  const list = element('ul', { class: 'figures' });
  for (const { value, label, note, tone } of facts) {
    list.append(
      element(
        'li',
        { class: tone ?? '', ...(note === undefined ? {} : { title: note }) },
        element('b', {}, visibleText(value)),
        element('span', {}, label),
      ),
    );
  }
  return list;
}

export interface Column<T> {
  readonly title: string;
  readonly hint?: string;
  readonly numeric?: boolean;
  /** Never broken: times, ids. */
  readonly narrow?: boolean;
  readonly cell: (row: T) => Node | string;
}

export function table<T>(rows: readonly T[], columns: readonly Column<T>[], empty: string): HTMLElement {
  if (rows.length === 0) return element('p', { class: 'dim' }, empty);
  const head = element('tr');
  for (const column of columns) {
    const { title, hint } = column;
    const cell = element('th', { class: classOf(column), ...(hint === undefined ? {} : { title: hint }) }, title);
    cell.scope = 'col';
    head.append(cell);
  }
  const body = element('tbody');
  for (const row of rows) {
    const line = element('tr');
    for (const column of columns) line.append(element('td', { class: classOf(column) }, column.cell(row)));
    body.append(line);
  }
  return element('div', { class: 'scroll' }, element('table', { class: 'list' }, element('thead', {}, head), body));
}

function classOf({ numeric, narrow }: Pick<Column<never>, 'numeric' | 'narrow'>): string {
  return numeric === true ? 'number' : narrow === true ? 'when' : '';
}

/** A rate as words and as a bar with its interval. */
export function rateCell(rate: Rate | undefined): Node {
  if (rate?.rate === undefined) return element('span', { class: 'dim' }, 'no attempt');
  const bar = element('span', { class: 'interval', aria: { hidden: true } });
  const range = element('i');
  range.style.left = `${String(rate.low * 100)}%`;
  range.style.width = `${String(Math.max(0.5, (rate.high - rate.low) * 100))}%`;
  const point = element('b');
  point.style.left = `${String(rate.rate * 100)}%`;
  bar.append(range, point);
  return element(
    'span',
    { class: 'rate', title: rateLines(rate).join('\n') },
    element('strong', {}, formatShare(rate.rate)),
    element('span', { class: 'dim' }, formatOf(rate)),
    bar,
  );
}

/** @param value in the unit that is shown; growth is bad */
export function growthCell(value: number | undefined, digits: number, unit: string): Node {
  if (value === undefined) return element('span', { class: 'dim', title: 'no days before to compare with' }, '–');
  const text = formatGrowth(value, digits);
  const tone = text === '±0' ? 'dim' : value > 0 ? 'worse' : 'better';
  return element('span', { class: tone }, `${text}${unit}`);
}

export function testColumns(screen: Screen, withEnvironment: boolean): Column<RankedTest>[] {
  return [
    { title: '#', numeric: true, cell: ({ rank }) => String(rank) },
    {
      title: 'Test',
      cell: ({ repository, environment, package: pkg, test }) => {
        const cell = element('span', { class: 'who' });
        cell.append(link(screen, { kind: 'test', repository, environment, package: pkg, test }, test, 'name'));
        const places = [
          ...(withEnvironment ? [link(screen, { kind: 'environment', environment }, environment)] : []),
          ...(pkg === '' ? [] : [element('span', {}, visible(pkg, 120))]),
        ];
        if (places.length > 0)
          cell.append(
            element(
              'small',
              { class: 'dim' },
              ...places.flatMap((place, index) => (index === 0 ? [place] : [' · ', place])),
            ),
          );
        return cell;
      },
    },
    {
      title: 'Failed lately',
      hint: 'over the 15 newest days on which the test ran; the bar is the 95 % interval',
      cell: ({ recent }) => rateCell(recent),
    },
    {
      title: 'Growth',
      hint: 'percentage points against the 15 days before',
      numeric: true,
      cell: ({ growth }) => growthCell(growth === undefined ? undefined : growth * 100, 1, ''),
    },
    {
      title: 'In the window',
      hint: 'failed of all attempts in the whole window',
      numeric: true,
      cell: ({ window }) => formatOf(window),
    },
    {
      title: 'Mixed commits',
      hint: 'commits on which it both passed and failed: the proof of a flake',
      numeric: true,
      cell: ({ mixedCommits, failingCommits }) => `${String(mixedCommits)} of ${String(failingCommits)}`,
    },
  ];
}

export function omitted(screen: Screen, list: string, what: string): HTMLElement | undefined {
  const count = screen.leftOut[list];
  if (count === undefined) return undefined;
  return element('p', { class: 'dim' }, `${count.toLocaleString('en-US')} more ${what} not shown.`);
}

export function section(title: string, ...children: (Node | undefined)[]): HTMLElement {
  return element('section', { class: 'panel' }, element('h3', {}, title), ...children);
}

export function windowText({ from, to }: Window): string {
  const first = timeOf(from);
  const last = timeOf(to);
  const sameYear = from.slice(0, 4) === to.slice(0, 4);
  return `${formatDate(first, !sameYear)} – ${formatDate(last, true)}`;
}

/** Day or week; redraws what it governs. */
export function byDayOrWeek(draw: (by: 'day' | 'week') => HTMLElement, first: 'day' | 'week' = 'day'): HTMLElement {
  const holder = element('div');
  const show = (by: 'day' | 'week'): void => {
    holder.replaceChildren(draw(by));
    const controls = element('span', { class: 'choice', role: 'group', aria: { label: 'Sum by' } });
    for (const one of ['day', 'week'] as const) {
      controls.append(
        button(
          one === 'day' ? 'Day' : 'Week',
          () => {
            show(one);
          },
          { aria: { pressed: one === by } },
        ),
      );
    }
    holder.querySelector('figcaption')?.append(controls);
  };
  show(first);
  return holder;
}

export const CURVE_COLORS = ['--c0', '--c1', '--c2', '--c3', '--c4', '--c5', '--c6', '--c7', '--c8', '--c9'] as const;

export function curveColor(index: number): string {
  return CURVE_COLORS[index % CURVE_COLORS.length] ?? '--c0';
}

/** First line of a tooltip. */
export function periodOf(by: 'day' | 'week'): (time: number) => string {
  return (time) => `${by === 'week' ? 'week of ' : ''}${new Date(time).toISOString().slice(0, 10)}`;
}

export function rateDots(points: readonly Point[]): Dot[] {
  return points.map((point) => ({
    x: timeOf(point.at),
    y: point.rate ?? 0,
    lines: [
      ...rateLines(point),
      ...(point.durationMs === undefined ? [] : [`mean time ${formatDuration(point.durationMs)}`]),
    ],
  }));
}

/** A list that begins short. */
export function folded(first: number, total: number, draw: (count: number) => HTMLElement): HTMLElement {
  const holder = element('div', {}, draw(Math.min(first, total)));
  if (total > first) {
    const more = button(`Show all ${formatCount(total)}`, () => {
      holder.replaceChildren(draw(total));
    });
    holder.append(more);
  }
  return holder;
}

/** Days with a handful of attempts each say little: then the weeks are shown first. */
export function firstPeriod(counts: readonly number[]): 'day' | 'week' {
  const mean = counts.reduce((sum, count) => sum + count, 0) / Math.max(1, counts.length);
  return mean < 8 && counts.length > 21 ? 'week' : 'day';
}

/** Lines stay lines; what can not be seen is shown as an escape. */
export function lines(text: string, limit: number): HTMLElement {
  const node = element('pre');
  for (const [index, line] of text.slice(0, limit).split('\n').entries())
    node.append(index === 0 ? '' : '\n', visible(line));
  if (text.length > limit)
    node.append(element('span', { class: 'dim' }, ` … ${formatCount(text.length - limit)} more`));
  return node;
}
