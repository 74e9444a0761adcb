import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { joinParts, partText } from './page-parts.js';

const part = (prefix: string) =>
  fc
    .record({
      fields: fc.dictionary(fc.string(), fc.jsonValue(), { minKeys: 1 }),
      leftOut: fc.dictionary(fc.stringMatching(/^[a-zA-Z]+$/), fc.nat()),
    })
    .map(({ fields, leftOut }) => ({
      // Fields of two parts have other names.
      ...Object.fromEntries(Object.entries(fields).map(([name, value]) => [`${prefix}${name}`, value])),
      leftOut,
    }));

describe('parts of an answer', () => {
  it('are one object with the fields of all, whatever stands in them', () => {
    fc.assert(
      fc.property(part('a'), part('b'), (left, right) => {
        const joined: unknown = JSON.parse(joinParts([partText(left), partText(right)]));
        const leftOut = JSON.parse(JSON.stringify({ ...left.leftOut, ...right.leftOut })) as object;
        expect(joined).toEqual(JSON.parse(JSON.stringify({ ...left, ...right, leftOut })));
      }),
    );
  });

  it('are the answer itself when there is one', () => {
    expect(joinParts(['<svg/>\n'])).toBe('<svg/>\n');
  });
});
