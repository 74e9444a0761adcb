import type { VerdictKind } from '../verdict/verdict.js';
import type { Judgement } from './backtest.js';

/** Said probabilities of one tenth against how often it came true. */
export interface CalibrationBin {
  /** Bounds of the probability that the change caused the failure; the upper one belongs to the last bin only. */
  readonly from: number;
  readonly to: number;
  readonly judgements: number;
  /** Mean of what was said, and share that was caused; absent for an empty bin. */
  readonly said?: number;
  readonly came?: number;
}

export interface BacktestScore {
  readonly judgements: number;
  /** Judgements whose truth came out. */
  readonly settled: number;
  /** How often each verdict was given, and what came out of it. */
  readonly verdicts: Readonly<
    Record<VerdictKind, { readonly said: number; readonly caused: number; readonly flake: number }>
  >;
  /** Share of settled accusations that were flakes; absent without one. */
  readonly wrongAccusations?: number;
  /** Share of settled excuses that were caused; absent without one. */
  readonly wrongExcuses?: number;
  /**
   * Mean squared difference of the probability said and what came out, 0 (best) to 1; absent when nothing is settled.
   *
   * @see G. W. Brier, Verification of forecasts expressed in terms of probability, Monthly Weather Review 78 (1950)
   */
  readonly brier?: number;
  /** The same score for one who always says the share of caused failures: what there is to beat. */
  readonly brierOfBaseRate?: number;
  readonly calibration: readonly CalibrationBin[];
}

const BINS = 10;

/** Scores judgements against their truths; open ones count in `said` only. */
export function scoreOf(judgements: readonly Judgement[]): BacktestScore {
  const settled = judgements.filter(({ truth }) => truth !== 'open');
  const verdict = (kind: VerdictKind) => {
    const given = judgements.filter((judgement) => judgement.verdict.kind === kind);
    return {
      said: given.length,
      caused: given.filter(({ truth }) => truth === 'caused').length,
      flake: given.filter(({ truth }) => truth === 'flake').length,
    };
  };
  const verdicts = {
    caused: verdict('caused'),
    'known-flake': verdict('known-flake'),
    undecided: verdict('undecided'),
    'broken-on-base': verdict('broken-on-base'),
    infrastructure: verdict('infrastructure'),
  };
  const accusations = verdicts.caused.flake + verdicts.caused.caused;
  const excuses = verdicts['known-flake'].flake + verdicts['known-flake'].caused;
  const points = settled.map(({ verdict: { causedProbability }, truth }) => ({
    said: causedProbability,
    came: truth === 'caused' ? 1 : 0,
  }));
  const share = mean(points.map(({ came }) => came));
  return {
    judgements: judgements.length,
    settled: settled.length,
    verdicts,
    ...(accusations === 0 ? {} : { wrongAccusations: verdicts.caused.flake / accusations }),
    ...(excuses === 0 ? {} : { wrongExcuses: verdicts['known-flake'].caused / excuses }),
    ...(points.length === 0
      ? {}
      : {
          brier: mean(points.map(({ said, came }) => (said - came) ** 2)),
          brierOfBaseRate: mean(points.map(({ came }) => (share - came) ** 2)),
        }),
    calibration: calibrationOf(points),
  };
}

function calibrationOf(points: readonly { readonly said: number; readonly came: number }[]): CalibrationBin[] {
  return Array.from({ length: BINS }, (_, bin) => {
    const inside = points.filter(({ said }) => Math.min(BINS - 1, Math.floor(said * BINS)) === bin);
    return {
      from: bin / BINS,
      to: (bin + 1) / BINS,
      judgements: inside.length,
      ...(inside.length === 0
        ? {}
        : { said: mean(inside.map(({ said }) => said)), came: mean(inside.map(({ came }) => came)) }),
    };
  });
}

function mean(values: readonly number[]): number {
  return values.length === 0 ? NaN : values.reduce((sum, value) => sum + value, 0) / values.length;
}
