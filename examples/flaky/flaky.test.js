import { createHash } from 'node:crypto';

import { describe, expect, it } from 'vitest';

/**
 * Fails with the given probability. `FLAKY_SEED` makes the draw repeatable; without it every run and every retry draws
 * anew, as a real flake does.
 */
function failsWith(probability, name) {
  const seed = process.env.FLAKY_SEED;
  const draw =
    seed === undefined
      ? Math.random()
      : parseInt(createHash('sha256').update(`${seed}/${name}`).digest('hex').slice(0, 8), 16) / 2 ** 32;
  if (draw < probability) throw new Error('connection reset by peer');
}

describe('a service', () => {
  it('always answers', () => {
    expect(1 + 1).toBe(2);
  });
  it('fails 1 time in 100', () => {
    failsWith(0.01, '1 in 100');
  });
  it('fails 1 time in 10', () => {
    failsWith(0.1, '1 in 10');
  });
  it('fails every other time', () => {
    failsWith(0.5, 'every other');
  });
  it.skip('is not there yet', () => undefined);
});

describe('a feature', () => {
  it('works until FLAKY_BROKEN=1 breaks it', () => {
    expect(process.env.FLAKY_BROKEN === '1' ? 500 : 200).toBe(200);
  });
});
