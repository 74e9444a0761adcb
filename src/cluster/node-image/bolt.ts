/**
 * Writes bolt databases, the file format in which containerd keeps what it knows. Pure: the same content gives the same
 * bytes, which containerd's own writing (times, ids, free pages) does not.
 *
 * A file is a row of pages. Pages 0 and 1 are meta pages, 2 the (empty) list of free pages; a bucket is a B+ tree of leaf
 * and branch pages, or lies inside its parent's value when it is small.
 *
 * @see {@link https://pkg.go.dev/go.etcd.io/bbolt} and `page.go`, `bucket.go`, `meta.go` of its module
 */

/** A value, or a bucket within the bucket. */
export type BoltValue = Buffer | BoltBucket;

export interface BoltBucket {
  readonly entries: Readonly<Record<string, BoltValue>>;
  /** Last number that `NextSequence` gave. @default 0 */
  readonly sequence?: number;
}

const PAGE_BYTES = 4096;
const PAGE_HEADER_BYTES = 16;
const ELEMENT_BYTES = 16;
const BUCKET_HEADER_BYTES = 16;
/** bbolt makes larger buckets pages of their own. */
const MAX_INLINE_BYTES = PAGE_BYTES / 4;
/** bbolt grows a file from here; one that is as large needs no growing at the first write. */
const MIN_FILE_BYTES = 32 * 1024;

const MAGIC = 0xed0cdaed;
const FORMAT_VERSION = 2;
const FLAG_BRANCH = 0x01;
const FLAG_LEAF = 0x02;
const FLAG_META = 0x04;
const FLAG_FREELIST = 0x10;
const ELEMENT_IS_BUCKET = 0x01;
const FIRST_DATA_PAGE = 3;
const FREELIST_PAGE = 2;

interface Element {
  readonly key: Buffer;
  readonly value: Buffer;
  readonly isBucket: boolean;
}

export function writeBolt(root: BoltBucket): Buffer {
  /** Content of pages from {@link FIRST_DATA_PAGE}; an element may fill several pages. */
  const pages: Buffer[] = [];
  let next = FIRST_DATA_PAGE;
  const allocate = (make: (id: number) => Buffer): number => {
    const id = next;
    const content = make(id);
    next += content.length / PAGE_BYTES;
    pages.push(content);
    return id;
  };

  const elementsOf = (bucket: BoltBucket): Element[] =>
    Object.entries(bucket.entries)
      .map(([name, value]) => ({ key: Buffer.from(name), value }))
      .sort((left, right) => Buffer.compare(left.key, right.key))
      .map(({ key, value }) =>
        Buffer.isBuffer(value) ? { key, value, isBucket: false } : { key, value: bucketValue(value), isBucket: true },
      );

  const bucketValue = (bucket: BoltBucket): Buffer => {
    const elements = elementsOf(bucket);
    const header = Buffer.alloc(BUCKET_HEADER_BYTES);
    header.writeBigUInt64LE(BigInt(bucket.sequence ?? 0), 8);
    if (elements.every(({ isBucket }) => !isBucket) && leafBytes(elements) <= MAX_INLINE_BYTES) {
      return Buffer.concat([header, leafPage(0, elements, false)]);
    }
    header.writeBigUInt64LE(BigInt(writeTree(elements)), 0);
    return header;
  };

  /** @returns page of the tree's root */
  const writeTree = (elements: readonly Element[]): number => {
    let level = group(elements, ({ key, value }) => key.length + value.length).map((part) => ({
      key: part[0]?.key ?? Buffer.alloc(0),
      page: allocate((id) => leafPage(id, part, true)),
    }));
    while (level.length > 1) {
      level = group(level, ({ key }) => key.length).map((part) => ({
        key: part[0]?.key ?? Buffer.alloc(0),
        page: allocate((id) => branchPage(id, part)),
      }));
    }
    return level[0]?.page ?? 0;
  };

  const rootPage = writeTree(elementsOf(root));
  const metas = [0, 1].map((id) => metaPage(id, { rootPage, sequence: root.sequence ?? 0, end: next }));
  const freelist = Buffer.alloc(PAGE_BYTES);
  writePageHeader(freelist, { id: FREELIST_PAGE, flags: FLAG_FREELIST, count: 0 });
  const file = Buffer.concat([...metas, freelist, ...pages]);
  return Buffer.concat([file, Buffer.alloc(Math.max(0, MIN_FILE_BYTES - file.length))]);
}

