import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { BUNDLE_PARTS, PROGRAMS, programsOf } from './catalogue.js';
import { planBundle, type PlanInput } from './plan.js';

const base: PlanInput = {
  kubernetesVersion: 'v1.36.3',
  platform: { os: 'linux', arch: 'amd64' },
  parts: ['control-plane'],
  cached: { parts: [], programs: [] },
  finished: [],
  sources: ['release downloads', 'Go modules'],
};

describe('planBundle', () => {
  it('asks the sources for everything when the cache is empty', () => {
    const plan = planBundle(base);
    expect(plan.complete).toBe(false);
    expect(plan.programs.every(({ state }) => state === 'missing')).toBe(true);
    expect(plan.programs.find(({ name }) => name === 'etcd')?.version).toBe('v3.6.8');
    expect(plan.sources).toEqual(['release downloads', 'Go modules']);
  });

  it('asks nobody when the rest was finished earlier', () => {
    const names = programsOf(['control-plane']).map(({ name }) => name);
    const plan = planBundle({ ...base, finished: names });
    expect(plan.complete).toBe(false);
    expect(plan.sources).toEqual([]);
  });

  it('grows a bundle by a part and keeps the parts it has', () => {
    const names = programsOf(['control-plane']).map(({ name }) => name);
    const plan = planBundle({ ...base, parts: ['fake-nodes'], cached: { parts: ['control-plane'], programs: names } });
    expect(plan.parts).toEqual(['control-plane', 'fake-nodes']);
    expect(plan.programs.filter(({ state }) => state === 'missing').map(({ name }) => name)).toEqual(['kwok']);
  });

  it('is complete exactly when every program of the parts is in the bundle', () => {
    const parts = fc.subarray([...BUNDLE_PARTS], { minLength: 1 });
    const names = fc.subarray(PROGRAMS.map(({ name }) => name));
    fc.assert(
      fc.property(parts, parts, names, names, (wanted, cachedParts, programs, finished) => {
        const plan = planBundle({ ...base, parts: wanted, cached: { parts: cachedParts, programs }, finished });
        const needed = programsOf(plan.parts).map(({ name }) => name);
        expect(wanted.every((part) => plan.parts.includes(part))).toBe(true);
        expect(plan.complete).toBe(needed.every((name) => programs.includes(name)));
        expect(plan.programs.map(({ name }) => name)).toEqual(needed);
        const missing = plan.programs.some(({ state }) => state === 'missing');
        expect(plan.sources.length > 0).toBe(missing);
      }),
    );
  });
});
