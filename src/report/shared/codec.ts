/**
 * Two ways to carry bytes in text, both decoded in the page.
 *
 * `units`: for chunk files. The file is a UTF-16LE script with a byte order mark, so each code unit of a string literal
 * carries two bytes; a byte order mark wins over any `charset` a server may send, and `file://` needs none. Units that a
 * string literal or a decoder would not carry unchanged (controls, quotes, line ends, surrogates …) are written as an
 * escape and a stand-in: 3 % on compressed data, where base64 takes 33 %.
 *
 * `septets`: for data inside the page, which is UTF-8 and stays ASCII but for three code points: seven bits a character,
 * where NUL, CR and `<` (the parser of HTML would change or end the text at them) are written as letters of Latin-1.
 * 17 % on compressed data, and the text stays one byte a character in memory.
 */

const ESCAPE = 0xe000;

/** Code units that can not stand for themselves, in the order of their stand-ins. */
const UNSAFE_UNITS: readonly number[] = [
  ...Array.from({ length: 0x20 }, (_, unit) => unit),
  0x22, // "
  0x5c, // \
  0x7f,
  ...Array.from({ length: 0x20 }, (_, index) => 0x80 + index),
  0x2028,
  0x2029,
  ...Array.from({ length: 0x800 }, (_, index) => 0xd800 + index),
  ESCAPE,
  0xfeff,
  0xfffd,
  0xfffe,
  0xffff,
];
const STAND_IN_BASE = 0x3400;

const STAND_IN = ((): Uint16Array => {
  const table = new Uint16Array(0x10000);
  UNSAFE_UNITS.forEach((unit, index) => {
    table[unit] = STAND_IN_BASE + index;
  });
  return table;
})();

/**
 * Bytes as UTF-16 code units in little-endian order, ready for a file: two bytes a unit, an odd last byte alone in its unit.
 *
 * @returns the encoded bytes; their meaning needs `bytes.length`, which goes beside them
 */
export function encodeUnits(bytes: Uint8Array): Uint8Array {
  const units = (bytes.length + 1) >> 1;
  let out = new Uint8Array(units * 2 + (units >> 3) + 64);
  let end = 0;
  for (let index = 0; index < units; index += 1) {
    const unit = (bytes[index * 2] ?? 0) | ((bytes[index * 2 + 1] ?? 0) << 8);
    if (end + 4 > out.length) {
      const larger = new Uint8Array(out.length * 2);
      larger.set(out);
      out = larger;
    }
    const standIn = STAND_IN[unit] ?? 0;
    if (standIn === 0) {
      out[end++] = unit & 0xff;
      out[end++] = unit >> 8;
    } else {
      out[end++] = ESCAPE & 0xff;
      out[end++] = ESCAPE >> 8;
      out[end++] = standIn & 0xff;
      out[end++] = standIn >> 8;
    }
  }
  return out.subarray(0, end);
}

/** Inverse of {@link encodeUnits}; `text` is the decoded string literal, `length` the number of bytes it stands for. */
export function decodeUnits(text: string, length: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(length + 1);
  let end = 0;
  for (let index = 0; index < text.length && end < length; index += 1) {
    let unit = text.charCodeAt(index);
    if (unit === ESCAPE) {
      index += 1;
      unit = UNSAFE_UNITS[text.charCodeAt(index) - STAND_IN_BASE] ?? 0;
    }
    bytes[end++] = unit & 0xff;
    bytes[end++] = unit >> 8;
  }
  return bytes.subarray(0, length);
}

const NUL_STAND_IN = 0xc0;
const CR_STAND_IN = 0xc1;
const LESS_STAND_IN = 0xc2;

/** Bytes as characters of seven bits, most significant bit first; safe inside a `<script>` data block. */
export function encodeSeptets(bytes: Uint8Array): string {
  const parts: string[] = [];
  let codes: number[] = [];
  let carry = 0;
  let bits = 0;
  const push = (septet: number): void => {
    codes.push(septet === 0 ? NUL_STAND_IN : septet === 13 ? CR_STAND_IN : septet === 60 ? LESS_STAND_IN : septet);
    if (codes.length === 8192) {
      parts.push(String.fromCharCode(...codes));
      codes = [];
    }
  };
  for (const byte of bytes) {
    carry = (carry << 8) | byte;
    bits += 8;
    while (bits >= 7) {
      bits -= 7;
      push((carry >> bits) & 0x7f);
    }
    carry &= (1 << bits) - 1;
  }
  if (bits > 0) push((carry << (7 - bits)) & 0x7f);
  parts.push(String.fromCharCode(...codes));
  return parts.join('');
}

/** Inverse of {@link encodeSeptets}. */
export function decodeSeptets(text: string, length: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(length);
  let end = 0;
  let carry = 0;
  let bits = 0;
  for (let index = 0; index < text.length && end < length; index += 1) {
    const code = text.charCodeAt(index);
    const septet = code < 0x80 ? code : code === NUL_STAND_IN ? 0 : code === CR_STAND_IN ? 13 : 60;
    carry = (carry << 7) | septet;
    bits += 7;
    if (bits >= 8) {
      bits -= 8;
      bytes[end++] = (carry >> bits) & 0xff;
      carry &= (1 << bits) - 1;
    }
  }
  return bytes;
}
