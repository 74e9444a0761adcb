import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { formatRoute, parseRoute, type Route } from './route.js';

const name = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 30 });
const lines = fc
  .tuple(fc.integer({ min: 1, max: 1e9 }), fc.integer({ min: 0, max: 1e6 }))
  .map(([from, more]) => ({ from, to: from + more }));
const route: fc.Arbitrary<Route> = fc.oneof(
  fc.record({
    kind: fc.constant('test' as const),
    test: fc.stringMatching(/^[0-9a-f]{12}$/),
    cell: name,
    attempt: fc.integer({ min: 1, max: 99 }),
    lines,
  }),
  fc.record({ kind: fc.constant('cell' as const), cell: name, attempt: fc.integer({ min: 1, max: 99 }), lines }),
  fc.record({ kind: fc.constant('cluster' as const), environment: name, title: name, lines }),
);

describe('addresses', () => {
  it('give back what they were made from', () => {
    fc.assert(
      fc.property(route, (one) => {
        expect(parseRoute(formatRoute(one))).toEqual(one);
      }),
    );
  });

  it('hold ranges of lines', () => {
    expect(parseRoute('#test/0123456789ab/local.e2e@2:L120-L138')).toEqual({
      kind: 'test',
      test: '0123456789ab',
      cell: 'local.e2e',
      attempt: 2,
      lines: { from: 120, to: 138 },
    });
    expect(parseRoute('#log/local.e2e:L9-L3')).toMatchObject({ lines: { from: 3, to: 9 }, attempt: 1 });
  });

  it.each(['', '#', '#nowhere', '#test/xyz/a', '#log/%E0%A4%A', '#test/0123456789ab'])(
    'mean nothing when they are %j',
    (hash) => {
      expect(parseRoute(hash)).toBeUndefined();
    },
  );

  it('never throw', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        parseRoute(`#${text}`);
      }),
    );
  });
});
