import { createReadStream } from 'node:fs';
import { open } from 'node:fs/promises';
import { Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';

const BLOCK_BYTES = 512;

/** A `.tar.gz` that is not one, or does not hold what is looked for. */
export class ArchiveError extends Error {
  override readonly name = 'ArchiveError';
}

/**
 * Takes one regular file out of a `.tar.gz`, streamed.
 *
 * Reads the `ustar` format that release archives are in; an entry with a name that needs an extension (pax, GNU long
 * names) is passed over, and so is everything that is not a regular file.
 *
 * @param member full path inside the archive; a leading `./` on either side does not count
 * @throws {ArchiveError} when the archive is broken or has no such file
 * @see {@link https://pubs.opengroup.org/onlinepubs/9799919799/utilities/pax.html} for the header, "ustar Interchange Format"
 */
export async function extractFromTarGz(
  archive: string,
  member: string,
  to: string,
  signal: AbortSignal,
): Promise<void> {
  const wanted = member.replace(/^\.\//, '');
  const target = await open(to, 'wx', 0o755);
  const found = new Set<string>();
  try {
    const reader = new TarReader(
      // The first one counts: it is the one that a plain look into the archive shows.
      (name) => name === wanted && !found.has(name) && found.add(name).size === 1,
      async (piece) => {
        await target.write(piece);
      },
    );
    await pipeline(
      createReadStream(archive),
      createGunzip(),
      new Writable({
        write: (piece: Buffer, _encoding, done) => {
          reader.add(piece).then(() => {
            done();
          }, done);
        },
        final: (done) => {
          done(reader.isBetweenEntries() ? null : new ArchiveError('the archive ends within a file'));
        },
      }),
      { signal },
    );
    if (found.size === 0) throw new ArchiveError(`the archive has no ${wanted}`);
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof Error && 'code' in error && String(error.code).startsWith('Z_')) {
      throw new ArchiveError(`not a complete gzip file: ${error.message}`, { cause: error });
    }
    throw error;
  } finally {
    await target.close();
  }
}

/** Cuts a tar stream, given in pieces of any size, into entries. */
export class TarReader {
  readonly #wants: (name: string) => boolean;
  readonly #take: (piece: Buffer) => Promise<void>;
  #header = Buffer.alloc(0);
  /** Content and padding of the current entry still to come. */
  #contentBytes = 0;
  #paddingBytes = 0;
  #taking = false;

  constructor(wants: (name: string) => boolean, take: (piece: Buffer) => Promise<void>) {
    this.#wants = wants;
    this.#take = take;
  }

  /** @throws {ArchiveError} on a header whose checksum does not fit */
  async add(piece: Buffer): Promise<void> {
    let at = 0;
    while (at < piece.length) {
      if (this.#contentBytes > 0) {
        const end = Math.min(piece.length, at + this.#contentBytes);
        if (this.#taking) await this.#take(piece.subarray(at, end));
        this.#contentBytes -= end - at;
        at = end;
      } else if (this.#paddingBytes > 0) {
        const end = Math.min(piece.length, at + this.#paddingBytes);
        this.#paddingBytes -= end - at;
        at = end;
      } else {
        const end = Math.min(piece.length, at + BLOCK_BYTES - this.#header.length);
        this.#header = Buffer.concat([this.#header, piece.subarray(at, end)]);
        at = end;
        if (this.#header.length === BLOCK_BYTES) {
          this.#begin(this.#header);
          this.#header = Buffer.alloc(0);
        }
      }
    }
  }

  isBetweenEntries(): boolean {
    return this.#contentBytes === 0 && this.#paddingBytes === 0 && this.#header.length === 0;
  }

  #begin(header: Buffer): void {
    if (header.every((byte) => byte === 0)) return; // end of the archive
    const entry = parseTarHeader(header);
    this.#contentBytes = entry.sizeBytes;
    this.#paddingBytes = (BLOCK_BYTES - (entry.sizeBytes % BLOCK_BYTES)) % BLOCK_BYTES;
    this.#taking = entry.isFile && this.#wants(entry.name);
  }
}

export interface TarEntry {
  readonly name: string;
  readonly sizeBytes: number;
  readonly isFile: boolean;
}

/**
 * @param header 512 bytes
 * @throws {ArchiveError} when its checksum does not fit
 */
export function parseTarHeader(header: Buffer): TarEntry {
  const sum = octal(header, 148, 8);
  let actual = 8 * 0x20; // the checksum field itself counts as spaces
  for (let at = 0; at < BLOCK_BYTES; at += 1) if (at < 148 || at >= 156) actual += header[at] ?? 0;
  if (sum !== actual) throw new ArchiveError('not a tar archive, or a damaged one');
  const prefix = header.toString('latin1', 257, 262) === 'ustar' ? text(header, 345, 155) : '';
  const name = text(header, 0, 100);
  const type = header[156];
  return {
    name: (prefix === '' ? name : `${prefix}/${name}`).replace(/^\.\//, ''),
    sizeBytes: octal(header, 124, 12),
    isFile: type === 0 || type === 0x30,
  };
}

function text(header: Buffer, start: number, length: number): string {
  const field = header.subarray(start, start + length);
  const end = field.indexOf(0);
  return field.toString('utf8', 0, end === -1 ? length : end);
}

/** Octal digits, or the GNU form for large sizes: first bit set, the rest a big-endian number. */
function octal(header: Buffer, start: number, length: number): number {
  const field = header.subarray(start, start + length);
  if (((field[0] ?? 0) & 0x80) !== 0) {
    const value = field.subarray(1).reduce((sum, byte) => sum * 256 + byte, (field[0] ?? 0) & 0x7f);
    if (!Number.isSafeInteger(value)) throw new ArchiveError('a size in the archive is impossible');
    return value;
  }
  const digits = text(header, start, length).trim();
  if (!/^[0-7]*$/.test(digits)) throw new ArchiveError('not a tar archive, or a damaged one');
  return digits === '' ? 0 : Number.parseInt(digits, 8);
}
