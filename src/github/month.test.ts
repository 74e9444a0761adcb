import { beforeAll, describe, expect, it } from 'vitest';

import { simulateMonth, type Month } from './testing/month.test-kit.js';

/** `npx tsx bench/github.ts` prints it as a table. */
describe('six weeks of a project', () => {
  let month: Month;
  beforeAll(async () => {
    month = await simulateMonth();
  }, 300_000);
  const linesOf = (text: string) => month.lines.filter(({ where }) => where.includes(text));
  const daysOf = (where: string, what: string) =>
    linesOf(where)
      .filter((line) => line.what.startsWith(what))
      .map(({ day }) => day);

  it('opens an issue for the flaky and the broken test, and for nothing else', () => {
    expect(month.issues.map(({ title }) => title).sort()).toEqual([
      'Frequent test failures of `TestBroken`',
      'Frequent test failures of `TestFlaky`',
    ]);
    expect(month.violations).toEqual([]);
  });

  it('opens the flaky one within a week, speaks at most weekly, and closes it two weeks after it was mended', () => {
    const [opened = 0] = daysOf('`TestFlaky`', 'open');
    const [closed = 0] = daysOf('`TestFlaky`', 'close');
    expect(opened).toBeGreaterThan(4);
    expect(opened).toBeLessThanOrEqual(11);
    expect(closed).toBeGreaterThanOrEqual(24 + 13);
    const spoken = linesOf('`TestFlaky`').map(({ day }) => day);
    expect(spoken.length).toBeLessThanOrEqual(6);
    for (const [index, day] of spoken.slice(1, -1).entries())
      expect(day - (spoken[index] ?? 0)).toBeGreaterThanOrEqual(7);
  });

  it('opens the broken one on the day it breaks, and closes it in the end', () => {
    expect(daysOf('`TestBroken`', 'open')).toEqual([13]);
    expect(month.issues.find(({ title }) => title.includes('TestBroken'))?.state).toBe('closed');
  });

  it('says nothing on pull requests that are green, and blames no flake on a change', () => {
    expect(month.comments.size).toBeLessThan(month.pullRequests / 2);
    const flakes = linesOf('PR #').filter(({ where }) => !where.includes('breaks'));
    for (const { what } of flakes) expect(what).not.toContain('caused by this change');
  });

  it('finds what a change breaks, and turns green when it is repaired', () => {
    const broken = linesOf('breaks TestSteady3');
    expect(broken).toHaveLength(9);
    const accused = broken.filter(({ what }) => what.includes('caused by this change'));
    // In the first days there is too little history to accuse anybody.
    expect(accused.length).toBeGreaterThanOrEqual(7);
    const repaired = linesOf('repaired');
    expect(repaired).toHaveLength(9);
    for (const { what } of repaired) expect(what).toMatch(/^update: (?:✅|🟡|.*(?:known flake|undecided))/u);
  });
});
