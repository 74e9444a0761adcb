import { chmod, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { createTemporaryFolder } from '../../files.js';
import { makeTar } from './testing/rig.js';
import { ArchiveError, extractFromTarGz, parseTarHeader, TarReader } from './untar.js';

const SIGNAL = new AbortController().signal;
const FILES = [
  { name: 'etcd-v3.6.8-linux-amd64/', content: Buffer.alloc(0), type: '5' },
  { name: 'etcd-v3.6.8-linux-amd64/README.md', content: Buffer.from('read me') },
  { name: 'etcd-v3.6.8-linux-amd64/etcd', content: Buffer.from('#!/bin/sh\n'.repeat(500)) },
  { name: 'etcd-v3.6.8-linux-amd64/etcdctl', content: Buffer.from('other') },
];

describe('extractFromTarGz', () => {
  it('takes the one file, executable, and nothing else', async () => {
    await using folder = await createTemporaryFolder();
    const archive = join(folder.path, 'a.tar.gz');
    await writeFile(archive, gzipSync(makeTar(FILES)));
    const to = join(folder.path, 'etcd');
    await extractFromTarGz(archive, './etcd-v3.6.8-linux-amd64/etcd', to, SIGNAL);
    expect((await readFile(to)).equals(FILES[2]!.content)).toBe(true);
    expect((await stat(to)).mode & 0o100).toBe(0o100);
  });

  it.each([
    ['without the file', gzipSync(makeTar(FILES.slice(0, 2))), 'has no'],
    [
      'that is a link of that name',
      gzipSync(makeTar([{ ...FILES[2]!, type: '2', content: Buffer.alloc(0) }])),
      'has no',
    ],
    ['cut short', gzipSync(makeTar(FILES)).subarray(0, 120), 'gzip'],
    ['cut short before it was packed', gzipSync(makeTar(FILES).subarray(0, 3000)), 'ends within'],
    ['that is no gzip', Buffer.from('<html>not found</html>'), 'gzip'],
    ['that is no tar', gzipSync(Buffer.alloc(2048, 'x')), 'not a tar'],
  ])('refuses an archive %s', async (_what, content, message) => {
    await using folder = await createTemporaryFolder();
    const archive = join(folder.path, 'a.tar.gz');
    await writeFile(archive, content);
    const extracted = extractFromTarGz(archive, 'etcd-v3.6.8-linux-amd64/etcd', join(folder.path, 'etcd'), SIGNAL);
    await expect(extracted).rejects.toThrow(ArchiveError);
    await expect(extracted).rejects.toThrow(message);
  });

  it('stops when aborted', async () => {
    await using folder = await createTemporaryFolder();
    const archive = join(folder.path, 'a.tar.gz');
    await writeFile(archive, gzipSync(makeTar(FILES)));
    await chmod(archive, 0o644);
    const extracted = extractFromTarGz(archive, 'x', join(folder.path, 'x'), AbortSignal.abort(new Error('stop')));
    await expect(extracted).rejects.toThrow('stop');
  });
});

describe('TarReader', () => {
  it('finds the same file however the stream is cut', async () => {
    const tar = makeTar(FILES);
    await fc.assert(
      fc.asyncProperty(fc.array(fc.integer({ min: 1, max: 2000 }), { minLength: 1 }), async (sizes) => {
        const taken: Buffer[] = [];
        const reader = new TarReader(
          (name) => name.endsWith('/etcd'),
          async (piece) => {
            taken.push(Buffer.from(piece));
          },
        );
        for (let at = 0, turn = 0; at < tar.length; turn += 1) {
          const size = sizes[turn % sizes.length]!;
          await reader.add(tar.subarray(at, at + size));
          at += size;
        }
        expect(Buffer.concat(taken).equals(FILES[2]!.content)).toBe(true);
        expect(reader.isBetweenEntries()).toBe(true);
      }),
    );
  });

  it('throws only its own error, whatever it is given', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ minLength: 512, maxLength: 2048 }), async (bytes) => {
        const reader = new TarReader(
          () => true,
          async () => undefined,
        );
        await expect(
          reader.add(Buffer.from(bytes)).catch((error: unknown) => {
            if (!(error instanceof ArchiveError)) throw error;
          }),
        ).resolves.toBeUndefined();
      }),
    );
  });
});

describe('parseTarHeader', () => {
  it('joins prefix and name of long paths', () => {
    const name = `${'d'.repeat(60)}/${'f'.repeat(90)}`;
    expect(parseTarHeader(makeTar([{ name, content: Buffer.from('x') }]).subarray(0, 512))).toEqual({
      name,
      sizeBytes: 1,
      isFile: true,
    });
  });
});
