/** Pure parts of the charts: weeks out of days, places of ticks, words of tooltips. */
import type { EnvironmentDay, Rate } from '../../flake/charts/schemas.js';

const DAY_MS = 86_400_000;

export function timeOf(day: string): number {
  return Date.parse(`${day}T00:00:00Z`);
}

export function dayAt(time: number): string {
  return new Date(time).toISOString().slice(0, 10);
}

/** Days of an environment summed by week, named by their Monday; mean durations weigh by runs. */
export function weeksOf(days: readonly EnvironmentDay[]): EnvironmentDay[] {
  const weeks = new Map<string, EnvironmentDay & { readonly timedRuns: number }>();
  for (const day of days) {
    const time = timeOf(day.at);
    const at = dayAt(time - ((Math.floor(time / DAY_MS) + 3) % 7) * DAY_MS);
    const old = weeks.get(at);
    const timed = day.durationMs === undefined ? 0 : day.runs;
    const timedRuns = (old?.timedRuns ?? 0) + timed;
    const sumMs = (old?.durationMs ?? 0) * (old?.timedRuns ?? 0) + (day.durationMs ?? 0) * timed;
    weeks.set(at, {
      at,
      runs: (old?.runs ?? 0) + day.runs,
      tests: (old?.tests ?? 0) + day.tests,
      failedTests: (old?.failedTests ?? 0) + day.failedTests,
      excludedRuns: (old?.excludedRuns ?? 0) + day.excludedRuns,
      ...(timedRuns === 0 ? {} : { durationMs: sumMs / timedRuns }),
      timedRuns,
    });
  }
  return [...weeks.values()].map(({ timedRuns: _, ...week }) => week);
}

/** Times for the ticks of an axis: days, Mondays, or firsts of months, at most `most` of them. */
export function ticksOf(from: number, to: number, most: number): number[] {
  const first = Math.ceil(from / DAY_MS) * DAY_MS;
  for (const step of [1, 2, 7, 14]) {
    // 1970-01-05 was a Monday: steps of weeks lie on Mondays.
    const start = step < 7 ? first : Math.ceil((first - 4 * DAY_MS) / (step * DAY_MS)) * step * DAY_MS + 4 * DAY_MS;
    const count = Math.floor((to - start) / (step * DAY_MS)) + 1;
    if (count <= most) return Array.from({ length: Math.max(0, count) }, (_, index) => start + index * step * DAY_MS);
  }
  for (const months of [1, 2, 3, 6, 12, 24, 60]) {
    const ticks: number[] = [];
    const begin = new Date(from);
    let month = Math.ceil((begin.getUTCFullYear() * 12 + begin.getUTCMonth()) / months) * months;
    for (; ; month += months) {
      const at = Date.UTC(Math.floor(month / 12), month % 12, 1);
      if (at > to) break;
      if (at >= from) ticks.push(at);
    }
    if (ticks.length <= most) return ticks;
  }
  return [];
}

const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'] as const;

/** `3 Feb`, with the year when asked for. */
export function formatDate(time: number, year = false): string {
  const date = new Date(time);
  const text = `${String(date.getUTCDate())} ${MONTHS[date.getUTCMonth()] ?? ''}`;
  return year ? `${text} ${String(date.getUTCFullYear())}` : text;
}

/** `0.4 %`, `12 %`, `100 %`; never `0 %` of something that failed, nor `100 %` of something that passed once. */
export function formatShare(share: number): string {
  const percent = share * 100;
  if (percent === 0 || percent === 100) return `${String(percent)} %`;
  if (percent < 0.1) return '< 0.1 %';
  if (percent > 99.9) return '> 99.9 %';
  return `${percent < 9.95 || percent > 99 ? percent.toFixed(1) : percent.toFixed(0)} %`;
}

/** `3 of 40`. */
export function formatOf(rate: Pick<Rate, 'failed' | 'attempts'>): string {
  return `${rate.failed.toLocaleString('en-US')} of ${rate.attempts.toLocaleString('en-US')}`;
}

/** Lines of a tooltip: share, k of n, interval. */
export function rateLines(rate: Rate): string[] {
  if (rate.rate === undefined) return ['no attempt'];
  return [
    `${formatShare(rate.rate)}: ${formatOf(rate)} attempts failed`,
    `95 % interval ${formatShare(rate.low)} – ${formatShare(rate.high)}`,
  ];
}

/** `+4.2`, `−0.3`, `±0`. */
export function formatGrowth(value: number, digits = 1): string {
  const text = Math.abs(value).toFixed(digits);
  if (Number(text) === 0) return '±0';
  return `${value > 0 ? '+' : '−'}${text}`;
}

const DURATION_STEPS_MS = [1, 2, 5, 10, 20, 50, 100, 200, 500]
  .concat([1, 2, 5, 10, 15, 20, 30].map((seconds) => seconds * 1_000))
  .concat([1, 2, 5, 10, 15, 20, 30, 60, 120, 180, 360, 720, 1440].map((minutes) => minutes * 60_000));

/**
 * Upper end and step of an axis that begins at 0: round numbers, at most seven ticks.
 *
 * @param top largest value
 */
export function scaleOf(
  top: number,
  options: { readonly mostY?: number | undefined; readonly durations?: boolean } = {},
): { readonly max: number; readonly step: number } {
  const { mostY, durations = false } = options;
  const wanted = top * 1.02;
  if (durations) {
    const step = DURATION_STEPS_MS.find((one) => wanted / one <= 6) ?? Math.ceil(wanted / 6 / 86_400_000) * 86_400_000;
    return { max: Math.max(1, Math.ceil(wanted / step)) * step, step };
  }
  const least = mostY === undefined ? 1 : mostY / 20;
  const rough = Math.max(wanted, least) / 6;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step =
    [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((one) => one >= rough * (1 - 1e-9)) ?? power * 10;
  const max = Math.max(1, Math.ceil(Math.max(wanted, least) / step - 1e-9)) * step;
  return { max: mostY === undefined ? max : Math.min(max, mostY), step };
}

/** `30 min 00 s` is `30 min` beside an axis. */
export function tidyTick(text: string): string {
  return text
    .replace(/ 00 (?:s|min)$/, '')
    .replace(/\.0(?= s$)/, '')
    .replace(/^0 ms$/, '0')
    .replace(/\.0 %$/, ' %');
}
