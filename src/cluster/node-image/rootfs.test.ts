import { describe, expect, it } from 'vitest';

import { isMkCiError, MkCiError } from '../../errors.js';

import { makeRootfs, parseAptMirrors, renderAptSources, rootfsFailure, rootfsKey } from './rootfs.js';
import { proxyFiles, type RootTree } from './root-tree.js';
import { readElfNeeds } from './elf.js';

const DEB822 = `Types: deb
# a comment
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://mirror.example/debian-security
Suites: bookworm-security
Components: main
`;

describe('mirrors of the host', () => {
  it('are read from deb822 files', () => {
    expect(parseAptMirrors([DEB822])).toEqual([
      { uri: 'http://mirror.example/debian', isSecurity: false },
      { uri: 'http://mirror.example/debian-security', isSecurity: true },
    ]);
  });

  it('are read from one-line files, without sources that are not Debian, disabled or of source packages', () => {
    const text = `deb [arch=amd64 signed-by=/k.gpg] https://one.example/debian trixie main contrib
# deb http://two.example/debian trixie main
deb-src http://three.example/debian trixie main
deb https://tools.example nodistro main
`;
    const disabled = DEB822.replace('Types: deb\n#', 'Types: deb\nEnabled: no\n#');
    expect(parseAptMirrors([text, disabled])).toEqual([
      { uri: 'https://one.example/debian', isSecurity: false },
      { uri: 'http://mirror.example/debian-security', isSecurity: true },
    ]);
  });

  it("become sources of the node's own suite", () => {
    expect(renderAptSources(parseAptMirrors([DEB822]))).toBe(
      'deb http://mirror.example/debian trixie main\n' +
        'deb http://mirror.example/debian trixie-updates main\n' +
        'deb http://mirror.example/debian-security trixie-security main\n',
    );
  });

  it('are part of the key of what is made from them', () => {
    expect(rootfsKey('a', 'amd64')).not.toBe(rootfsKey('b', 'amd64'));
  });
});

describe('a failure of mmdebstrap', () => {
  it.each([
    ['E: Failed to fetch http://x  Temporary failure resolving x\nE: apt-get update failed', 'NET_UNREACHABLE'],
    ['Err:1 http://x  Could not connect\n  Unable to connect to x:http:', 'NET_UNREACHABLE'],
    ['dpkg: error: cannot write: No space left on device', 'HOST_DISK_FULL'],
    ['I: running\nE: Unable to locate package nonsense', 'IMG_ROOTFS_FAILED'],
    ['', 'IMG_ROOTFS_FAILED'],
  ])('with %j is called %s', (output, code) => {
    expect(rootfsFailure(output).code).toBe(code);
  });

  it('for want of ids, as Debian 12 gave it to a user without uidmap, is said with what the user needs', () => {
    const words = 'E: unable to pick chroot mode automatically (use --mode for manual selection)\n';
    const { code, advice } = rootfsFailure(words);
    expect(code).toBe('IMG_ROOTFS_FAILED');
    expect(advice).toMatch(/uidmap.*\/etc\/subuid.*as root/);
  });

  it('to be there is said with what to install', async () => {
    const error: unknown = await makeRootfs({
      exec: () => Promise.reject(new MkCiError('HOST_MISSING_TOOL', { message: 'mmdebstrap (not found)' })),
      sources: '',
      arch: 'amd64',
      to: '/nowhere',
      env: {},
      signal: new AbortController().signal,
    }).catch((thrown: unknown) => thrown);
    expect(isMkCiError(error, 'HOST_MISSING_TOOL') && error.advice).toContain('apt-get install mmdebstrap');
  });
});

