/** Archives that the kernel unpacks as its first root file system: cpio, `newc`. Pure. */

export type CpioEntry =
  | { readonly kind: 'folder'; readonly path: string }
  | { readonly kind: 'file'; readonly path: string; readonly content: Uint8Array; readonly mode: number }
  | { readonly kind: 'link'; readonly path: string; readonly target: string };

/**
 * All things belong to root and have the time 0, so that the same entries give the same bytes. A folder has to come before
 * what is in it.
 *
 * @throws {RangeError} for a path that is not relative or comes twice
 * @see {@link https://www.kernel.org/doc/Documentation/early-userspace/buffer-format.txt} for the format
 */
export function cpioArchive(entries: readonly CpioEntry[]): Buffer {
  const seen = new Set<string>();
  const parts = entries.map((entry, index) => {
    if (
      entry.path === '' ||
      entry.path.startsWith('/') ||
      entry.path.endsWith('/') ||
      entry.path.includes('\0') ||
      seen.has(entry.path)
    ) {
      throw new RangeError(`not a path for an archive: ${JSON.stringify(entry.path)}`);
    }
    seen.add(entry.path);
    switch (entry.kind) {
      case 'folder':
        return record(entry.path, 0o040755, Buffer.alloc(0), index + 1);
      case 'file':
        return record(entry.path, 0o100000 | entry.mode, Buffer.from(entry.content), index + 1);
      case 'link':
        return record(entry.path, 0o120777, Buffer.from(entry.target), index + 1);
    }
  });
  return Buffer.concat([...parts, record('TRAILER!!!', 0, Buffer.alloc(0), 0)]);
}

function record(path: string, mode: number, content: Buffer, inode: number): Buffer {
  const name = Buffer.from(`${path}\0`);
  const fields = [inode, mode, 0, 0, mode >> 12 === 4 ? 2 : 1, 0, content.length, 0, 0, 0, 0, name.length, 0];
  const header = Buffer.from(`070701${fields.map((field) => field.toString(16).padStart(8, '0')).join('')}`, 'latin1');
  return Buffer.concat([filled(Buffer.concat([header, name])), filled(content)]);
}

/** To a multiple of four bytes. */
function filled(bytes: Buffer): Buffer {
  return Buffer.concat([bytes, Buffer.alloc((4 - (bytes.length % 4)) % 4)]);
}
