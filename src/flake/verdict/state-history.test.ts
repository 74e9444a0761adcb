import { describe, expect, it } from 'vitest';

import { stateByHistory } from './state-history.js';

const DAY = 86_400_000;

/** One letter a run, four runs and one commit a day: P, F; R is a failure and a passing rerun of it. */
function history(letters: string, pullRequest?: number) {
  return Array.from(letters).flatMap((letter, index) =>
    (letter === 'R' ? (['failed', 'passed'] as const) : ([letter === 'F' ? 'failed' : 'passed'] as const)).map(
      (status) => ({
        startedAtMs: Date.UTC(2026, 0, 1) + Math.floor((index * DAY) / 4),
        status,
        commit: `c${Math.floor(index / 4)}`,
        runUid: `r${index}`,
        pullRequest,
      }),
    ),
  );
}

describe('stateByHistory', () => {
  it('is healthy without runs and without failures, and suspects after one', () => {
    expect(stateByHistory([])).toEqual({ state: 'healthy' });
    expect(stateByHistory(history('P'.repeat(40)))).toEqual({ state: 'healthy' });
    expect(stateByHistory(history(`${'P'.repeat(36)}PFPP`))).toMatchObject({ state: 'suspected', since: '2026-01-10' });
  });

  it('is flaky from the second mixed commit on, through a good week, and healthy after its rate would have shown', () => {
    const flaky = `${'P'.repeat(20)}RPPPRPPPRPPP`;
    expect(stateByHistory(history(flaky))).toEqual({ state: 'flaky', since: '2026-01-07' });
    expect(stateByHistory(history(flaky + 'P'.repeat(28)))).toMatchObject({ state: 'flaky' });
    expect(stateByHistory(history(flaky + 'P'.repeat(400)))).toMatchObject({ state: 'healthy' });
  });

  it('is broken by three commits that only fail, and then watched before it is trusted', () => {
    const broken = 'P'.repeat(40) + 'F'.repeat(12);
    expect(stateByHistory(history(broken))).toEqual({ state: 'broken', since: '2026-01-13' });
    expect(stateByHistory(history(`${broken}PPPP`)).state).not.toBe('healthy');
  });

  it('does not hold failures of pull requests against a test that the default branch runs', () => {
    const base = history('P'.repeat(40));
    expect(stateByHistory([...base, ...history('F'.repeat(12), 7)])).toEqual({ state: 'healthy' });
    expect(stateByHistory(history('F'.repeat(12), 7)).state).toBe('broken');
  });

  it('takes both outcomes on one commit of a pull request for the proof they are', () => {
    const base = history('PPPFPPPPPPPFPPPPPPPPPPPPPPPPPPPF').map((row, index) => ({ ...row, commit: `base${index}` }));
    expect(stateByHistory(base).state).toBe('suspected');
    expect(
      stateByHistory([...base, ...history('PPPPRPPPRPPP', 7)].sort((a, b) => a.startedAtMs - b.startedAtMs)).state,
    ).toBe('flaky');
  });
});
