import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { writeBolt, type BoltBucket, type BoltValue } from './bolt.js';

/** Reads a bolt file as bbolt does, independent of the writer: follows pages, branches and inline buckets. */
function readBolt(file: Buffer): BoltBucket {
  const meta = file.subarray(4096 + 16);
  expect(meta.readUInt32LE(0)).toBe(0xed0cdaed);
  const readPage = (page: Buffer, entries: Record<string, BoltValue>): void => {
    const flags = page.readUInt16LE(8);
    const count = page.readUInt16LE(10);
    for (let index = 0; index < count; index += 1) {
      const at = 16 + index * 16;
      if (flags === 0x01) {
        readPage(file.subarray(Number(page.readBigUInt64LE(at + 8)) * 4096), entries);
        continue;
      }
      expect(flags).toBe(0x02);
      const data = at + page.readUInt32LE(at + 4);
      const keyBytes = page.readUInt32LE(at + 8);
      const key = page.toString('utf8', data, data + keyBytes);
      const value = page.subarray(data + keyBytes, data + keyBytes + page.readUInt32LE(at + 12));
      entries[key] = page.readUInt32LE(at) === 1 ? readBucket(value) : Buffer.from(value);
    }
  };
  const readBucket = (value: Buffer): BoltBucket => {
    const root = Number(value.readBigUInt64LE(0));
    const entries: Record<string, BoltValue> = {};
    readPage(root === 0 ? value.subarray(16) : file.subarray(root * 4096), entries);
    return { entries, sequence: Number(value.readBigUInt64LE(8)) };
  };
  return readBucket(meta.subarray(16, 32));
}

function withSequences(bucket: BoltBucket): BoltBucket {
  const entries = Object.entries(bucket.entries).map(
    ([key, value]) => [key, Buffer.isBuffer(value) ? value : withSequences(value)] as const,
  );
  return { entries: Object.fromEntries(entries), sequence: bucket.sequence ?? 0 };
}

const key = fc.stringMatching(/^[a-z0-9:/.-]{1,80}$/);
const bucketOf = (depth: number): fc.Arbitrary<BoltBucket> =>
  fc.record({
    sequence: fc.nat(1000),
    entries: fc.dictionary(
      key,
      depth === 0
        ? fc.uint8Array({ maxLength: 6000 }).map((bytes) => Buffer.from(bytes))
        : fc.oneof(
            fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes)),
            bucketOf(depth - 1),
          ),
      { maxKeys: 8, noNullPrototype: true },
    ),
  });

describe('writeBolt', () => {
  it('writes what a reader of the format reads back, whatever the sizes and the depth', () => {
    fc.assert(
      fc.property(bucketOf(2), (bucket) => {
        expect(readBolt(writeBolt(bucket))).toEqual(withSequences(bucket));
      }),
      { numRuns: 60 },
    );
  });

  it('builds a tree of branch pages for more keys than fit a page', () => {
    const entries = Object.fromEntries(
      Array.from({ length: 9000 }, (_, index) => [`key-${String(index).padStart(40, '0')}`, Buffer.from(`${index}`)]),
    );
    expect(readBolt(writeBolt({ entries })).entries).toEqual(entries);
  });

  it('gives the same bytes for the same content in another order', () => {
    const [a, b] = [Buffer.from('1'), Buffer.from('2')];
    expect(writeBolt({ entries: { a, b } }).equals(writeBolt({ entries: { b, a } }))).toBe(true);
  });

  it('ends each meta page with the sum that bbolt checks', () => {
    // FNV-1a of the 56 bytes before it, computed with another formula: multiplication by shifts.
    const file = writeBolt({ entries: {} });
    for (const page of [0, 1]) {
      const meta = file.subarray(page * 4096 + 16, page * 4096 + 16 + 64);
      let hash = 0xcbf29ce484222325n;
      for (const byte of meta.subarray(0, 56)) {
        hash ^= BigInt(byte);
        hash =
          (hash + (hash << 1n) + (hash << 4n) + (hash << 5n) + (hash << 7n) + (hash << 8n) + (hash << 40n)) &
          0xffffffffffffffffn;
      }
      expect(meta.readBigUInt64LE(56)).toBe(hash);
    }
  });
});
