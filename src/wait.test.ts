import { describe, expect, it } from 'vitest';

import { MkCiError } from './errors.js';
import { waitFor } from './wait.js';

describe('waitFor', () => {
  it('returns the value of the first probe that is done', async () => {
    let probes = 0;
    const value = await waitFor(
      async () => {
        probes += 1;
        return probes === 3 ? { done: true, value: 'ready' } : { done: false, seen: '503' };
      },
      { what: 'the server', deadlineMs: 15_000, intervalMs: 1 },
    );
    expect([value, probes]).toEqual(['ready', 3]);
  });

  it('says what was awaited, for how long and what was seen last', async () => {
    const waiting = waitFor(async () => ({ done: false, seen: 'HTTP 503' }), {
      what: '/readyz of a',
      deadlineMs: 20,
      intervalMs: 5,
    });
    await expect(waiting).rejects.toMatchObject({
      code: 'K8S_START_TIMEOUT',
      message: expect.stringMatching(/waited \d+\.\d s for \/readyz of a; seen last: HTTP 503/) as string,
    });
  });

  it('goes on after a plain error and stops at a named one', async () => {
    let probes = 0;
    const waiting = waitFor(
      async () => {
        probes += 1;
        if (probes < 3) throw new Error('connect ECONNREFUSED');
        throw new MkCiError('K8S_COMPONENT_FAILED', { message: 'etcd' });
      },
      { what: 'etcd', deadlineMs: 15_000, intervalMs: 1 },
    );
    await expect(waiting).rejects.toMatchObject({ code: 'K8S_COMPONENT_FAILED' });
    expect(probes).toBe(3);
  });

  it('ends with the reason of the signal when aborted in between', async () => {
    const abort = new AbortController();
    const waiting = waitFor(
      async () => {
        abort.abort(new Error('enough'));
        return { done: false, seen: 'x' };
      },
      { what: 'nothing', deadlineMs: 10_000, signal: abort.signal },
    );
    await expect(waiting).rejects.toThrow('enough');
  });
});
