import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';

import { createTemporaryFolder } from '../../files.js';
import { isoImage, type IsoFile } from './iso9660.js';
import { renderSeed, renderSetup, renderUserData, type SeedInput } from './render-seed.js';

const AT = new Date('2026-11-21T12:34:56Z');
const input: SeedInput = {
  name: 'c1-control-plane',
  authorizedKey: 'ssh-ed25519 AAAA mk-ci',
  hostKey: {
    privateKey: '-----BEGIN OPENSSH PRIVATE KEY-----\nabc\n-----END OPENSSH PRIVATE KEY-----\n',
    publicKey: 'ssh-ed25519 BBBB',
  },
  network: { address: '10.0.2.15', prefix: 24, gateway: '10.0.2.2', nameserver: '10.0.2.3' },
  createdAt: AT,
};

/** Reads a tree of an image by the standard, written apart from the writer: name → content. */
function readTree(image: Buffer, descriptor: number): Map<string, Buffer> {
  const base = descriptor * 2048;
  expect(image.toString('latin1', base + 1, base + 6)).toBe('CD001');
  const isWide = image.readUInt8(base) === 2;
  const rootSector = image.readUInt32LE(base + 156 + 2);
  const rootBytes = image.readUInt32BE(base + 156 + 14);
  const found = new Map<string, Buffer>();
  for (let at = rootSector * 2048; at < rootSector * 2048 + rootBytes;) {
    const length = image.readUInt8(at);
    if (length === 0) {
      at = (Math.floor(at / 2048) + 1) * 2048;
      continue;
    }
    expect(Math.floor(at / 2048)).toBe(Math.floor((at + length - 1) / 2048));
    const nameLength = image.readUInt8(at + 32);
    const raw = Buffer.from(image.subarray(at + 33, at + 33 + nameLength));
    if (nameLength > 1 || raw[0]! > 1) {
      const name = isWide ? raw.swap16().toString('utf16le') : raw.toString('latin1');
      const sector = image.readUInt32LE(at + 2);
      const size = image.readUInt32BE(at + 14);
      found.set(name, image.subarray(sector * 2048, sector * 2048 + size));
    }
    at += length;
  }
  return found;
}

describe('images of CDs', () => {
  const name = fc.stringMatching(/^[A-Za-zäß€._-]{1,64}$/);
  const file = fc.record({ name, content: fc.uint8Array({ maxLength: 5000 }) });
  const files = fc.uniqueArray(file, { selector: (item: IsoFile) => item.name, maxLength: 60 });

  it('give back every file under its own name, whatever the names, sizes and number', () => {
    fc.assert(
      fc.property(files, (list) => {
        const image = isoImage({ volumeId: 'cidata', files: list, modifiedAt: AT });
        expect(image.length % 2048).toBe(0);
        const wide = readTree(image, 17);
        expect(wide.size).toBe(list.length);
        for (const item of list) expect(wide.get(item.name)?.equals(item.content as Uint8Array)).toBe(true);
        // The plain tree has other names, but the same files.
        expect(readTree(image, 16).size).toBe(list.length);
      }),
      { numRuns: 60 },
    );
  });

  it('refuse names and labels that there is no room for', () => {
    for (const bad of ['', 'a/b', 'a'.repeat(65), 'what?', 'nul\0']) {
      expect(() => isoImage({ volumeId: 'x', files: [{ name: bad, content: '' }], modifiedAt: AT })).toThrow(
        RangeError,
      );
    }
    const twice = [
      { name: 'a', content: '' },
      { name: 'a', content: '' },
    ];
    expect(() => isoImage({ volumeId: 'x', files: twice, modifiedAt: AT })).toThrow(RangeError);
    expect(() => isoImage({ volumeId: 'a label too long', files: [], modifiedAt: AT })).not.toThrow();
    expect(() => isoImage({ volumeId: 'a label too long!', files: [], modifiedAt: AT })).toThrow(RangeError);
  });

  it('are read by isoinfo, where it is installed', async ({ skip }) => {
    if (spawnSync('isoinfo', ['-version']).error !== undefined) skip();
    await using folder = await createTemporaryFolder();
    const path = join(folder.path, 'seed.iso');
    writeFileSync(path, renderSeed(input));
    const run = (...args: string[]) => spawnSync('isoinfo', ['-i', path, ...args], { encoding: 'utf8' }).stdout;
    expect(run('-d')).toMatch(/Volume id: cidata\n/);
    expect(run('-d')).toContain('Joliet with UCS level 3 found');
    expect(run('-J', '-f').trim().split('\n').sort()).toEqual(['/meta-data', '/mk-ci-setup', '/user-data']);
    expect(run('-J', '-x', '/user-data')).toBe(renderUserData(input));
    expect(run('-x', '/META_DATA.;1')).toContain('"local-hostname":"c1-control-plane"');
  });
});

