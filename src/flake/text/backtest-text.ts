import type { BacktestScore } from '../backtest/score.js';
import { formatTable, paint, percent } from './table.js';

/** A score for people: verdicts, the three numbers, and the calibration. */
export function backtestText(
  score: BacktestScore,
  { color, window }: { readonly color: boolean; readonly window: string },
): string {
  if (score.judgements === 0) return `no failure on a pull request ${window}\n`;
  const verdicts = Object.entries(score.verdicts).map(([kind, counts]) => ({ kind, ...counts }));
  const share = (value: number | undefined): string => (value === undefined ? '–' : percent(value));
  const number = (value: number | undefined): string => (value === undefined ? '–' : value.toFixed(4));
  return [
    `${score.judgements} failures on pull requests ${window}; of ${score.settled} it came out later what they were`,
    '',
    formatTable(
      verdicts,
      [
        { title: 'verdict', value: ({ kind }) => kind },
        { title: 'said', align: 'right', value: ({ said }) => String(said) },
        { title: 'was caused', align: 'right', value: ({ caused }) => String(caused) },
        { title: 'was a flake', align: 'right', value: ({ flake }) => String(flake) },
      ],
      { color },
    ),
    `wrong accusations  ${share(score.wrongAccusations)}`,
    `wrong excuses      ${share(score.wrongExcuses)}`,
    `Brier score        ${number(score.brier)} (always saying the mean: ${number(score.brierOfBaseRate)})`,
    '',
    paint('calibration of "caused by this change"', 'bold', color),
    formatTable(
      score.calibration.filter(({ judgements }) => judgements > 0),
      [
        { title: 'said', value: ({ from, to }) => `${(from * 100).toFixed(0)} – ${(to * 100).toFixed(0)} %` },
        { title: 'failures', align: 'right', value: ({ judgements }) => String(judgements) },
        { title: 'mean said', align: 'right', value: ({ said }) => share(said) },
        { title: 'came true', align: 'right', value: ({ came }) => share(came) },
      ],
      { color },
    ),
  ].join('\n');
}
