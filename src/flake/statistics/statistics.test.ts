import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { oddsCaused } from '../verdict/verdict.js';
import { betaCdf, betaQuantile, betaSurvival } from './beta.js';
import { findChangepoints, logMarginalOf, type CommitCounts } from './changepoint.js';
import { dispersionOf, intervalDispersion } from './dispersion.js';
import { durationRegression, mannWhitney } from './duration-regression.js';
import { log1pMinusX, logBeta, logGamma } from './gamma.js';
import {
  clopperPearsonInterval,
  jeffreysInterval,
  normalQuantile,
  studentQuantile,
  wilsonInterval,
} from './intervals.js';
import { DEFAULT_PRIOR, fitPrior, logMarginal } from './prior.js';

/**
 * Reference values: mpmath 1.3 with 40 digits (gamma, beta, quantiles, odds) and scipy 1.x (Wilson, Mann–Whitney, fit of
 * the prior), computed apart from this code in November 2026.
 */
function close(actual: number, expected: number, relative = 1e-9): void {
  expect(Math.abs(actual - expected)).toBeLessThanOrEqual(relative * Math.max(Math.abs(expected), 1e-300));
}

describe('gamma and beta', () => {
  it('agree with mpmath', () => {
    const gammas = [2.9688792010517306, 0.5723649429247001, 0.6931471805599453, 18.238983407092245, 12815511.476902766];
    for (const [index, x] of [0.05, 0.5, 3, 12.3, 1000000.5].entries()) close(logGamma(x), gammas[index]!, 1e-12);
    close(logBeta(0.05, 1), 2.995732273553991, 1e-12);
    close(logBeta(3.5, 1e6), -47.15331772552351, 1e-12);
    close(logBeta(1e5, 2e6), -402037.3852394882, 1e-12);
    close(logBeta(12, 15), -18.568172732389435, 1e-12);
    close(betaCdf(0.3, 2.5, 7.1), 0.649022579021013, 1e-12);
    close(betaCdf(0.9, 0.5, 0.5), 0.7951672353008666, 1e-12);
    close(betaCdf(0.001, 0.05, 1), 0.7079457843841379, 1e-12);
    // scipy.special.betainc
    close(betaCdf(0.0499, 50000.5, 950000.5), 0.32282615886479615, 1e-10);
  });

  it('invert each other over many sizes', () => {
    const parameter = fc.double({ min: 0.02, max: 1e4, noNaN: true });
    fc.assert(
      fc.property(fc.double({ min: 1e-6, max: 1 - 1e-6, noNaN: true }), parameter, parameter, (p, a, b) => {
        const x = betaQuantile(p, a, b);
        expect(x).toBeGreaterThanOrEqual(0);
        expect(x).toBeLessThanOrEqual(1);
        // Near the ends one step of a double is more than the tolerance.
        fc.pre(x > 1e-12 && x < 1 - 1e-9);
        expect(Math.abs(betaCdf(x, a, b) - p)).toBeLessThan(1e-9);
        expect(Math.abs(betaCdf(x, a, b) + betaSurvival(x, a, b) - 1)).toBeLessThan(1e-12);
      }),
      { numRuns: 40 },
    );
  });

  it('keeps the digits of ln(1+x) − x near 0', () => {
    close(log1pMinusX(1e-8), -4.999999966666667e-17, 1e-12);
    close(log1pMinusX(-1e-5), -5.000033333583335e-11, 1e-12);
    close(log1pMinusX(0.5), Math.log(1.5) - 0.5, 1e-12);
    expect(log1pMinusX(0)).toBe(0);
  });

  it('refuses what has no value', () => {
    expect(() => logGamma(0)).toThrow(RangeError);
    expect(() => betaCdf(0.5, 0, 1)).toThrow(RangeError);
    expect(() => betaQuantile(1.5, 1, 1)).toThrow(RangeError);
  });
});

