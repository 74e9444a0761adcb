import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { buildBloom, mayContain } from './bloom.js';

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

describe('the filter of a chunk', () => {
  it('never rules out a text that is there', () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 200 }), fc.nat(200), fc.nat(20), (text, start, length) => {
        const part = Array.from(text)
          .slice(start, start + length)
          .join('');
        expect(mayContain(buildBloom(bytes(text)), bytes(part))).toBe(true);
      }),
    );
  });

  it('rules out most words that are not there', () => {
    const field = buildBloom(bytes('kubelet started container with image registry.k8s.io/pause '.repeat(50)));
    const absent = ['oomkilled', 'deadline exceeded', 'segmentation', 'checkout', 'etcdserver'];
    expect(absent.filter((word) => mayContain(field, bytes(word)))).toEqual([]);
  });

  it('is small for little text', () => {
    expect(buildBloom(bytes('a few words')).length).toBe(32);
  });

  it('can not rule out digits, which it leaves out', () => {
    expect(mayContain(buildBloom(bytes('')), bytes('12345'))).toBe(true);
  });
});
