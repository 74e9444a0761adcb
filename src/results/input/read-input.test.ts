import { gzipSync } from 'node:zlib';

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { isMkCiError } from '../../errors.js';
import type { ReadEvent, RunEvent } from '../events.js';
import { decompress } from './decompress.js';
import { readInput, type ReadInputOptions } from './read-input.js';

const PASSING = '{"Action":"run","Package":"p","Test":"Tést"}\n{"Action":"pass","Package":"p","Test":"Tést"}\n';
/** `PASSING` packed by `zstd -19` 1.5. */
const ZSTD = Buffer.from(
  'KLUv/SRd5QEAJAN7IkFjdGlvbiI6InJ1biIsIlBhY2thZ2UiOiJwIiwiVGVzdCI6IlTDqXN0In0KcGFzcwIAUmHiGKsy254FFA==',
  'base64',
);
const RUN: readonly RunEvent[] = [
  {
    type: 'run-started',
    version: 1,
    at: '2026-01-01T00:00:00.000Z',
    runId: 'r1',
    toolVersion: '1',
    source: {},
    environments: [{ name: 'local' }],
    cells: [{ id: 'c', environment: 'local', suite: 's' }],
  },
  { type: 'test-started', cell: 'c', attempt: 1, test: { package: 'p', name: 'A' } },
];

async function* cutUp(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let from = 0; from < bytes.length; from += size) yield bytes.subarray(from, from + size);
}

async function read(bytes: Uint8Array | string, options: Partial<ReadInputOptions> = {}, size = 7) {
  const events: ReadEvent[] = [];
  const result = await readInput(cutUp(Buffer.from(bytes), size), { emit: (event) => events.push(event), ...options });
  const names = events.flatMap((event) => (event.type === 'test-ended' ? [event.test.name] : []));
  return { ...result, events, names };
}

async function codeOf(promise: Promise<unknown>): Promise<string> {
  const error: unknown = await promise.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  return isMkCiError(error) ? error.code : String(error);
}

describe('reading an input', () => {
  it.each([
    ['UTF-8', Buffer.from(PASSING)],
    ['UTF-8 with a byte order mark', Buffer.from(`\uFEFF${PASSING}`)],
    ['UTF-16LE with a byte order mark', Buffer.from(`\uFEFF${PASSING}`, 'utf16le')],
    ['UTF-16LE without one', Buffer.from(PASSING, 'utf16le')],
    ['UTF-16BE with a byte order mark', Buffer.from(`\uFEFF${PASSING}`, 'utf16le').swap16()],
    ['UTF-16BE without one', Buffer.from(PASSING, 'utf16le').swap16()],
    ['gzip', gzipSync(PASSING)],
    ['gzip of several members', Buffer.concat([gzipSync(PASSING.slice(0, 50)), gzipSync(PASSING.slice(50))])],
    ['zstd', ZSTD],
    ['gzip of UTF-16', gzipSync(Buffer.from(`\uFEFF${PASSING}`, 'utf16le'))],
  ])('reads %s, split anywhere', async (_, bytes) => {
    for (const size of [1, 2, 3, 64, 100_000]) {
      expect(await read(bytes, {}, size)).toMatchObject({ format: 'go-json', names: ['Tést'] });
    }
  });

  it('names what is empty, unknown, broken or missing its format', async () => {
    expect(await codeOf(read(''))).toBe('RES_EMPTY');
    expect(await codeOf(read(' \n\r\n'))).toBe('RES_EMPTY');
    expect(await codeOf(read('Dear reader,\nno tests here.\n'))).toBe('RES_UNKNOWN_FORMAT');
    expect(await codeOf(read('Dear reader,\n', { format: 'go-json' }))).toBe('RES_MALFORMED');
    expect(await codeOf(read(Buffer.from([0x1f, 0x8b, 1, 2, 3])))).toBe('RES_MALFORMED');
    expect(await codeOf(read(Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0xff, 0xff, 9])))).toMatch(/^RES_/);
  });

  it('reads packed data that ends too early as far as it goes, and says so', async () => {
    const text = Array.from(
      { length: 2000 },
      (_, index) => `{"Action":"pass","Package":"p","Test":"T${String(index * 7919)}"}\n`,
    ).join('');
    const packed = gzipSync(text);
    const { names, events } = await read(packed.subarray(0, packed.length / 2), {}, 1000);
    expect(names.length).toBeGreaterThan(100);
    expect(events).toContainEqual(expect.objectContaining({ type: 'repair', kind: 'truncated' }));
  });

  it('says so when zstd data ends too early', async () => {
    expect(await codeOf(read(ZSTD.subarray(0, 20)))).toBe('RES_MALFORMED');
    const { names, events } = await read(Buffer.concat([ZSTD, ZSTD.subarray(0, 20)]));
    expect(names).toEqual(['Tést']);
    expect(events).toContainEqual(expect.objectContaining({ type: 'repair', kind: 'truncated' }));
  });

  it('refuses data that explodes, without unpacking it all', async () => {
    const bomb = gzipSync(Buffer.alloc(50_000_000));
    let bytes = 0;
    const unpack = async (): Promise<void> => {
      for await (const piece of decompress(cutUp(bomb, 4096), { onDamage: () => undefined, freeBytes: 1_000_000 })) {
        bytes += piece.length;
      }
    };
    expect(await codeOf(unpack())).toBe('RES_TOO_LARGE');
    expect(bytes).toBeLessThan(20_000_000);
  });

  it('stops at the limit and when it is told to', async () => {
    expect(await codeOf(read(PASSING, { maxBytes: 10 }))).toBe('RES_TOO_LARGE');
    await expect(read(PASSING, { signal: AbortSignal.abort(new Error('enough')) })).rejects.toThrow('enough');
  });

  it('waits for whoever takes the events', async () => {
    let waiting = 0;
    let most = 0;
    await read(
      PASSING.repeat(100),
      {
        emit: () => {
          waiting += 1;
          most = Math.max(most, waiting);
        },
        drain: async () => {
          waiting = 0;
        },
        format: 'go-json',
      },
      128,
    );
    expect(most).toBeLessThan(30);
  });

  it('reads the record of a run, cut off or damaged', async () => {
    const text = RUN.map((event) => JSON.stringify(event)).join('\n');
    const { format, run } = await read(`${text}\nnonsense\n{"type":"test-en`);
    expect(format).toBe('mk-ci');
    expect(run).toMatchObject({ runId: 'r1', complete: false, cells: [{ tests: [{ status: 'notrun' }] }] });
    expect(run?.repairs).toMatchObject([{ kind: 'broken-event', count: 2 }]);
  });

  it('gives a result or a named error for any bytes', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.uint8Array({ maxLength: 400 }),
        fc.constantFrom('', '\x1f\x8b\x08', '(\xb5/\xfd', '\xff\xfe'),
        async (bytes, magic) => {
          const input = Buffer.concat([Buffer.from(magic, 'latin1'), bytes]);
          try {
            await read(input, {}, 50);
          } catch (error) {
            if (!isMkCiError(error)) throw error;
          }
        },
      ),
      { numRuns: 300 },
    );
  });
});