describe('intervals', () => {
  const cases = [
    [
      1,
      30,
      [0.003620464373791663, 0.14541777735402017],
      [0.0008435709266304788, 0.17216945563341268],
      [0.005908590381612441, 0.16670390991409173],
    ],
    [
      2,
      30,
      [0.014112286647775724, 0.19709432058220583],
      [0.008178134460656314, 0.2207354015229619],
      [0.018477023791270378, 0.2132345836261692],
    ],
    [0, 100, [0, 0.0247452700152699], [0, 0.03621669264517642], [0, 0.03699349820698568]],
    [5, 5, [0.6206228577009606, 1], [0.4781762498950185, 1], [0.5655175352168251, 1]],
    [
      50,
      1000,
      [0.03777013225427479, 0.06482845573314777],
      [0.03733539760466177, 0.06539048791549365],
      [0.03813026239274881, 0.06531382024425081],
    ],
  ] as const;

  it.each(cases)('of %i of %i agree with mpmath and scipy', (k, n, jeffreys, clopper, wilson) => {
    for (const [actual, expected] of [
      [jeffreysInterval(k, n), jeffreys],
      [clopperPearsonInterval(k, n), clopper],
      [wilsonInterval(k, n), wilson],
    ] as const) {
      close(actual.low, expected[0]);
      close(actual.high, expected[1]);
    }
  });

  it('contain the rate, stay in 0…1 and mirror', () => {
    const counts = fc
      .integer({ min: 1, max: 5000 })
      .chain((n) => fc.tuple(fc.integer({ min: 0, max: n }), fc.constant(n)));
    fc.assert(
      fc.property(
        counts,
        fc.constantFrom(jeffreysInterval, clopperPearsonInterval, wilsonInterval),
        ([k, n], interval) => {
          const { low, high } = interval(k, n);
          expect(low).toBeGreaterThanOrEqual(0);
          expect(low).toBeLessThanOrEqual(k / n);
          expect(high).toBeGreaterThanOrEqual(k / n);
          expect(high).toBeLessThanOrEqual(1);
          const mirrored = interval(n - k, n);
          expect(Math.abs(1 - mirrored.high - low)).toBeLessThan(1e-9);
        },
      ),
    );
  });

  it('say nothing without a run and refuse counts that can not be', () => {
    expect(jeffreysInterval(0, 0)).toEqual({ low: 0, high: 1 });
    expect(() => jeffreysInterval(2, 1)).toThrow(expect.objectContaining({ code: 'DB_BAD_COUNTS' }) as Error);
    expect(() => wilsonInterval(-1, 1)).toThrow(expect.objectContaining({ code: 'DB_BAD_COUNTS' }) as Error);
  });

  it('rest on the normal quantile', () => {
    close(normalQuantile(0.975), 1.9599639845400543, 1e-12);
    close(normalQuantile(1e-10), -6.361340902404056, 1e-12);
  });
});

describe('studentQuantile', () => {
  it.each([
    // mpmath: the root of the incomplete beta function
    [1, 12.706204736174705],
    [5, 2.5705818356363155],
    [10, 2.228138851986275],
    [30, 2.042272456301238],
  ])('with %d degrees of freedom agrees with mpmath', (freedom, expected) => {
    close(studentQuantile(0.95, freedom), expected, 1e-9);
  });
});

describe('intervalDispersion', () => {
  it('widens by the square of Student over normal, by how much of it is estimated', () => {
    // Quantiles of scipy 1 (stats.t.ppf(0.975, ν)), ν by hand: (m + 4) / (((φ − 1)/φ)² · 9), rounded down. The normal quantile
    // is 1.959963984540054.
    // φ = 2 of 6 clusters: 10 / (0.25 · 9) = 4.4; φ = 3 of 31: 35 / (4/9 · 9) = 8.75.
    close(intervalDispersion(2, 6), 2 * (2.7764451051977934 / 1.959963984540054) ** 2, 1e-9);
    close(intervalDispersion(3, 31), 3 * (2.306004135204166 / 1.959963984540054) ** 2, 1e-9);
    expect(intervalDispersion(2, 1_000_000)).toBe(2);
  });

  it('is as it was without an estimate: one cluster, or no more spread than independent attempts', () => {
    expect(intervalDispersion(1.5, 1)).toBe(1.5);
    expect(intervalDispersion(1.5, 0)).toBe(1.5);
    expect(intervalDispersion(1, 30)).toBe(1);
  });
});

