/**
 * CD images with a few files in their root folder: ISO 9660 for the standard, Joliet for names as they are. Pure.
 *
 * @see {@link https://ecma-international.org/publications-and-standards/standards/ecma-119/} for the format
 */

export interface IsoFile {
  /** 1…64 characters, no `/` and none of `*:;?\`. */
  readonly name: string;
  readonly content: string | Uint8Array;
}

export interface IsoOptions {
  /** Label of the volume, at most 16 characters. Guests look for it. */
  readonly volumeId: string;
  readonly files: readonly IsoFile[];
  /** Of every file. */
  readonly modifiedAt: Date;
}

const SECTOR = 2048;
/** Two path tables of each of two trees. Each fits into a sector: there is only the root. */
const FIRST_PATH_TABLE = 19;
const FIRST_FOLDER = FIRST_PATH_TABLE + 4;

interface Extent {
  readonly sector: number;
  readonly sizeBytes: number;
}

type Named = Extent & { readonly identifier: Buffer };

/** @throws {RangeError} for names, a label or a size that the format has no room for */
export function isoImage({ volumeId, files, modifiedAt }: IsoOptions): Buffer {
  if (!/^[\x20-\x7e]{1,16}$/.test(volumeId)) throw new RangeError(`not a label of a CD: ${volumeId}`);
  const names = new Set<string>();
  for (const { name } of files) {
    // eslint-disable-next-line no-control-regex -- what Joliet forbids, among it control characters
    if (name === '' || name.length > 64 || /[\x00-\x1f/*:;?\\]/.test(name) || names.has(name)) {
      throw new RangeError(`not a name for a file on a CD: ${JSON.stringify(name)}`);
    }
    names.add(name);
  }
  const contents = files.map(({ content }) =>
    Buffer.from(typeof content === 'string' ? Buffer.from(content) : content),
  );
  const plainNames = plainIdentifiers(files.map(({ name }) => name));
  const wideNames = files.map(({ name }) => utf16(name));

  // Sizes of the folders do not depend on where the files lie.
  const nowhere = { sector: 0, sizeBytes: 0 };
  const sizeOf = (identifiers: readonly Buffer[]): number =>
    folderBytes(
      identifiers.map((identifier) => ({ ...nowhere, identifier })),
      nowhere,
      modifiedAt,
    ).length;
  const plainRoot: Extent = { sector: FIRST_FOLDER, sizeBytes: sizeOf(plainNames) };
  const wideRoot: Extent = { sector: plainRoot.sector + sectors(plainRoot.sizeBytes), sizeBytes: sizeOf(wideNames) };
  let next = wideRoot.sector + sectors(wideRoot.sizeBytes);
  const extents = contents.map((content): Extent => {
    const extent = { sector: next, sizeBytes: content.length };
    next += sectors(content.length);
    return extent;
  });
  const entries = (identifiers: readonly Buffer[]): Named[] =>
    extents.map((extent, index) => ({ ...extent, identifier: identifiers[index] ?? Buffer.alloc(0) }));

  const image = Buffer.alloc(next * SECTOR);
  const put = (sector: number, bytes: Uint8Array): void => {
    image.set(bytes, sector * SECTOR);
  };
  const trees = [
    { volumeId: padded(volumeId, 32), root: plainRoot, isWide: false, pathTable: FIRST_PATH_TABLE, names: plainNames },
    {
      volumeId: widePadded(volumeId, 32),
      root: wideRoot,
      isWide: true,
      pathTable: FIRST_PATH_TABLE + 2,
      names: wideNames,
    },
  ];
  trees.forEach((tree, index) => {
    put(16 + index, volumeDescriptor({ ...tree, sectorCount: next, modifiedAt }));
    put(tree.pathTable, pathTable(tree.root.sector, false));
    put(tree.pathTable + 1, pathTable(tree.root.sector, true));
    put(tree.root.sector, folderBytes(entries(tree.names), tree.root, modifiedAt));
  });
  put(18, Buffer.from([255, ...Buffer.from('CD001'), 1]));
  contents.forEach((content, index) => {
    put(extents[index]?.sector ?? 0, content);
  });
  return image;
}

/** Names of the standard's own tree, distinct: capital letters, digits and `_`, at most 30 of them, with a version. */
function plainIdentifiers(names: readonly string[]): Buffer[] {
  const used = new Set<string>();
  return names.map((name) => {
    const dot = name.lastIndexOf('.');
    const clean = (text: string): string => text.toUpperCase().replaceAll(/[^A-Z0-9_]/g, '_');
    const stem = clean(dot > 0 ? name.slice(0, dot) : name).slice(0, 20);
    const extension = dot > 0 ? clean(name.slice(dot + 1)).slice(0, 5) : '';
    let identifier = `${stem}.${extension};1`;
    for (let count = 2; used.has(identifier); count += 1) identifier = `${stem}_${count}.${extension};1`;
    used.add(identifier);
    return Buffer.from(identifier, 'latin1');
  });
}

interface DescriptorInput {
  readonly volumeId: Buffer;
  readonly root: Extent;
  readonly isWide: boolean;
  readonly pathTable: number;
  readonly sectorCount: number;
  readonly modifiedAt: Date;
}

/** Primary (type 1) or supplementary (type 2, with the escape sequence of UCS-2 level 3) volume descriptor. */
function volumeDescriptor({
  volumeId,
  root,
  isWide,
  pathTable: table,
  sectorCount,
  modifiedAt,
}: DescriptorInput): Buffer {
  const bytes = Buffer.alloc(SECTOR);
  const blank = (from: number, length: number): void => {
    bytes.set(isWide ? widePadded('', length) : padded('', length), from);
  };
  bytes.writeUInt8(isWide ? 2 : 1, 0);
  bytes.write('CD001', 1, 'latin1');
  bytes.writeUInt8(1, 6);
  blank(8, 32);
  bytes.set(volumeId, 40);
  both32(bytes, sectorCount, 80);
  if (isWide) bytes.write('%/E', 88, 'latin1');
  both16(bytes, 1, 120);
  both16(bytes, 1, 124);
  both16(bytes, SECTOR, 128);
  both32(bytes, 10, 132);
  bytes.writeUInt32LE(table, 140);
  bytes.writeUInt32BE(table + 1, 148);
  bytes.set(folderRecord({ ...root, identifier: Buffer.from([0]) }, true, modifiedAt), 156);
  for (const [from, length] of [
    [190, 128],
    [318, 128],
    [446, 128],
    [574, 128],
    [702, 37],
    [739, 37],
    [776, 37],
  ] as const) {
    blank(from, length);
  }
  for (const at of [813, 830]) bytes.write(longTime(modifiedAt), at, 'latin1');
  for (const at of [847, 864]) bytes.write('0'.repeat(16), at, 'latin1');
  bytes.writeUInt8(1, 881);
  return bytes;
}

/** The only entry of a path table: the root, its own parent. */
function pathTable(rootSector: number, isBigEndian: boolean): Buffer {
  const bytes = Buffer.alloc(10);
  bytes.writeUInt8(1, 0);
  if (isBigEndian) {
    bytes.writeUInt32BE(rootSector, 2);
    bytes.writeUInt16BE(1, 6);
  } else {
    bytes.writeUInt32LE(rootSector, 2);
    bytes.writeUInt16LE(1, 6);
  }
  return bytes;
}

/** Records of a folder in the order of their identifiers, filled up to whole sectors; none crosses a sector. */
function folderBytes(files: readonly Named[], self: Extent, modifiedAt: Date): Buffer {
  const sorted = [...files].sort((left, right) => Buffer.compare(left.identifier, right.identifier));
  const records = [
    folderRecord({ ...self, identifier: Buffer.from([0]) }, true, modifiedAt),
    folderRecord({ ...self, identifier: Buffer.from([1]) }, true, modifiedAt),
    ...sorted.map((file) => folderRecord(file, false, modifiedAt)),
  ];
  const parts: Buffer[] = [];
  let used = 0;
  for (const record of records) {
    const left = SECTOR - (used % SECTOR);
    if (record.length > left) {
      parts.push(Buffer.alloc(left));
      used += left;
    }
    parts.push(record);
    used += record.length;
  }
  return Buffer.concat([...parts, Buffer.alloc(sectors(used) * SECTOR - used)]);
}

function folderRecord({ sector, sizeBytes, identifier }: Named, isFolder: boolean, modifiedAt: Date): Buffer {
  const length = 33 + identifier.length;
  const bytes = Buffer.alloc(length + (length % 2));
  bytes.writeUInt8(bytes.length, 0);
  both32(bytes, sector, 2);
  both32(bytes, sizeBytes, 10);
  bytes.set(
    [
      modifiedAt.getUTCFullYear() - 1900,
      modifiedAt.getUTCMonth() + 1,
      modifiedAt.getUTCDate(),
      modifiedAt.getUTCHours(),
      modifiedAt.getUTCMinutes(),
      modifiedAt.getUTCSeconds(),
      0,
    ],
    18,
  );
  bytes.writeUInt8(isFolder ? 2 : 0, 25);
  both16(bytes, 1, 28);
  bytes.writeUInt8(identifier.length, 32);
  bytes.set(identifier, 33);
  return bytes;
}

function sectors(bytes: number): number {
  return Math.ceil(bytes / SECTOR);
}

function both16(bytes: Buffer, value: number, at: number): void {
  bytes.writeUInt16LE(value, at);
  bytes.writeUInt16BE(value, at + 2);
}

function both32(bytes: Buffer, value: number, at: number): void {
  bytes.writeUInt32LE(value, at);
  bytes.writeUInt32BE(value, at + 4);
}

function utf16(text: string): Buffer {
  return Buffer.from(text, 'utf16le').swap16();
}

function padded(text: string, length: number): Buffer {
  return Buffer.from(text.padEnd(length, ' ').slice(0, length), 'latin1');
}

/** Joliet's blanks are two bytes; where a field has an odd length the last byte stays 0. */
function widePadded(text: string, length: number): Buffer {
  const bytes = Buffer.alloc(length);
  bytes.set(utf16(text.padEnd(Math.floor(length / 2), ' ')));
  return bytes;
}

/** `YYYYMMDDhhmmss00`. */
function longTime(time: Date): string {
  return `${time.toISOString().replaceAll(/[-:T]/g, '').slice(0, 14)}00`;
}
