import { describe, expect, it } from 'vitest';

import { MkCiError } from '../errors.js';
import type { ApiAnswer, ApiClient } from './api-client.js';
import { waitForAnswer, waitForReadyz, type ReadinessOptions } from './readiness.js';

const options: ReadinessOptions = {
  signal: new AbortController().signal,
  deadlineMs: 15_000,
  check: async () => undefined,
};

/** Answers in turn; the last one again and again. */
function clientWith(answers: readonly (ApiAnswer | Error)[]): ApiClient & { readonly asked: string[] } {
  const asked: string[] = [];
  return {
    server: 'https://127.0.0.1:1',
    asked,
    request: async (_method, path) => {
      const answer = answers[Math.min(asked.push(path), answers.length) - 1];
      if (answer === undefined || answer instanceof Error) throw answer ?? new Error('nothing to say');
      return answer;
    },
    stream: () => {
      throw new Error('not used');
    },
    [Symbol.dispose]: () => undefined,
  };
}

const unreachable = new MkCiError('NET_UNREACHABLE', { message: 'no answer in 15000 ms' });

describe('waiting for an answer', () => {
  it('asks again when the server can not be reached or says no', async () => {
    const client = clientWith([unreachable, { status: 503, body: '[-]etcd failed' }, { status: 200, body: 'ok' }]);
    await waitForReadyz(client, options);
    expect(client.asked).toEqual(['/readyz', '/readyz', '/readyz']);
  });

  it('gives what the judge made of the awaited body', async () => {
    const client = clientWith([
      { status: 200, body: '1' },
      { status: 200, body: '2' },
    ]);
    const value = await waitForAnswer<string>(client, '/x', {
      ...options,
      what: 'two',
      intervalMs: 1,
      judge: (body) => (body === '2' ? { done: true, value: 'two' } : { done: false, seen: body }),
    });
    expect(value).toBe('two');
  });

  it('says what was seen last, and ends at another named error', async () => {
    const waiting = waitForReadyz(clientWith([unreachable]), { ...options, deadlineMs: 30 });
    await expect(waiting).rejects.toMatchObject({
      code: 'K8S_START_TIMEOUT',
      message: expect.stringContaining('no answer in 15000 ms') as string,
    });
    const ended = clientWith([new MkCiError('K8S_COMPONENT_FAILED', { message: 'etcd' })]);
    await expect(waitForReadyz(ended, options)).rejects.toMatchObject({ code: 'K8S_COMPONENT_FAILED' });
    expect(ended.asked).toHaveLength(1);
  });
});
