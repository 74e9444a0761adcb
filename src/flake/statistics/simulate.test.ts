import { describe, expect, it } from 'vitest';

import { createRandom } from './random.js';
import { coverageOf, falseChanges, scoreChanges, scoreVerdicts } from './simulate.js';

// Small and seeded: the same numbers on every host. The large table is that of bench/simulate.ts.
const month = { days: 30, runsADay: 10 };

describe('on histories whose truth is known', () => {
  it.each([
    ['steady', undefined],
    ['in bursts', { share: 0.1, factor: 4 }],
  ])('the interval holds the true rate in 93 to 97 of 100: %s', (_name, bursts) => {
    const random = createRandom(7);
    const total = { hits: 0, of: 0 };
    for (const rate of [0.02, 0.05, 0.1]) {
      const scenario = { name: '', rate, ...month, ...(bursts === undefined ? {} : { bursts }) };
      const { hits, of } = coverageOf(scenario, 250, random);
      total.hits += hits;
      total.of += of;
    }
    expect(total.hits / total.of).toBeGreaterThan(0.93);
    expect(total.hits / total.of).toBeLessThan(0.98);
  });

  it('at most 1 % of accusations and of excuses are wrong', () => {
    const rates = [...Array.from({ length: 90 }, () => 0), 0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.8];
    const score = scoreVerdicts({ rates, ...month, breaks: 0.01, pullRequests: 20_000, reruns: 1 }, createRandom(3));
    expect(score.accused).toBeGreaterThan(100);
    expect(score.excused).toBeGreaterThan(100);
    expect(score.wronglyAccused / score.accused).toBeLessThanOrEqual(0.01);
    expect(score.wronglyExcused / score.excused).toBeLessThanOrEqual(0.01);
  });

  it('at most 1 % of accusations are wrong where nothing is run again', () => {
    const rates = [
      ...Array.from({ length: 90 }, () => 0),
      0.0005,
      0.001,
      0.002,
      0.005,
      0.01,
      0.02,
      0.05,
      0.1,
      0.3,
      0.5,
    ];
    const scenario = { rates, days: 30, breaks: 0.002, pullRequests: 60_000, reruns: 0, fittedTo: 600 };
    const often = scoreVerdicts({ ...scenario, runsADay: 120 }, createRandom(1));
    expect(often.accused).toBeGreaterThan(50);
    expect(often.wronglyAccused / often.accused).toBeLessThanOrEqual(0.01);
    // 300 clean attempts are too few for one failure: a rerun is asked for.
    expect(scoreVerdicts({ ...scenario, runsADay: 10 }, createRandom(1))).toMatchObject({ wronglyAccused: 0 });
  });

  it('a single failure is never an accusation against a short history', () => {
    const scenario = { rates: [0, 0.05], days: 5, runsADay: 4, breaks: 0.2, pullRequests: 500, reruns: 0 };
    expect(scoreVerdicts(scenario, createRandom(5))).toMatchObject({ accused: 0, wronglyAccused: 0 });
  });

  it('a break is found within three commits, and nothing is found where nothing changed', () => {
    const random = createRandom(11);
    const broken = scoreChanges({ before: [100, 0.02], after: [10, 1], attemptsACommit: 1 }, 60, random);
    expect(broken.near / broken.histories).toBeGreaterThanOrEqual(0.9);
    expect(broken.inRange).toBe(broken.found);
    const bursts = { share: 0.1, factor: 4 };
    const noise = [0, 0.02, 0.1, 0.3].map(
      (rate) => falseChanges({ name: '', rate, ...month, bursts }, 10, random).hits,
    );
    expect(noise).toEqual([0, 0, 0, 0]);
  });
});
