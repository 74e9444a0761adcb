import { TextDecoder } from 'node:util';

/** Bytes to text, piece by piece. */
export interface TextPieces {
  write(bytes: Uint8Array): string;
  /** What was held back; the input is complete. */
  end(): string;
}

/** Bytes that are enough to tell the encoding. */
const PROBE_BYTES = 256;

/**
 * Decodes UTF-8, or UTF-16 of either byte order: told by the byte order mark, and without one by NUL bytes at every other
 * place (PowerShell writes such files). Bytes that mean nothing become U+FFFD. How the input is split changes nothing.
 */
export function createTextPieces(): TextPieces {
  let decoder: TextDecoder | undefined;
  let held: Uint8Array = new Uint8Array(0);

  function start(): string {
    decoder = new TextDecoder(encodingOf(held));
    const text = decoder.decode(held, { stream: true });
    held = new Uint8Array(0);
    return text;
  }

  return {
    write(bytes) {
      if (decoder !== undefined) return decoder.decode(bytes, { stream: true });
      held = held.length === 0 ? bytes.slice() : Buffer.concat([held, bytes]);
      return held.length < PROBE_BYTES ? '' : start();
    },
    end() {
      const text = decoder === undefined ? start() : '';
      return text + (decoder?.decode() ?? '');
    },
  };
}

/** Encoding of text that begins with these bytes. */
export function encodingOf(bytes: Uint8Array): 'utf-8' | 'utf-16le' | 'utf-16be' {
  const [a, b] = bytes;
  if (a === 0xff && b === 0xfe) return 'utf-16le';
  if (a === 0xfe && b === 0xff) return 'utf-16be';
  const length = Math.min(bytes.length, PROBE_BYTES) & ~1;
  if (length < 4) return 'utf-8';
  let even = 0;
  let odd = 0;
  for (let index = 0; index < length; index += 2) {
    if (bytes[index] === 0) even += 1;
    if (bytes[index + 1] === 0) odd += 1;
  }
  const most = (length / 2) * 0.6;
  const few = (length / 2) * 0.1;
  if (odd >= most && even <= few) return 'utf-16le';
  if (even >= most && odd <= few) return 'utf-16be';
  return 'utf-8';
}
