import type { TestId } from '../../model.js';
import { cutPoint } from '../../text.js';

/** Longest package or test name that is kept whole; parametrised tests reach a few thousand characters. */
export const NAME_LIMIT = 8192;

/**
 * A name as it may stand in a `TestId`: without NUL and without line ends, trimmed, and at most `NAME_LIMIT` long. A
 * longer one keeps its beginning and a hash of the whole, so that two long names stay two.
 */
export function cleanName(name: string): string {
  // eslint-disable-next-line no-control-regex -- NUL separates the parts of a test's key
  const clean = name.replace(/\u0000/g, '\ufffd').trim();
  if (clean.length <= NAME_LIMIT) return clean;
  return `${clean.slice(0, cutPoint(clean, NAME_LIMIT - 20))}…${hash(clean)}`;
}

export function testId(pkg: string, name: string): TestId {
  return { package: cleanName(pkg), name: cleanName(name) || '(unnamed)' };
}

/** FNV-1a over UTF-16 code units, 32 bits in hexadecimal: tells long names apart, protects nothing. */
function hash(text: string): string {
  let value = 0x811c9dc5;
  for (let index = 0; index < text.length; index += 1) {
    value = Math.imul(value ^ text.charCodeAt(index), 0x01000193);
  }
  return (value >>> 0).toString(16).padStart(8, '0');
}