describe("files of kube-proxy's image", () => {
  /** A minimal ELF file: one loaded segment, an interpreter, libraries. */
  function elf(libraries: readonly string[], interpreter?: string): Buffer {
    const file = Buffer.alloc(2048);
    file.write('\u007fELF\u0002\u0001', 'latin1');
    file.writeBigUInt64LE(64n, 32);
    file.writeUInt16LE(56, 54);
    const segments = [
      { type: 1, offset: 0, address: 0x10000, bytes: 2048 },
      { type: 2, offset: 512, address: 0x10000 + 512, bytes: 16 * (libraries.length + 2) },
      ...(interpreter === undefined ? [] : [{ type: 3, offset: 1800, address: 0, bytes: 100 }]),
    ];
    file.writeUInt16LE(segments.length, 56);
    for (const [index, { type, offset, address, bytes }] of segments.entries()) {
      const at = 64 + index * 56;
      file.writeUInt32LE(type, at);
      file.writeBigUInt64LE(BigInt(offset), at + 8);
      file.writeBigUInt64LE(BigInt(address), at + 16);
      file.writeBigUInt64LE(BigInt(bytes), at + 32);
    }
    let text = 1025;
    for (const [index, library] of libraries.entries()) {
      file.writeBigUInt64LE(1n, 512 + index * 16);
      file.writeBigUInt64LE(BigInt(text - 1024), 512 + index * 16 + 8);
      text += file.write(`${library}\0`, text);
    }
    file.writeBigUInt64LE(5n, 512 + libraries.length * 16);
    file.writeBigUInt64LE(0x10000n + 1024n, 512 + libraries.length * 16 + 8);
    if (interpreter !== undefined) file.write(`${interpreter}\0`, 1800);
    return file;
  }

  it('are found through alternatives, libraries of libraries and the loader', () => {
    const lib = 'usr/lib/x86_64-linux-gnu';
    const file = (content: Buffer): { content: Buffer; mode: number } => ({ content, mode: 0o755 });
    const tree: RootTree = {
      files: new Map([
        ['usr/sbin/xtables-nft-multi', file(elf(['libxtables.so.12'], '/lib64/ld-linux-x86-64.so.2'))],
        [`${lib}/libxtables.so.12.7`, file(elf(['libc.so.6']))],
        [`${lib}/libc.so.6`, file(elf([]))],
        [`${lib}/ld-linux-x86-64.so.2`, file(elf([]))],
        [`${lib}/libunused.so.1`, file(elf([]))],
        [`${lib}/xtables/libxt_mark.so`, file(elf(['libc.so.6']))],
      ]),
      links: new Map([
        ['lib64', 'usr/lib64'],
        ['usr/lib64/ld-linux-x86-64.so.2', '../lib/x86_64-linux-gnu/ld-linux-x86-64.so.2'],
        ['usr/sbin/iptables', '/etc/alternatives/iptables'],
        ['etc/alternatives/iptables', '/usr/sbin/iptables-nft'],
        ['usr/sbin/iptables-nft', 'xtables-nft-multi'],
        [`${lib}/libxtables.so.12`, 'libxtables.so.12.7'],
      ]),
    };
    const paths = proxyFiles(tree).map(({ path }) => path);
    expect(paths).toEqual(
      expect.arrayContaining([...tree.files.keys(), ...tree.links.keys()].filter((path) => !path.includes('unused'))),
    );
    expect(paths).not.toContain(`${lib}/libunused.so.1`);
  });

  it('are none without iptables', () => {
    expect(proxyFiles({ files: new Map(), links: new Map([['lib', 'usr/lib']]) })).toEqual([]);
  });

  it('end with links that run in a circle', () => {
    const links = new Map([
      ['usr/sbin/iptables', 'iptables-nft'],
      ['usr/sbin/iptables-nft', 'iptables'],
    ]);
    expect(proxyFiles({ files: new Map(), links })).toEqual([]);
  });

  it('are not looked for in what is no ELF file or a broken one', () => {
    expect(readElfNeeds(Buffer.from('#!/bin/sh\n'.repeat(20)))).toBeUndefined();
    const cut = elf(['libc.so.6']).subarray(0, 530);
    expect(readElfNeeds(cut)).toBeUndefined();
  });
});
