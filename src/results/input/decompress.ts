import { Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';

import { Decompress } from 'fzstd';

import { MkCiError, messageOf, systemErrorCode } from '../../errors.js';

export interface DecompressOptions {
  /** Called when the packed data ends too early or is damaged; what was read before it has been given out. */
  readonly onDamage: (message: string) => void;
  /** @default 256 MiB */
  readonly freeBytes?: number;
}

/** Beyond this many bytes out, input that grows more than {@link MAX_RATIO} times is taken for an attack. */
const FREE_BYTES = 256 * 1024 * 1024;
/** Logs shrink 10 to 100 times; a file made to explode about 1,000 times. */
const MAX_RATIO = 250;
/** Longest window of zstd that is accepted, as in its own command line tool: memory is bounded by it. */
const MAX_WINDOW_BYTES = 128 * 1024 * 1024;

/**
 * Unpacks gzip and zstd, told by their first bytes; anything else passes through.
 *
 * @throws {MkCiError} `RES_TOO_LARGE` for data that grows beyond reason, `RES_MALFORMED` when nothing could be unpacked
 */
export async function* decompress(
  source: AsyncIterable<Uint8Array>,
  { onDamage, freeBytes = FREE_BYTES }: DecompressOptions,
): AsyncGenerator<Uint8Array> {
  const { head, rest } = await peek(source, 4);
  const kind = packingOf(head);
  if (kind === undefined) {
    yield* rest;
    return;
  }
  let bytesIn = 0;
  let bytesOut = 0;
  const counted = (async function* (): AsyncGenerator<Uint8Array> {
    for await (const piece of rest) {
      bytesIn += piece.length;
      yield piece;
    }
  })();
  try {
    for await (const piece of kind === 'gzip' ? gunzip(counted) : unzstd(counted)) {
      bytesOut += piece.length;
      if (bytesOut > freeBytes && bytesOut > bytesIn * MAX_RATIO) {
        throw new MkCiError('RES_TOO_LARGE', {
          message: `${kind} data grows more than ${String(MAX_RATIO)} times (${String(bytesIn)} bytes gave ${String(bytesOut)})`,
          advice: 'Unpack the file yourself if you trust it.',
        });
      }
      yield piece;
    }
  } catch (error) {
    if (!isDamage(error)) throw error;
    if (bytesOut === 0) {
      throw new MkCiError('RES_MALFORMED', { message: `${kind} data is damaged (${messageOf(error)})`, cause: error });
    }
    onDamage(`${kind} data ends too early or is damaged: ${messageOf(error)}`);
  }
}

function packingOf(head: Uint8Array): 'gzip' | 'zstd' | undefined {
  const [a, b, c, d] = head;
  if (a === 0x1f && b === 0x8b) return 'gzip';
  if (a === 0x28 && b === 0xb5 && c === 0x2f && d === 0xfd) return 'zstd';
  return undefined;
}

async function* gunzip(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const input = Readable.from(source, { objectMode: true });
  const output = createGunzip();
  // An error of the file must reach whoever reads the output.
  input.on('error', (error) => output.destroy(error));
  input.pipe(output);
  try {
    yield* output as AsyncIterable<Buffer>;
  } finally {
    input.destroy();
    output.destroy();
  }
}

/** A mistake in the zstd data; the library's own errors have a number as code. */
class ZstdDamage extends Error {
  override readonly name = 'ZstdDamage';
}

async function* unzstd(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let pieces: Uint8Array[] = [];
  const unpacker = new Decompress((data) => {
    if (data.length > 0) pieces.push(data);
  });
  const push = (piece: Uint8Array, isLast: boolean): void => {
    try {
      unpacker.push(piece, isLast);
    } catch (error) {
      throw new ZstdDamage(messageOf(error), { cause: error });
    }
  };
  let isFirst = true;
  for await (const piece of source) {
    if (isFirst) checkWindow(piece);
    isFirst = false;
    // Small steps, so that data which explodes is noticed before it fills the memory.
    for (let at = 0; at < piece.length; at += 4096) {
      push(piece.subarray(at, at + 4096), false);
      yield* pieces;
      pieces = [];
    }
  }
  push(new Uint8Array(0), true);
  yield* pieces;
}

/** Refuses a frame whose window would take more memory than allowed. @see RFC 8878, section 3.1.1.1 */
function checkWindow(piece: Uint8Array): void {
  const descriptor = piece[4];
  const window = piece[5];
  if (descriptor === undefined || window === undefined || (descriptor & 0x20) !== 0) return;
  const base = 2 ** (10 + (window >> 3));
  const bytes = base + (base / 8) * (window & 7);
  if (bytes > MAX_WINDOW_BYTES) {
    throw new MkCiError('RES_TOO_LARGE', {
      message: `zstd data asks for a window of ${String(bytes)} bytes`,
      advice: 'Pack the file again without --ultra and --long.',
    });
  }
}

function isDamage(error: unknown): boolean {
  return error instanceof ZstdDamage || systemErrorCode(error)?.startsWith('Z_') === true;
}

/** The first bytes, and the whole input once more. */
async function peek(
  source: AsyncIterable<Uint8Array>,
  length: number,
): Promise<{ readonly head: Uint8Array; readonly rest: AsyncIterable<Uint8Array> }> {
  const iterator = source[Symbol.asyncIterator]();
  let head: Uint8Array = new Uint8Array(0);
  let isDone = false;
  while (head.length < length && !isDone) {
    const next = await iterator.next();
    if (next.done === true) isDone = true;
    else head = head.length === 0 ? next.value : Buffer.concat([head, next.value]);
  }
  const rest = (async function* (): AsyncGenerator<Uint8Array> {
    try {
      if (head.length > 0) yield head;
      while (!isDone) {
        const next = await iterator.next();
        if (next.done === true) return;
        yield next.value;
      }
    } finally {
      await iterator.return?.();
    }
  })();
  return { head, rest };
}
