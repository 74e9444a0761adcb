/**
 * What an ELF program or library wants loaded with it. Pure. Only 64 bit, little endian: all platforms of bundles.
 *
 * @see {@link https://refspecs.linuxfoundation.org/elf/gabi4+/contents.html} chapters 4 and 5
 */
export interface ElfNeeds {
  /** Path of the dynamic loader, for programs. */
  readonly interpreter?: string;
  /** Names of libraries, such as `libc.so.6`. */
  readonly libraries: readonly string[];
}

const PT_LOAD = 1;
const PT_DYNAMIC = 2;
const PT_INTERP = 3;
const DT_NULL = 0n;
const DT_NEEDED = 1n;
const DT_STRTAB = 5n;

/** @returns `undefined` for anything that is not such a file or is broken */
export function readElfNeeds(file: Buffer): ElfNeeds | undefined {
  if (file.length < 64 || file.readUInt32BE(0) !== 0x7f454c46 || file[4] !== 2 || file[5] !== 1) return undefined;
  try {
    const segments = readSegments(file);
    const interp = segments.find(({ type }) => type === PT_INTERP);
    const dynamic = segments.find(({ type }) => type === PT_DYNAMIC);
    const interpreter = interp && cString(file, interp.offset);
    const libraries = dynamic === undefined ? [] : readLibraries(file, dynamic, segments);
    return { libraries, ...(interpreter === undefined ? {} : { interpreter }) };
  } catch (error) {
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}

interface Segment {
  readonly type: number;
  readonly offset: number;
  readonly address: bigint;
  readonly bytes: number;
}

function readSegments(file: Buffer): Segment[] {
  const table = Number(file.readBigUInt64LE(32));
  const entryBytes = file.readUInt16LE(54);
  const count = file.readUInt16LE(56);
  return Array.from({ length: count }, (_, index) => {
    const at = table + index * entryBytes;
    return {
      type: file.readUInt32LE(at),
      offset: Number(file.readBigUInt64LE(at + 8)),
      address: file.readBigUInt64LE(at + 16),
      bytes: Number(file.readBigUInt64LE(at + 32)),
    };
  });
}

function readLibraries(file: Buffer, dynamic: Segment, segments: readonly Segment[]): string[] {
  const needed: bigint[] = [];
  let strings: bigint | undefined;
  for (let at = dynamic.offset; at < dynamic.offset + dynamic.bytes; at += 16) {
    const tag = file.readBigUInt64LE(at);
    const value = file.readBigUInt64LE(at + 8);
    if (tag === DT_NULL) break;
    if (tag === DT_NEEDED) needed.push(value);
    if (tag === DT_STRTAB) strings = value;
  }
  const table = strings;
  if (table === undefined) return [];
  const home = segments.find(
    ({ type, address, bytes }) => type === PT_LOAD && table >= address && table < address + BigInt(bytes),
  );
  if (home === undefined) return [];
  const base = home.offset + Number(table - home.address);
  return needed.map((offset) => cString(file, base + Number(offset)));
}

function cString(file: Buffer, at: number): string {
  const end = file.indexOf(0, at);
  if (at >= file.length || end < 0) throw new RangeError('a text ends outside of the file');
  return file.toString('latin1', at, end);
}
