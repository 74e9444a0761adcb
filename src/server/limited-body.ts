import { Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';

import { MkCiError, systemErrorCode } from '../errors.js';

export interface LimitedBodyOptions {
  /** Of the unpacked body. */
  readonly maxBytes: number;
  /** `Content-Length` and `Content-Encoding` as they came. */
  readonly length?: string | undefined;
  readonly encoding?: string | undefined;
}

/**
 * The bytes of a request, unpacked, up to a size: what says that it is larger is refused before it is read, what turns out
 * to be larger while it is read. A small packed body of a gigabyte of zeros ends there too.
 *
 * @throws {MkCiError} `SRV_TOO_LARGE`, `SRV_BAD_REQUEST` for an encoding that is not gzip or is damaged
 */
export async function* limitedBody(
  stream: ReadableStream<Uint8Array> | null,
  { maxBytes, length, encoding = 'identity' }: LimitedBodyOptions,
): AsyncGenerator<Uint8Array> {
  const tooLarge = () => new MkCiError('SRV_TOO_LARGE', { message: `more than ${maxBytes} bytes` });
  if (Number(length ?? 0) > maxBytes) throw tooLarge();
  if (stream === null) return;
  if (encoding !== 'identity' && encoding !== 'gzip') {
    throw new MkCiError('SRV_BAD_REQUEST', {
      message: `content-encoding ${encoding}`,
      advice: 'Send it plain or as gzip.',
    });
  }
  const bytes = Readable.from(stream as AsyncIterable<Uint8Array>);
  const plain = encoding === 'gzip' ? bytes.pipe(createGunzip()) : bytes;
  // pipe() hands errors of its source on to nobody.
  if (plain !== bytes) bytes.on('error', (error) => plain.destroy(error));
  let size = 0;
  try {
    for await (const piece of plain as AsyncIterable<Uint8Array>) {
      size += piece.byteLength;
      if (size > maxBytes) throw tooLarge();
      yield piece;
    }
  } catch (error) {
    if (/^Z_/.test(systemErrorCode(error) ?? '')) {
      throw new MkCiError('SRV_BAD_REQUEST', { message: 'the body is not whole gzip', cause: error });
    }
    throw error;
  } finally {
    bytes.destroy();
    plain.destroy();
  }
}
