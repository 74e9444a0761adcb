/** Charts of the pages: chart.js with the page's colours, axes of days, and marks for changepoints. */

import {
  Chart,
  Filler,
  Legend,
  LinearScale,
  LineController,
  LineElement,
  PointElement,
  ScatterController,
  Tooltip,
  type ActiveElement,
  type ChartConfiguration,
  type ChartDataset,
  type Plugin,
  type TooltipItem,
} from 'chart.js';

import { element } from '../../report/page/dom.js';
import { visibleText } from '../../report/shared/visible.js';
import { formatDate, scaleOf, ticksOf, tidyTick } from '../shared/chart-data.js';

Chart.register(Filler, Legend, LinearScale, LineController, LineElement, PointElement, ScatterController, Tooltip);

/** A point with what its tooltip says. */
export interface Dot {
  readonly x: number;
  readonly y: number;
  readonly lines: readonly string[];
  /** Where a click leads. */
  readonly href?: string;
}

export interface Curve {
  readonly label: string;
  readonly dots: readonly Dot[];
  /** Custom property of the style sheet: `--c0`, `--failed`. */
  readonly color: string;
  /** Ends of an interval at each dot. */
  readonly band?: readonly { readonly low: number; readonly high: number }[];
  readonly dotsOnly?: boolean;
  readonly shape?: 'circle' | 'crossRot' | 'rect' | 'triangle';
}

/** A vertical line with a word beside it. */
export interface Mark {
  readonly x: number;
  readonly label: string;
}

export interface ChartOptions {
  readonly title: string;
  readonly curves: readonly Curve[];
  readonly marks?: readonly Mark[];
  readonly formatY: (value: number) => string;
  /** Upper end of the axis that is never exceeded, 1 for shares. */
  readonly mostY?: number;
  /** The values are milliseconds: ticks at whole seconds, minutes, hours. */
  readonly durations?: boolean;
  /** First line of a tooltip. */
  readonly formatX?: (time: number) => string;
  readonly height?: 'tall';
}

const open = new Set<Chart>();

/** Ends all charts: before another page is drawn, and before colours change. */
export function closeCharts(): void {
  for (const chart of open) chart.destroy();
  open.clear();
}

function color(name: string, alpha = 1): string {
  const value = getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  return alpha === 1
    ? value
    : `${value}${Math.round(alpha * 255)
        .toString(16)
        .padStart(2, '0')}`;
}

/** A figure with a title; charts without a dot are a sentence. */
export function chartFigure(options: ChartOptions, ...controls: Node[]): HTMLElement {
  const figure = element('figure', { class: 'chart' });
  figure.append(
    element('figcaption', {}, element('span', {}, options.title), element('span', { class: 'grow' }), ...controls),
  );
  if (options.curves.every(({ dots }) => dots.length === 0)) {
    figure.append(element('p', { class: 'dim' }, 'Nothing to draw in this window.'));
    return figure;
  }
  const canvas = element('canvas', { role: 'img', aria: { label: summaryOf(options) } });
  figure.append(element('div', { class: `canvas ${options.height ?? ''}` }, canvas));
  // chart.js measures its parent: draw when the figure stands in the page.
  requestAnimationFrame(() => {
    if (canvas.isConnected) open.add(new Chart(canvas, configurationOf(options)));
  });
  return figure;
}

/** For people who hear the page; the tables beside the charts have the numbers. */
function summaryOf({ title, curves }: ChartOptions): string {
  const dots = curves.reduce((sum, curve) => sum + curve.dots.length, 0);
  return `${title}: ${curves.map(({ label }) => label).join(', ')}; ${String(dots)} points`;
}