describe('dispersionOf', () => {
  it("is Pearson's χ² with five clusters of belief in 1.5", () => {
    // χ² = 12.425595238095236, by numpy; (χ² + 1.5 · 5) ÷ (3 + 5)
    const clusters = [
      { failures: 2, attempts: 10 },
      { failures: 0, attempts: 10 },
      { failures: 5, attempts: 10 },
      { failures: 1, attempts: 20 },
    ];
    close(dispersionOf(clusters), 2.490699404761904, 1e-12);
    close(dispersionOf([...clusters].reverse()), 2.490699404761904, 1e-12);
  });

  it('is never below 1 and is the belief where nothing varies', () => {
    expect(dispersionOf([])).toBe(1.5);
    expect(
      dispersionOf([
        { failures: 0, attempts: 50 },
        { failures: 0, attempts: 50 },
      ]),
    ).toBe(1.5);
    expect(dispersionOf(Array.from({ length: 100 }, () => ({ failures: 1, attempts: 10 })))).toBe(1);
  });
});

describe('fitPrior', () => {
  it('finds the likeliest prior as scipy does', () => {
    const groups = [
      [0, 30, 900],
      [1, 30, 60],
      [2, 30, 20],
      [5, 40, 10],
      [15, 30, 10],
    ] as const;
    const counts = groups.flatMap(([k, n, times]) => Array.from({ length: times }, () => ({ k, n })));
    const prior = fitPrior(counts);
    // Nelder–Mead of scipy.optimize: (0.05073963, 4.92674681), −1145.182114552561
    close(prior.alpha, 0.05073963, 1e-5);
    close(prior.beta, 4.92674681, 1e-5);
    close(logMarginal(counts, prior), -1145.182114552561, 1e-9);
  });

  it('keeps the default when there is too little to see', () => {
    expect(fitPrior([{ k: 1, n: 30 }])).toBe(DEFAULT_PRIOR);
    expect(fitPrior(Array.from({ length: 600 }, () => ({ k: 0, n: 30 })))).toBe(DEFAULT_PRIOR);
  });
});

describe('oddsCaused', () => {
  it('agrees with the closed form in mpmath', () => {
    const odds = (m: number, s: number, k: number, n: number) => oddsCaused({ failed: m, passed: s }, { k, n }, 0.002);
    close(odds(1, 0, 0, 30), 1.2444889779559118);
    close(odds(2, 0, 0, 30), 37.98654451760664);
    close(odds(1, 0, 2, 30), 0.03035338970624175);
    close(odds(1, 1, 0, 30), 0.16083012799793134);
    close(odds(3, 0, 6, 300), 160.8388067026324);
  });

  it('agrees with the integral in mpmath where attempts of one commit are alike', () => {
    close(oddsCaused({ failed: 2, passed: 0 }, { k: 0, n: 200 }, 0.002, DEFAULT_PRIOR, 0.055), 134.50164269058564);
    close(oddsCaused({ failed: 3, passed: 1 }, { k: 2, n: 30 }, 0.002, DEFAULT_PRIOR, 0.1), 0.03571769290245584);
  });

  it('takes a second failure for less, the more alike attempts are, and one attempt as it is', () => {
    const alike = [0, 1e-9, 0.02, 0.1, 0.5];
    const odds = (failed: number) =>
      alike.map((rho) => oddsCaused({ failed, passed: 0 }, { k: 1, n: 60 }, 0.002, DEFAULT_PRIOR, rho));
    const twice = odds(2);
    expect(twice).toEqual([...twice].sort((left, right) => right - left));
    close(twice[1] ?? NaN, twice[0] ?? NaN, 1e-6);
    for (const once of odds(1)) close(once, odds(1)[0] ?? NaN, 1e-12);
  });
});

