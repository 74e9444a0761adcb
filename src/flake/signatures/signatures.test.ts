import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { areNearDuplicates, clusterSignatures, distanceAtLeast, editDistance, gramCounts } from './clusters.js';
import { isGeneric, normaliseFailure, signatureOf } from './normalise.js';

describe('normaliseFailure', () => {
  it.each([
    ['pod coredns-5dd5756b68-x7wbq is not ready', 'pod coredns-<pod> is not ready'],
    ['dial tcp 192.168.49.2:8443: connect: connection refused', 'dial tcp <ip>: connect: connection refused'],
    ['helpers_test.go:231: took 1m3.5s, 1234 bytes', 'helpers_test.go:<line>: took <dur>, <size>'],
    ['2026-01-02T03:04:05.678Z id 123e4567-e89b-12d3-a456-426614174000', '<time> id <uuid>'],
    ['open /tmp/TestX123/001/a.txt: no such file', 'open <tmp>: no such file'],
    ['goroutine 4711 [running]: 0xc000123456', 'goroutine <n> [running]: <hex>'],
    ['profile addons-123456 exists', 'profile addons-<n> exists'],
    ['exit status 137', 'exit status 137'],
    ['HTTP 503 from v1.36.3 after 2 tries', 'HTTP 503 from v1.36.3 after 2 tries'],
    ['\u001b[31mred\u001b[0m', 'red'],
  ])('makes %j to %j', (text, expected) => {
    expect(normaliseFailure(text)).toBe(expected);
  });

  it('replaces names of the run exactly', () => {
    expect(normaliseFailure('cluster blue in blueprint', { runNames: ['cluster blue'] })).toBe('<name> in blueprint');
  });

  it('changes nothing the second time', () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 300 }), (text) => {
        const once = normaliseFailure(text);
        expect(normaliseFailure(once)).toBe(once);
      }),
    );
  });
});

describe('signatureOf', () => {
  it('gives failures that differ in ids one key, and different exit codes two', () => {
    const key = (message: string) => signatureOf({ message }).key;
    expect(key('pod web-7d9f8c6b5-abcde lost after 12.3s')).toBe(key('pod web-7d9f8c6b5-abcde lost after 45.6s'));
    expect(key('exit status 1')).not.toBe(key('exit status 137'));
    expect(key('x')).toMatch(/^[0-9a-f]{16}$/);
  });

  it('calls messages weak that name no cause', () => {
    for (const message of [
      '',
      'exit status 1',
      'context deadline exceeded',
      'signal: killed',
      'FAIL',
      'test timed out after 10m0s',
    ]) {
      expect(signatureOf({ message }).weak, message).toBe(true);
    }
    expect(isGeneric('context deadline exceeded while pulling busybox')).toBe(false);
  });
});

describe('clusters', () => {
  it('bound the edit distance from below and measure it within the limit', () => {
    const text = fc.string({ unit: fc.constantFrom('a', 'b', 'c', ' '), maxLength: 40 });
    fc.assert(
      fc.property(text, text, (left, right) => {
        const exact = editDistance(left, right, 100)!;
        expect(distanceAtLeast(gramCounts(left), gramCounts(right))).toBeLessThanOrEqual(exact);
        expect(editDistance(right, left, 100)).toBe(exact);
        expect(editDistance(left, right, exact)).toBe(exact);
        expect(editDistance(left, right, exact - 1)).toBeUndefined();
      }),
    );
  });

  it('know the distance of kitten and sitting', () => {
    expect(editDistance('kitten', 'sitting', 10)).toBe(3);
  });

  it('put near texts together and keep the founder when members come', () => {
    const base = 'timed out waiting for deployment web in namespace default to become available: 0 of 1 ready';
    const near = base.replace('web', 'api');
    expect(areNearDuplicates(base, near)).toBe(true);
    expect(areNearDuplicates(base, 'connection refused')).toBe(false);
    const clusters = clusterSignatures([
      { key: '1', text: base },
      { key: '2', text: 'connection refused' },
      { key: '3', text: near },
    ]);
    expect([...clusters]).toEqual([
      ['1', '1'],
      ['2', '2'],
      ['3', '1'],
    ]);
  });
});