/** Cuts a row into runs that fit a page; one that is larger than a page stands alone. Never empty. */
function group<T>(items: readonly T[], bytesOf: (item: T) => number): T[][] {
  const groups: T[][] = [[]];
  let used = PAGE_HEADER_BYTES;
  for (const item of items) {
    const bytes = ELEMENT_BYTES + bytesOf(item);
    if (used + bytes > PAGE_BYTES && used > PAGE_HEADER_BYTES) {
      groups.push([]);
      used = PAGE_HEADER_BYTES;
    }
    groups.at(-1)?.push(item);
    used += bytes;
  }
  return groups;
}

function leafBytes(elements: readonly Element[]): number {
  return elements.reduce((sum, { key, value }) => sum + ELEMENT_BYTES + key.length + value.length, PAGE_HEADER_BYTES);
}

function leafPage(id: number, elements: readonly Element[], isWhole: boolean): Buffer {
  const bytes = leafBytes(elements);
  const page = Buffer.alloc(isWhole ? Math.ceil(bytes / PAGE_BYTES) * PAGE_BYTES : bytes);
  const overflow = isWhole ? page.length / PAGE_BYTES - 1 : 0;
  writePageHeader(page, { id, flags: FLAG_LEAF, count: elements.length, overflow });
  let data = PAGE_HEADER_BYTES + elements.length * ELEMENT_BYTES;
  for (const [index, { key, value, isBucket }] of elements.entries()) {
    const at = PAGE_HEADER_BYTES + index * ELEMENT_BYTES;
    page.writeUInt32LE(isBucket ? ELEMENT_IS_BUCKET : 0, at);
    page.writeUInt32LE(data - at, at + 4);
    page.writeUInt32LE(key.length, at + 8);
    page.writeUInt32LE(value.length, at + 12);
    data += key.copy(page, data);
    data += value.copy(page, data);
  }
  return page;
}

function branchPage(id: number, children: readonly { readonly key: Buffer; readonly page: number }[]): Buffer {
  const page = Buffer.alloc(PAGE_BYTES);
  writePageHeader(page, { id, flags: FLAG_BRANCH, count: children.length });
  let data = PAGE_HEADER_BYTES + children.length * ELEMENT_BYTES;
  for (const [index, child] of children.entries()) {
    const at = PAGE_HEADER_BYTES + index * ELEMENT_BYTES;
    page.writeUInt32LE(data - at, at);
    page.writeUInt32LE(child.key.length, at + 4);
    page.writeBigUInt64LE(BigInt(child.page), at + 8);
    data += child.key.copy(page, data);
  }
  return page;
}

function metaPage(
  id: number,
  { rootPage, sequence, end }: { readonly rootPage: number; readonly sequence: number; readonly end: number },
): Buffer {
  const page = Buffer.alloc(PAGE_BYTES);
  writePageHeader(page, { id, flags: FLAG_META, count: 0 });
  const meta = page.subarray(PAGE_HEADER_BYTES);
  meta.writeUInt32LE(MAGIC, 0);
  meta.writeUInt32LE(FORMAT_VERSION, 4);
  meta.writeUInt32LE(PAGE_BYTES, 8);
  meta.writeBigUInt64LE(BigInt(rootPage), 16);
  meta.writeBigUInt64LE(BigInt(sequence), 24);
  meta.writeBigUInt64LE(BigInt(FREELIST_PAGE), 32);
  meta.writeBigUInt64LE(BigInt(end), 40);
  // Number of the transaction: of the two meta pages the one with the higher number counts.
  meta.writeBigUInt64LE(BigInt(id), 48);
  meta.writeBigUInt64LE(fnv1a(meta.subarray(0, 56)), 56);
  return page;
}

function writePageHeader(
  page: Buffer,
  { id, flags, count, overflow = 0 }: { id: number; flags: number; count: number; overflow?: number },
): void {
  page.writeBigUInt64LE(BigInt(id), 0);
  page.writeUInt16LE(flags, 8);
  page.writeUInt16LE(count, 10);
  page.writeUInt32LE(overflow, 12);
}

/** 64 bit FNV-1a. @see {@link https://datatracker.ietf.org/doc/html/draft-eastlake-fnv} */
function fnv1a(bytes: Buffer): bigint {
  let hash = 0xcbf29ce484222325n;
  for (const byte of bytes) hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * 0x100000001b3n);
  return hash;
}