describe('findChangepoints', () => {
  const history = (...parts: readonly (readonly [number, number])[]): CommitCounts[] =>
    parts
      .flatMap(([commits, every]) =>
        Array.from({ length: commits }, (_, index) => ({
          failed: every > 0 && index % every === 0 ? 1 : 0,
          attempts: 1,
        })),
      )
      .map((counts, index) => ({ commit: `c${index}`, ...counts }));

  it('finds the best of all places, though it tries only those where the share changes', () => {
    const commit = fc.tuple(fc.nat(3), fc.integer({ min: 1, max: 3 })).map(([failed, attempts]) => ({
      commit: 'c',
      failed: Math.min(failed, attempts),
      attempts,
    }));
    const stretch = fc.tuple(fc.array(commit, { minLength: 1, maxLength: 4 }), fc.integer({ min: 1, max: 12 }));
    const stretches = fc.array(stretch, { minLength: 1, maxLength: 5 });
    fc.assert(
      fc.property(stretches, fc.constantFrom(1, 1.7), (parts, dispersion) => {
        const commits = parts.flatMap(([some, times]) => Array.from({ length: times }, () => some).flat());
        const sums = commits.reduce<number[]>(
          (all, { failed, attempts }) => [...all, (all.at(-1) ?? 0) + failed / attempts],
          [0],
        );
        const best = [[0.3, 0.5, 1e-4] as const, [0.1, 0.5, 1e-3] as const].map(([alpha, beta, chance]) => {
          const part = (low: number, high: number): number =>
            logMarginalOf(((sums[high] ?? 0) - (sums[low] ?? 0)) / dispersion, (high - low) / dispersion, alpha, beta);
          const gains = commits.slice(1).map((_, at) => part(0, at + 1) + part(at + 1, sums.length - 1));
          return Math.max(...gains, -Infinity) - part(0, sums.length - 1) + Math.log(chance);
        });
        // Where rounding decides, either answer will do.
        fc.pre(best.every((gain) => Math.abs(gain) > 1e-6));
        expect(findChangepoints(commits, dispersion).length > 0).toBe(best.some((gain) => gain > 0));
      }),
      { numRuns: 300 },
    );
  });

  it('uses the likelihood of LUCI', () => {
    close(logMarginalOf(3, 20, 0.3, 0.5), -10.180380050643771);
    const [change] = findChangepoints([...history([100, 0]), ...history([30, 3])]);
    close(change!.logGain, 14.794957780481527);
  });

  it('finds where a test began to fail, with a range that holds the commit', () => {
    const [change, ...others] = findChangepoints(history([100, 0], [40, 2]));
    expect(others).toEqual([]);
    expect(change).toMatchObject({ index: 100, certainty: 'named', before: { rate: 0, commits: 100 } });
    expect(change!.after.rate).toBeCloseTo(0.5);
    expect(change!.range[0]).toBeLessThanOrEqual(100);
    expect(change!.range[1]).toBeGreaterThanOrEqual(100);
  });

  it('finds the repair too', () => {
    const changes = findChangepoints(history([60, 0], [30, 1], [60, 0]));
    expect(changes.map(({ index }) => index)).toEqual([60, 90]);
  });

  it('takes many attempts of one commit for one witness', () => {
    const reruns = history([100, 0], [2, 1]).map((commit, index) =>
      index < 100 ? commit : { ...commit, failed: 50, attempts: 50 },
    );
    const single = history([100, 0], [2, 1]);
    expect(findChangepoints(reruns).map(({ logGain }) => logGain)).toEqual(
      findChangepoints(single).map(({ logGain }) => logGain),
    );
  });

  it('keeps quiet on a steady rate, a clean and an empty history', () => {
    expect(findChangepoints(history([300, 10]))).toEqual([]);
    expect(findChangepoints(history([300, 0]))).toEqual([]);
    expect(findChangepoints([])).toEqual([]);
  });

  it('widens the range by commits that were not tested', () => {
    const commits = history([30, 0], [10, 1]).map((commit, index) => ({
      ...commit,
      position: index < 30 ? index : index + 500,
    }));
    expect(findChangepoints(commits)[0]!.range).toEqual([30, 30]);
  });
});

describe('durations', () => {
  it('agree with scipy.stats.mannwhitneyu', () => {
    const first = [1.1, 2.2, 2.2, 3.5, 4.0, 5.1, 6.3, 7.7, 8.8, 9.9];
    const second = [5.0, 6.1, 7.2, 8.8, 9.9, 10.1, 11.0, 12.5, 13.1, 14.2];
    const { u, p } = mannWhitney(first, second);
    expect(u).toBe(86);
    close(p, 0.003609388947230073);
    expect(mannWhitney([1, 1], [1, 1]).p).toBe(1);
    expect(mannWhitney([], [1]).p).toBe(1);
  });

  it('flag a test that takes much longer, and not one that takes little longer or is short', () => {
    const steady = Array.from({ length: 30 }, (_, index) => 20_000 + index * 50);
    const last = (factor: number) => steady.slice(0, 10).map((value) => value * factor);
    expect(durationRegression([...steady, ...last(2)])).toMatchObject({
      slower: true,
      samplesBefore: 30,
      samplesNow: 10,
    });
    expect(durationRegression([...steady, ...last(1.1)])?.slower).toBe(false);
    expect(durationRegression([...steady, ...last(2)].map((value) => value / 100))?.slower).toBe(false);
    expect(durationRegression(steady.slice(0, 15))).toBeUndefined();
  });
});
