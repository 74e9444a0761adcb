import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { parseConfig } from './load.js';
import { renderStarterConfig } from './starter.js';

describe('renderStarterConfig', () => {
  it('gives a valid configuration for every kind of project', () => {
    const facts = fc.record({
      hasGoModule: fc.boolean(),
      javascriptRunners: fc.subarray(['vitest', 'jest', 'playwright'] as const),
      hasPython: fc.boolean(),
    });
    fc.assert(
      fc.property(facts, (project) => {
        expect(parseConfig(renderStarterConfig(project), '/mk-ci.yaml').suites.length).toBeGreaterThan(0);
      }),
    );
  });

  it('names a suite for each tool it knows', () => {
    const text = renderStarterConfig({ hasGoModule: true, javascriptRunners: ['vitest'], hasPython: true });
    expect(parseConfig(text, '/mk-ci.yaml').suites.map(({ name }) => name)).toEqual(['go', 'vitest', 'pytest']);
  });
});