function configurationOf(options: ChartOptions): ChartConfiguration<'line', Dot[]> {
  const { curves, marks = [], formatY, mostY, formatX = (time: number) => formatDate(time, true) } = options;
  const times = curves.flatMap(({ dots }) => dots.map(({ x }) => x));
  const first = Math.min(...times, ...marks.map(({ x }) => x));
  const last = Math.max(...times, ...marks.map(({ x }) => x));
  const margin = Math.max(43_200_000, (last - first) * 0.015);
  const tops = curves.flatMap(({ dots, band }) => dots.map(({ y }, index) => band?.[index]?.high ?? y));
  const scale = scaleOf(Math.max(0, ...tops), { mostY, durations: options.durations === true });
  const grid = { color: color('--line'), tickLength: 4 };
  const font = { family: 'system-ui, sans-serif', size: 11.5 };
  const legendCurves = curves.filter(({ label }) => label !== '');
  return {
    type: 'line',
    data: { datasets: curves.flatMap(datasetsOf) },
    options: {
      animation: false,
      responsive: true,
      maintainAspectRatio: false,
      parsing: false,
      normalized: true,
      interaction: { mode: 'nearest', intersect: false, axis: curves.some(({ dotsOnly }) => dotsOnly) ? 'xy' : 'x' },
      scales: {
        x: {
          type: 'linear',
          min: first - margin,
          max: last + margin,
          grid: { ...grid, drawOnChartArea: false },
          border: { color: color('--line') },
          ticks: {
            color: color('--dim'),
            font,
            maxRotation: 0,
            callback: (value, index, ticks) => tickText(Number(value), index, Number(ticks[index - 1]?.value)),
          },
          afterBuildTicks: (axis) => {
            const most = Math.max(2, Math.floor(axis.width / 70));
            axis.ticks = ticksOf(axis.min, axis.max, most).map((value) => ({ value }));
          },
        },
        y: {
          min: 0,
          max: scale.max,
          grid,
          border: { display: false },
          ticks: {
            color: color('--dim'),
            font,
            stepSize: scale.step,
            callback: (value) => tidyTick(formatY(Number(value))),
          },
        },
      },
      plugins: {
        legend: {
          display: legendCurves.length > 1,
          position: 'bottom',
          align: 'start',
          labels: {
            color: color('--text'),
            font,
            usePointStyle: true,
            boxHeight: 7,
            boxWidth: 9,
            filter: ({ text }) => text !== '',
          },
        },
        tooltip: {
          filter: ({ dataset }) => dataset.label !== '',
          backgroundColor: color('--surface'),
          titleColor: color('--text'),
          bodyColor: color('--text'),
          borderColor: color('--line'),
          borderWidth: 1,
          padding: 10,
          boxPadding: 5,
          usePointStyle: true,
          titleFont: { ...font, size: 12.5, weight: 600 },
          bodyFont: { ...font, size: 12.5 },
          callbacks: {
            title: (items) => (items[0] === undefined ? '' : formatX(dotOf(items[0]).x)),
            label: (item) => labelOf(item, legendCurves.length > 1),
          },
        },
      },
      onClick: (_event, elements, chart) => {
        const href = hrefOf(elements, chart as Chart<'line', Dot[]>);
        if (href?.startsWith('#')) location.hash = href;
        else if (href !== undefined) window.open(href, '_blank', 'noopener,noreferrer');
      },
      onHover: (event, elements, chart) => {
        const target = event.native?.target;
        if (target instanceof HTMLElement) {
          target.classList.toggle('leads', hrefOf(elements, chart as Chart<'line', Dot[]>) !== undefined);
        }
      },
    },
    plugins: [markPlugin(marks)],
  };
}

function dotOf(item: TooltipItem<'line'>): Dot {
  return item.raw as Dot;
}

function labelOf(item: TooltipItem<'line'>, named: boolean): string[] {
  const [head = '', ...rest] = dotOf(item).lines;
  return [named ? `${shorten(item.dataset.label ?? '', 60)}: ${head}` : head, ...rest];
}

function hrefOf(elements: readonly ActiveElement[], chart: Chart<'line', Dot[]>): string | undefined {
  for (const { datasetIndex, index } of elements) {
    const href = chart.data.datasets[datasetIndex]?.data[index]?.href;
    if (href !== undefined) return href;
  }
  return undefined;
}

function datasetsOf(curve: Curve): ChartDataset<'line', Dot[]>[] {
  const { label, dots, band, dotsOnly = false, shape = 'circle' } = curve;
  const stroke = color(curve.color);
  const bound = (end: 'low' | 'high'): Dot[] =>
    dots.map((dot, index) => ({ x: dot.x, y: band?.[index]?.[end] ?? dot.y, lines: [] }));
  const hidden = { label: '', borderWidth: 0, pointRadius: 0, pointHoverRadius: 0, pointHitRadius: 0, tension: 0 };
  const bands: ChartDataset<'line', Dot[]>[] =
    band === undefined
      ? []
      : [
          { ...hidden, data: bound('high'), fill: false, borderColor: 'transparent' },
          { ...hidden, data: bound('low'), fill: '-1', backgroundColor: color(curve.color, 0.16) },
        ];
  return [
    ...bands,
    {
      label: shorten(visibleText(label), 70),
      data: [...dots],
      showLine: !dotsOnly,
      borderColor: stroke,
      backgroundColor: dotsOnly ? color(curve.color, 0.65) : stroke,
      borderWidth: 1.75,
      pointStyle: shape,
      pointRadius: dotsOnly ? (shape === 'circle' ? 2.75 : 4.5) : dots.length > 60 ? 1.5 : 2.5,
      pointBorderWidth: shape === 'crossRot' ? 2 : 0.5,
      pointHoverRadius: 6,
      pointHitRadius: 6,
      tension: 0,
    },
  ];
}

function markPlugin(marks: readonly Mark[]): Plugin<'line'> {
  return {
    id: 'marks',
    afterDatasetsDraw: ({ ctx, chartArea, scales }) => {
      const axis = scales['x'];
      if (axis === undefined) return;
      ctx.save();
      ctx.font = '600 11.5px system-ui, sans-serif';
      ctx.strokeStyle = color('--accent');
      ctx.fillStyle = color('--accent');
      for (const { x, label } of marks) {
        const at = axis.getPixelForValue(x);
        ctx.setLineDash([5, 4]);
        ctx.beginPath();
        ctx.moveTo(at, chartArea.top);
        ctx.lineTo(at, chartArea.bottom);
        ctx.stroke();
        const isRight = at + ctx.measureText(label).width + 8 < chartArea.right;
        ctx.textAlign = isRight ? 'left' : 'right';
        ctx.fillText(label, at + (isRight ? 6 : -6), chartArea.top + 11);
      }
      ctx.restore();
    },
  };
}

/** The year stands with the first tick and wherever it changes. */
function tickText(value: number, index: number, before: number): string {
  const isNewYear = index === 0 || new Date(value).getUTCFullYear() !== new Date(before).getUTCFullYear();
  return formatDate(value, isNewYear);
}

/** The end of a test's name tells it from its neighbours. */
export function shorten(text: string, limit: number): string {
  return text.length <= limit ? text : `…${text.slice(1 - limit)}`;
}
