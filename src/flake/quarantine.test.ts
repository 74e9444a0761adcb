import { describe, expect, it } from 'vitest';

import { isQuarantined, lintQuarantine, matchesPattern, parseQuarantine, resolveAlias } from './quarantine.js';

const file = parseQuarantine(`
quarantine:
  - { test: TestTunnel/*, environment: docker-*, issue: https://host/o/r/issues/1, owner: '@a', until: '2026-01-31' }
  - { test: TestOld, issue: https://host/o/r/issues/2, owner: '@b', until: '2025-12-31' }
aliases: { TestA: TestB, TestB: TestC }
`);

describe('quarantine', () => {
  it('holds a test through its last day, in its environments', () => {
    const at = { test: 'TestTunnel/serial', environment: 'docker-crio', today: '2026-01-31' };
    expect(isQuarantined(file, at)).toBe(true);
    expect(isQuarantined(file, { ...at, today: '2026-02-01' })).toBe(false);
    expect(isQuarantined(file, { ...at, environment: 'qemu' })).toBe(false);
  });

  it('reports expired and double entries and circular aliases', () => {
    expect(lintQuarantine(file, '2026-01-01')).toEqual([
      'TestOld in *: expired on 2025-12-31 (@b, https://host/o/r/issues/2)',
    ]);
    expect(
      lintQuarantine({ quarantine: [], owners: [], aliases: { a: 'b', b: 'a', c: 'c' } }, '2026-01-01'),
    ).toHaveLength(3);
    expect(resolveAlias('TestA', file.aliases)).toBe('TestC');
  });

  it('names every problem of the file at once', () => {
    expect(() => parseQuarantine('quarantine: [{ test: T, untill: x }]')).toThrow(
      expect.objectContaining({
        code: 'CFG_INVALID',
        details: { problems: expect.arrayContaining([expect.stringContaining('quarantine.0.issue')]) as unknown },
      }) as Error,
    );
    expect(parseQuarantine('')).toEqual({ quarantine: [], owners: [], aliases: {} });
  });

  it('takes only the star for a pattern', () => {
    expect(matchesPattern('Test(a)*', 'Test(a)/b')).toBe(true);
    expect(matchesPattern('Test.', 'TestX')).toBe(false);
  });
});
