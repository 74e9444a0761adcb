import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { isMkCiError } from '../../../errors.js';
import { addReadEvent, checkConservation, createCellState, summarizeCell } from '../../accumulate.js';
import { readInput } from '../../input/read-input.js';
import { testKey } from '../../model.js';
import type { Format } from '../../reader.js';

const FILES = join(import.meta.dirname, 'files');
/** Cuts for each file; `MK_CI_FUZZ=20` makes it twenty times as many. */
const CUTS = 6 * Number(process.env['MK_CI_FUZZ'] ?? '1');

interface Outcome {
  readonly format: Format | undefined;
  readonly code: string | undefined;
  readonly tests: ReadonlySet<string>;
  /** Started equals ended, and nothing is open. */
  readonly sound: boolean;
}

async function* inPieces(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let from = 0; from < bytes.length; from += size) yield bytes.subarray(from, from + size);
}

async function readBytes(bytes: Uint8Array, size: number, wanted?: Format): Promise<Outcome> {
  const state = createCellState();
  let format: Format | undefined;
  let code: string | undefined;
  try {
    const read = await readInput(inPieces(bytes, size), {
      format: wanted,
      emit: (event) => {
        addReadEvent(state, event);
      },
    });
    format = read.format;
  } catch (error) {
    if (!isMkCiError(error)) throw error;
    code = error.code;
  }
  const sound = state.open.size === 0;
  const { tests } = summarizeCell(state);
  return {
    format,
    code,
    tests: new Set(tests.map(({ id }) => testKey(id))),
    sound: sound && checkConservation(state, tests).holds,
  };
}

/**
 * Formats in which a test is told with its full name and package at once. In the others the package comes at the end, and
 * a cut name is another one.
 */
const TOLD_WHOLE: ReadonlySet<string> = new Set([
  'go-json',
  'junit',
  'trx',
  'nunit',
  'jest-json',
  'mocha-json',
  'playwright-json',
]);

describe('an output cut off at any byte', () => {
  it.each(readdirSync(FILES))('gives what came before it or a named error (%s)', async (file) => {
    const bytes = readFileSync(join(FILES, file));
    const whole = await readBytes(bytes, bytes.length);
    expect(whole).toMatchObject({ code: undefined, sound: true });
    const cuts = fc.array(fc.nat(bytes.length), { minLength: CUTS, maxLength: CUTS });
    const [places = []] = fc.sample(cuts, { numRuns: 1, seed: bytes.length });
    let before: ReadonlySet<string> = new Set();
    for (const place of places.sort((a, b) => a - b)) {
      const { tests, sound, code } = await readBytes(bytes.subarray(0, place), 977, whole.format);
      const where = `after ${String(place)} bytes`;
      expect([where, sound, code ?? 'RES_EMPTY'].join(' ')).toMatch(/ true RES_(?:EMPTY|MALFORMED)$/);
      if (!TOLD_WHOLE.has(whole.format ?? '')) continue;
      expect([where, [...before].filter((name) => !tests.has(name))]).toEqual([where, []]);
      expect([where, [...tests].filter((name) => !whole.tests.has(name))]).toEqual([where, []]);
      before = tests;
    }
  });

  it('is the same when it was packed, and when only the packing was cut', async () => {
    const bytes = readFileSync(join(FILES, 'go-cpu.json'));
    const whole = await readBytes(bytes, bytes.length);
    const packed = gzipSync(bytes);
    expect(await readBytes(packed, 61)).toEqual(whole);
    for (let length = 40; length < packed.length; length += 199) {
      const { tests, sound } = await readBytes(packed.subarray(0, length), 61);
      expect([length, sound, [...tests].every((name) => whole.tests.has(name))]).toEqual([length, true, true]);
    }
  });
});