describe('seeds', () => {
  it('give cloud-init the keys of root and of the host', () => {
    const text = renderUserData(input);
    expect(text.startsWith('#cloud-config\n')).toBe(true);
    expect(parse(text)).toMatchObject({
      disable_root: false,
      ssh_keys: { ed25519_private: input.hostKey.privateKey },
      users: [{ name: 'root', ssh_authorized_keys: ['ssh-ed25519 AAAA mk-ci'] }],
    });
  });

  it('have a setup script that a shell can read, also with quotes in a name', () => {
    const script = renderSetup({ ...input, name: "it's", authorizedKey: "key 'quoted' $HOME" });
    const checked = spawnSync('sh', ['-n'], { input: script, encoding: 'utf8' });
    expect(checked.stderr).toBe('');
    expect(checked.status).toBe(0);
    const line = script.split('\n').find((text) => text.includes('authorized_keys'))!;
    expect(spawnSync('sh', ['-c', line.replace(/>.*/, '')], { encoding: 'utf8' }).stdout).toBe("key 'quoted' $HOME\n");
  });

  it('let timers wait for each other where the guest is translated, and only there', async () => {
    const line = renderSetup(input)
      .split('\n')
      .find((text) => text.includes('timerslack_ns'))!;
    await using folder = await createTemporaryFolder('mk-ci-seed-');
    const written = (hypervisor: string) => {
      writeFileSync(join(folder.path, 'systemd-detect-virt'), `#!/bin/sh\necho ${hypervisor}\n`, { mode: 0o755 });
      const script = `set -eu; PATH=${folder.path}:$PATH; ${line.replace('/proc/1/', `${folder.path}/`)}`;
      writeFileSync(join(folder.path, 'timerslack_ns'), '50000\n');
      expect(spawnSync('sh', ['-c', script]).status).toBe(0);
      return readFileSync(join(folder.path, 'timerslack_ns'), 'utf8');
    };
    expect(written('qemu')).toBe('30000000\n');
    expect(written('kvm')).toBe('50000\n');
  });

  it('give the known address to the first card when there is a second, which asks for one', async () => {
    const secondMac = '52:54:00:aa:bb:cc';
    const script = renderSetup({ ...input, secondMac });
    expect(spawnSync('sh', ['-n'], { input: script, encoding: 'utf8' }).stderr).toBe('');
    await using folder = await createTemporaryFolder('mk-ci-seed-');
    const cards = { enp0s10: secondMac, enp0s2: '52:54:00:12:34:56', lo: '00:00:00:00:00:00' };
    for (const [name, mac] of Object.entries(cards)) {
      mkdirSync(join(folder.path, name));
      writeFileSync(join(folder.path, name, 'address'), `${mac}\n`);
    }
    const lines = script.split('\n');
    const find = lines.find((line) => line.startsWith('link='))!.replace('/sys/class/net', folder.path);
    expect(spawnSync('sh', ['-euc', `${find}; echo "$link"`], { encoding: 'utf8' }).stdout).toBe('enp0s2\n');
    const print = lines.find((line) => line.includes(`MACAddress=${secondMac}`))!.replace(/>.*/, '');
    expect(spawnSync('sh', ['-c', print], { encoding: 'utf8' }).stdout).toBe(
      `[Match]\nMACAddress=${secondMac}\n[Network]\nDHCP=ipv4\nIPv6AcceptRA=no\n[DHCPv4]\nUseGateway=no\nUseRoutes=no\nUseDNS=no\nUseHostname=no\n`,
    );
  });

  it('leave the address to a server, where the host does not know it', () => {
    const script = renderSetup({ ...input, network: 'dhcp' });
    expect(spawnSync('sh', ['-n'], { input: script, encoding: 'utf8' }).stderr).toBe('');
    expect(script).not.toContain('ip address');
    const line = script.split('\n').find((text) => text.includes('[Match]'))!;
    expect(spawnSync('sh', ['-c', line.replace(/>.*/, '')], { encoding: 'utf8' }).stdout).toBe(
      '[Match]\nName=e*\n[Network]\nDHCP=ipv4\n[DHCPv4]\nClientIdentifier=mac\n',
    );
  });
});
