import { matchesPattern, type FlakeRate } from '../../flake/index.js';
import { plural } from '../../results/text.js';
import { cutText, safeCode, safeLink, safeText } from '../text/safe.js';

const MOST_ROWS = 15;

export interface StatusOptions {
  /** Name or pattern; absent means the worst. */
  readonly test?: string;
  readonly repository: string;
  readonly days: number;
  readonly chart?: (environment: string, test: string) => string;
}

/** Answer to `/flake-status`, Markdown. Pure. @param rates of the default branch, highest first */
export function renderFlakeStatus(rates: readonly FlakeRate[], options: StatusOptions): string {
  const { test, days } = options;
  const mine = rates.filter(({ repository }) => repository === options.repository || repository === '');
  const found =
    test === undefined
      ? mine.filter(({ failed }) => failed > 0).sort((a, b) => b.interval.low - a.interval.low)
      : mine.filter((rate) => matchesPattern(test, rate.test) || rate.test.endsWith(`> ${test}`));
  const name = test === undefined ? undefined : safeCode(test, 200);
  if (found.length === 0) {
    return name === undefined
      ? `No test failed on the default branch in the last ${days} days.`
      : `No test ${name} ran on the default branch in the last ${days} days.`;
  }
  const heading =
    name === undefined
      ? `The tests that fail most on the default branch, last ${days} days:`
      : `${name} on the default branch, last ${days} days:`;
  const rows = found.slice(0, MOST_ROWS).map((rate) => {
    const environment = safeLink(
      safeText(cutText(rate.environment, 100)),
      options.chart?.(rate.environment, rate.test),
    );
    return `| ${safeCode(rate.test, 150)} | ${environment} | ${rate.failed} of ${rate.attempts} | ${percent(rate.interval.low)}–${percent(rate.interval.high)} | ${rate.mixedCommits} |`;
  });
  return [
    heading,
    [
      '| Test | Environment | Failed | 95 % interval | Commits that both passed and failed |',
      '| --- | --- | ---: | --- | ---: |',
      ...rows,
    ].join('\n'),
    ...(found.length > MOST_ROWS ? [`And ${plural(found.length - MOST_ROWS, 'row')} more.`] : []),
  ].join('\n\n');
}

function percent(share: number): string {
  const value = share * 100;
  return `${value < 10 && value > 0 ? value.toFixed(1) : value.toFixed(0)} %`;
}
