import { isIPv4, isIPv6 } from 'node:net';

/**
 * The few DER encodings that an X.509 certificate needs (ITU-T X.690). Every function returns one complete
 * tag-length-value; constructed ones take their members already encoded.
 */

export type Der = Buffer;

export function tlv(tag: number, ...content: readonly Uint8Array[]): Der {
  const body = Buffer.concat(content);
  return Buffer.concat([Buffer.from([tag]), lengthOf(body.length), body]);
}

function lengthOf(bytes: number): Buffer {
  if (bytes < 0x80) return Buffer.from([bytes]);
  const digits: number[] = [];
  for (let rest = bytes; rest > 0; rest = Math.floor(rest / 256)) digits.unshift(rest % 256);
  return Buffer.from([0x80 | digits.length, ...digits]);
}

export const sequence = (...members: readonly Uint8Array[]): Der => tlv(0x30, ...members);
export const set = (...members: readonly Uint8Array[]): Der => tlv(0x31, ...members);
export const octetString = (bytes: Uint8Array): Der => tlv(0x04, bytes);
export const utf8String = (text: string): Der => tlv(0x0c, Buffer.from(text, 'utf8'));
export const boolean = (value: boolean): Der => tlv(0x01, Buffer.from([value ? 0xff : 0x00]));

/** Explicit context tag `[number]` around something encoded. */
export const explicit = (number: number, inner: Uint8Array): Der => tlv(0xa0 | number, inner);
/** Implicit primitive context tag `[number]` in place of the tag of a string. */
export const implicit = (number: number, bytes: Uint8Array): Der => tlv(0x80 | number, bytes);

/** A non-negative whole number, given big-endian; shortest form, with a zero byte in front where the top bit is set. */
export function integer(bytes: Uint8Array): Der {
  let start = 0;
  while (start < bytes.length - 1 && bytes[start] === 0) start += 1;
  const shortest = bytes.subarray(start);
  const first = shortest[0] ?? 0;
  return tlv(0x02, ...(shortest.length === 0 || first >= 0x80 ? [Buffer.from([0])] : []), shortest);
}

export const bitString = (bytes: Uint8Array, unusedBits = 0): Der => tlv(0x03, Buffer.from([unusedBits]), bytes);

/** Named bits, the first being bit 0; trailing zero bits are left out, as DER asks for. */
export function namedBits(bits: readonly number[]): Der {
  const highest = Math.max(-1, ...bits);
  const bytes = Buffer.alloc(Math.ceil((highest + 1) / 8));
  for (const bit of bits) bytes.writeUInt8(bytes.readUInt8(bit >> 3) | (0x80 >> (bit & 7)), bit >> 3);
  return bitString(bytes, bytes.length * 8 - (highest + 1));
}

/** Dotted form such as `1.2.840.10045.2.1`. */
export function oid(dotted: string): Der {
  const [first = 0, second = 0, ...rest] = dotted.split('.').map(Number);
  const bytes = [first * 40 + second, ...rest].flatMap((part) => {
    const digits = [part % 128];
    for (let left = Math.floor(part / 128); left > 0; left = Math.floor(left / 128))
      digits.unshift(0x80 | (left % 128));
    return digits;
  });
  return tlv(0x06, Buffer.from(bytes));
}

/** UTCTime up to 2049, GeneralizedTime after that, as RFC 5280 section 4.1.2.5 asks for; whole seconds. */
export function time(at: Date): Der {
  const digits = at.toISOString().replace(/[-:T]|\.\d+/g, '');
  return at.getUTCFullYear() < 2050 ? tlv(0x17, Buffer.from(digits.slice(2))) : tlv(0x18, Buffer.from(digits));
}

/**
 * The 4 or 16 bytes of an address.
 *
 * @throws {RangeError} for what is neither IPv4 nor IPv6 (zones and IPv4 tails are not taken)
 */
export function addressBytes(address: string): Buffer {
  if (isIPv4(address)) return Buffer.from(address.split('.').map(Number));
  if (!isIPv6(address) || address.includes('.') || address.includes('%')) {
    throw new RangeError(`not an IP address: ${address}`);
  }
  const [head = '', tail] = address.split('::');
  const groups = (text: string): number[] => (text === '' ? [] : text.split(':').map((group) => parseInt(group, 16)));
  const front = groups(head);
  const back = groups(tail ?? '');
  const middle = Array.from<number>({ length: 8 - front.length - back.length }).fill(0);
  return Buffer.from([...front, ...middle, ...back].flatMap((group) => [group >> 8, group & 0xff]));
}
