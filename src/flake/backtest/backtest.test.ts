import { describe, expect, it } from 'vitest';

import { backtestPage } from '../text/backtest-page.js';
import { backtestText } from '../text/backtest-text.js';
import { backtest, type Judgement, type RunOutcome, type Series } from './backtest.js';
import { scoreOf } from './score.js';

const HOUR = 3_600_000;
const signature = [{ key: 'k', weak: false }];

function base(hour: number, failed = 0): RunOutcome {
  return {
    atMs: hour * HOUR,
    commit: `main-${hour}`,
    passed: 1 - failed,
    failed,
    signatures: failed > 0 ? signature : [],
  };
}

function pull(hour: number, failed: number, passed: number, key = 'k'): RunOutcome {
  const signatures = failed > 0 ? [{ key, weak: false }] : [];
  return { atMs: hour * HOUR, commit: 'head', pullRequest: 7, failed, passed, signatures };
}

function series(...runs: readonly RunOutcome[]): Series {
  return { repository: 'o/r', environment: 'docker', package: 'p', test: 'A', runs };
}

const clean = Array.from({ length: 200 }, (_, hour) => base(hour));
const flaky = Array.from({ length: 200 }, (_, hour) => base(hour, hour % 5 === 0 ? 1 : 0));

describe('backtest', () => {
  it('accuses a test that had never failed and fails twice, and sees later that it was right', () => {
    const [judgement] = backtest([series(...clean, pull(200, 2, 0, 'new'), base(201), pull(202, 1, 0, 'new'))]);
    expect(judgement).toMatchObject({ pullRequest: 7, commit: 'head', truth: 'caused', verdict: { kind: 'caused' } });
  });

  it('excuses a known flake, and sees later that it passes on the same commit', () => {
    const [judgement] = backtest([series(...flaky, pull(200, 1, 0), base(201), pull(202, 0, 1))]);
    expect(judgement).toMatchObject({ truth: 'flake', verdict: { kind: 'known-flake' } });
  });

  it('uses nothing that came after the run', () => {
    const before = [...clean, pull(200, 1, 0, 'new')];
    const [short] = backtest([series(...before)]);
    const [long] = backtest([series(...before, ...flaky.map((run) => ({ ...run, atMs: run.atMs + 300 * HOUR })))]);
    expect(long?.verdict).toEqual(short?.verdict);
    expect(short?.truth).toBe('open');
  });

  it('says broken on base when the newest commit of the default branch fails', () => {
    const [judgement] = backtest([series(...clean, base(200, 1), pull(201, 1, 0), base(202, 1))]);
    expect(judgement).toMatchObject({ truth: 'open', verdict: { kind: 'broken-on-base' } });
  });

  it('judges each failed run of a pull request, a rerun with what the run before it showed', () => {
    const runs = [...clean, pull(200, 1, 0, 'new'), pull(201, 1, 0, 'new'), pull(202, 1, 0, 'new'), base(203)];
    expect(backtest([series(...runs)]).map(({ verdict, truth }) => [verdict.kind, truth])).toEqual([
      ['undecided', 'caused'],
      ['caused', 'caused'],
      ['caused', 'caused'],
    ]);
  });

  it('does not take three failures of a test that fails half the time for a break', () => {
    const half = Array.from({ length: 200 }, (_, hour) => base(hour, hour % 2));
    const runs = [...half, pull(200, 3, 0), base(201)];
    expect(backtest([series(...runs)]).map(({ truth }) => truth)).toEqual(['open']);
    expect(backtest([series(...clean, pull(200, 3, 0), base(201))]).map(({ truth }) => truth)).toEqual(['caused']);
  });
});

describe('scoreOf', () => {
  const judgement = (kind: Judgement['verdict']['kind'], said: number, truth: Judgement['truth']): Judgement => ({
    repository: 'o/r',
    environment: 'docker',
    package: 'p',
    test: 'A',
    pullRequest: 1,
    commit: 'c',
    atMs: 0,
    truth,
    verdict: { kind, causedProbability: said, odds: 1, evidence: [] },
  });

  it('counts by hand: Brier score, wrong shares and calibration; open ones are not scored', () => {
    const score = scoreOf([
      judgement('caused', 1, 'caused'),
      judgement('caused', 0.9, 'flake'),
      judgement('known-flake', 0.05, 'flake'),
      judgement('undecided', 0.5, 'open'),
    ]);
    expect(score).toMatchObject({ judgements: 4, settled: 3, wrongAccusations: 0.5, wrongExcuses: 0 });
    // (0² + 0.9² + 0.05²) ÷ 3; the mean is 1/3: (4/9 + 1/9 + 1/9) ÷ 3
    expect(score.brier).toBeCloseTo(0.8125 / 3, 12);
    expect(score.brierOfBaseRate).toBeCloseTo(2 / 9, 12);
    expect(score.calibration[0]).toEqual({ from: 0, to: 0.1, judgements: 1, said: 0.05, came: 0 });
    expect(score.calibration[9]).toMatchObject({ judgements: 2, said: 0.95, came: 0.5 });
    expect(backtestText(score, { color: false, window: 'in a test' })).toMatch(/wrong accusations\s+50/);
    const page = backtestPage(score, { window: 'in <a> test' });
    expect(page).toContain('<title>said 90 – 100 %: 1 of 2 were caused</title>');
    // Said 95 %, came true in half: x = 56 + 0.95 · 400, y = 16 + 0.5 · 400; the larger of the two points.
    expect(page).toContain('<circle cx="436.0" cy="216.0" r="12.0"/>');
    expect(page.match(/<circle/g)).toHaveLength(2);
    expect(page).toContain('in &lt;a> test');
  });

  it('has no numbers without a settled judgement', () => {
    const score = scoreOf([judgement('undecided', 0.5, 'open')]);
    expect(score.brier).toBeUndefined();
    expect(score.wrongAccusations).toBeUndefined();
    expect(backtestPage(score, { window: 'ever' })).toContain('Nothing has come out yet.');
    expect(backtestText(scoreOf([]), { color: false, window: 'ever' })).toBe('no failure on a pull request ever\n');
  });
});
