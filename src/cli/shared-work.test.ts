import { describe, expect, it } from 'vitest';

import { createSharedWork } from './shared-work.js';

describe('work that is shared', () => {
  const { signal } = new AbortController();

  it('is begun once for each key, also when it fails', async () => {
    const share = createSharedWork<string>();
    const begun: string[] = [];
    const begin = (key: string) => async (): Promise<string> => {
      begun.push(key);
      if (key === 'bad') throw new Error('no luck');
      return `made ${key}`;
    };
    expect(await Promise.all(['a', 'b', 'a'].map((key) => share(key, begin(key), signal)))).toEqual([
      'made a',
      'made b',
      'made a',
    ]);
    await expect(share('bad', begin('bad'), signal)).rejects.toThrow('no luck');
    await expect(share('bad', begin('bad'), signal)).rejects.toThrow('no luck');
    expect(begun).toEqual(['a', 'b', 'bad']);
  });

  it('goes on when one of those that wait has no more time, who hears it at once', async () => {
    const share = createSharedWork<string>();
    let end: (text: string) => void = () => undefined;
    const work = new Promise<string>((resolve) => (end = resolve));
    const impatient = new AbortController();
    const first = share('a', async () => await work, impatient.signal);
    const second = share('a', async () => 'another one', signal);
    impatient.abort(new Error('the deadline passed'));
    await expect(first).rejects.toThrow('the deadline passed');
    await expect(share('a', async () => 'another one', impatient.signal)).rejects.toThrow('the deadline passed');
    end('made');
    expect(await second).toBe('made');
  });
});
