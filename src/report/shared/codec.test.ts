import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { decodeSeptets, decodeUnits, encodeSeptets, encodeUnits } from './codec.js';

const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString('utf16le');

describe('bytes as UTF-16 units', () => {
  it('gives back any bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), (bytes) => {
        expect(decodeUnits(text(encodeUnits(bytes)), bytes.length)).toEqual(bytes);
      }),
    );
  });

  it('gives back every pair of bytes', () => {
    const bytes = new Uint8Array(0x20000);
    for (let unit = 0; unit < 0x10000; unit += 1) {
      bytes[unit * 2] = unit & 0xff;
      bytes[unit * 2 + 1] = unit >> 8;
    }
    expect(Buffer.from(decodeUnits(text(encodeUnits(bytes)), bytes.length)).equals(Buffer.from(bytes))).toBe(true);
  });

  it('is a string literal of JavaScript as it stands, without half surrogate pairs', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), (bytes) => {
        const encoded = text(encodeUnits(bytes));
        // eslint-disable-next-line no-control-regex -- what must not be there
        expect(encoded).not.toMatch(/[\u0000-\u001f"\\\u007f-\u009f\u2028\u2029\ud800-\udfff\ufeff\ufffd-\uffff]/);
        expect(JSON.parse(`"${encoded}"`)).toBe(encoded);
      }),
    );
  });

  it('takes about 3 % more than the bytes when they look random', () => {
    const bytes = new Uint8Array(100_000);
    for (let index = 0, state = 1; index < bytes.length; index += 1) {
      state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
      bytes[index] = state >>> 16;
    }
    expect(encodeUnits(bytes).length / bytes.length).toBeLessThan(1.05);
  });
});

describe('bytes as characters of seven bits', () => {
  it('gives back any bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), (bytes) => {
        expect(decodeSeptets(encodeSeptets(bytes), bytes.length)).toEqual(bytes);
      }),
    );
  });

  it('holds nothing that a parser of HTML changes or ends a script at', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), (bytes) => {
        expect(encodeSeptets(bytes)).not.toMatch(/[\0\r<]/);
      }),
    );
  });
});
