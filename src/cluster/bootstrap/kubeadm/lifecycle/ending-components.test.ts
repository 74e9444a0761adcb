import { describe, expect, it } from 'vitest';

import { MkCiError } from '../../../../errors.js';
import { createComponentCheck, endingComponents } from './ending-components.js';

const pods = (...restarts: number[]) => ({
  items: [
    {},
    ...restarts.map((restartCount, index) => ({
      status: { containerStatuses: [{ name: `c${index}`, restartCount }] },
    })),
  ],
});

/** A check with a clock of its own, and how often it has asked. */
function createCheck(answer: () => { readonly status: number; readonly body: string }) {
  const seen = { ms: 0, requests: 0 };
  const request = async () => {
    seen.requests += 1;
    return await Promise.resolve({ ...answer(), headers: {} });
  };
  const check = createComponentCheck({ request }, new AbortController().signal, () => seen.ms);
  return { seen, check };
}

describe('createComponentCheck', () => {
  it('asks every five seconds, and not before', async () => {
    const { seen, check } = createCheck(() => ({ status: 200, body: JSON.stringify(pods(3)) }));
    for (const ms of [0, 4999, 5000, 5001, 9999, 10_000, 149_000, 150_000, 400_000]) {
      seen.ms = ms;
      await check();
    }
    expect(seen.requests).toBe(3);
  });

  it('names a component that ends again and again', async () => {
    const { seen, check } = createCheck(() => ({ status: 200, body: JSON.stringify(pods(0, 4)) }));
    seen.ms = 5000;
    await expect(check()).rejects.toThrow(expect.objectContaining({ code: 'K8S_COMPONENT_FAILED' }) as Error);
    expect(endingComponents(pods(0, 4, 5))).toEqual(['c1', 'c2']);
  });

  it('tells it to all that wait, also when its time is over', async () => {
    const { seen, check } = createCheck(() => ({ status: 200, body: JSON.stringify(pods(4)) }));
    for (const ms of [149_000, 149_001, 151_000]) {
      seen.ms = ms;
      await expect(check()).rejects.toThrow('c0 ends again and again');
    }
    expect(seen.requests).toBe(1);
  });

  it('does not mind an API server that does not answer, or says no', async () => {
    const answers = [
      () => ({ status: 403, body: '' }),
      () => {
        throw new MkCiError('NET_UNREACHABLE', { message: 'no' });
      },
    ];
    for (const answer of answers) {
      const { seen, check } = createCheck(answer);
      seen.ms = 5000;
      await check();
      expect(seen.requests).toBe(1);
    }
  });
});
