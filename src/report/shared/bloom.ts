/**
 * A filter that says for a chunk of a log "this text is certainly not here", so that a search over a whole log unpacks
 * only chunks worth it. It holds hashes of every four bytes in a row of the lower-cased text, except of those with a digit
 * or a line end: digits of hashes, ports and times would fill it and tell nothing apart. A text whose four-byte pieces
 * all hold digits is thus never ruled out.
 */

const FULL_BITS = 16;
const SMALLEST_BITS = 8;

const SEPARATES = ((): Uint8Array => {
  const table = new Uint8Array(256);
  for (let digit = 0x30; digit <= 0x39; digit += 1) table[digit] = 1;
  table[0x0a] = 1;
  return table;
})();

function hash(gram: number): number {
  return Math.imul(gram, 0x9e3779b1) >>> (32 - FULL_BITS);
}

/** Calls `found` with the hash of each piece of four bytes. */
function eachGram(bytes: Uint8Array, found: (hash: number) => void): void {
  let gram = 0;
  let run = 0;
  for (const byte of bytes) {
    run = SEPARATES[byte] === 1 ? 0 : run + 1;
    gram = (gram << 8) | byte | 0;
    if (run >= 4) found(hash(gram));
  }
}

/**
 * @param bytes UTF-8 of the lower-cased text
 * @returns a bit field of 2^k bits, 32 bytes to 8 KiB: folded while at most one bit in eight would be set
 */
export function buildBloom(bytes: Uint8Array): Uint8Array {
  let field = new Uint8Array(1 << (FULL_BITS - 3));
  // The same walk as `eachGram`, written out: it runs for every byte of every log.
  let gram = 0;
  let run = 0;
  for (let index = 0; index < bytes.length; index += 1) {
    const byte = bytes[index] ?? 0;
    run = SEPARATES[byte] === 1 ? 0 : run + 1;
    gram = (gram << 8) | byte | 0;
    if (run < 4) continue;
    const bit = hash(gram);
    field[bit >> 3] = (field[bit >> 3] ?? 0) | (1 << (bit & 7));
  }
  let ones = countBits(field);
  while (field.length > 1 << (SMALLEST_BITS - 3) && ones * 8 <= field.length * 4) {
    const half = new Uint8Array(field.length / 2);
    for (let index = 0; index < half.length; index += 1) {
      half[index] = (field[index] ?? 0) | (field[index + half.length] ?? 0);
    }
    field = half;
    ones = countBits(field);
  }
  return field;
}

/** False when the text is certainly not in the chunk. `bytes` is the UTF-8 of the lower-cased text looked for. */
export function mayContain(field: Uint8Array, bytes: Uint8Array): boolean {
  const mask = field.length * 8 - 1;
  let all = true;
  eachGram(bytes, (full) => {
    const bit = full & mask;
    if (((field[bit >> 3] ?? 0) & (1 << (bit & 7))) === 0) all = false;
  });
  return all;
}

function countBits(field: Uint8Array): number {
  let ones = 0;
  for (const byte of field) for (let rest = byte; rest !== 0; rest &= rest - 1) ones += 1;
  return ones;
}
