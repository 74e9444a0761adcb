import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { createTemporaryFolder } from '../../files.js';
import type { Accelerator } from '../qemu/index.js';
import { machinePaths, type VmFiles } from '../vm/index.js';
import { macOf, parseDomain, renderDomain, type DomainPlan } from './domain-xml.js';
import { freeAddresses, networkNames, parseNetwork, renderHost, renderNetwork } from './network-xml.js';
import { parseInterfaceAddress, parseNames, parseState } from './virsh.js';
import { childOf, childrenOf, element, parseXml, xmlText } from './xml.js';

const files: VmFiles = {
  record: {
    version: 1,
    name: 'c1-control-plane',
    labels: { cluster: 'c1', owner: '1:2', odd: `<&"'>\n` },
    specDigest: 'd',
    network: 'c1',
    imageKey: '0123456789abcdef',
    architecture: 'amd64',
    boot: { kind: 'kernel', kernel: '/i/vmlinuz', initrd: '/i/initrd', append: 'root=/dev/vda console=ttyS0 "a b"' },
    cpus: 2,
    memoryMiB: 4096,
    forwardedPorts: [22, 6443],
    hostKey: 'ssh-ed25519 AAAA',
    createdAt: '2026-11-21T00:00:00.000Z',
  },
  paths: machinePaths('/m & n', 'c1-control-plane'),
};
const plan: DomainPlan = {
  files,
  folder: '/m & n',
  accelerator: 'tcg',
  network: { kind: 'network', name: 'mk-ci-0', mac: '52:54:00:01:02:03' },
};
const plans: readonly (readonly [string, DomainPlan])[] = (['kvm', 'tcg'] satisfies Accelerator[]).flatMap(
  (accelerator) =>
    (['amd64', 'arm64'] as const).flatMap((architecture) => {
      const record = { ...files.record, architecture };
      const firmware = { ...record, boot: { kind: 'firmware' as const, code: '/usr/share/AAVMF/AAVMF_CODE.fd' } };
      const base = { ...plan, accelerator };
      return [
        [`${accelerator} ${architecture}`, { ...base, files: { ...files, record } }],
        [
          `${accelerator} ${architecture}, firmware, as a user`,
          { ...base, files: { ...files, record: firmware }, runAs: { uid: 1000, gid: 100 } },
        ],
        [
          `${accelerator} ${architecture}, user network`,
          { ...base, files: { ...files, record }, network: { kind: 'user', ports: [22, 6443] } },
        ],
      ] as const;
    }),
);

describe('XML', () => {
  it('brings back what it was given', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), fc.string(), (value, text) => {
        const back = parseXml(element('a', { value, n: 1, none: undefined }, element('b', {}, xmlText(text))));
        // What XML can not hold is left out, nothing else.
        const held = (given: string) =>
          given.replace(/[^\t\n\r\u{20}-\u{d7ff}\u{e000}-\u{fffd}\u{10000}-\u{10ffff}]/gu, '');
        expect(back.attributes).toEqual({ value: held(value), n: '1' });
        expect(childOf(back, 'b')?.text ?? '').toBe(held(text));
      }),
    );
  });

  it.each(['', 'error: no', '<a>', '<a></b>', '<a/><b'])('refuses %j', (text) => {
    expect(() => parseXml(text)).toThrow(/libvirt says/);
  });
});

describe('documents of machines', () => {
  it.each(plans)('are valid by the schema of libvirt: %s', async (_, each) => {
    await validate(renderDomain(each), 'domain');
  });

  it('say whose a machine is', () => {
    expect(parseDomain(renderDomain(plan))).toEqual({
      name: 'c1-control-plane',
      mac: '52:54:00:01:02:03',
      owner: { folder: '/m & n', network: 'c1', labels: files.record.labels },
    });
    // By the namespace, whatever its prefix.
    const other = renderDomain(plan)
      .replaceAll(/(<\/?)mk-ci:/g, '$1x:')
      .replace('xmlns:mk-ci', 'xmlns:x');
    expect(parseDomain(other).owner?.network).toBe('c1');
    const foreign = renderDomain(plan).replace('urn:mk-ci:machine:1', 'urn:somebody');
    expect(parseDomain(foreign).owner).toBeUndefined();
  });

  it('run on the processor where there is KVM, and translate with room for the code where not', () => {
    const kvm = parseXml(renderDomain({ ...plan, accelerator: 'kvm' }));
    expect(kvm.attributes['type']).toBe('kvm');
    expect(childOf(kvm, 'cpu')?.attributes).toEqual({ mode: 'host-passthrough' });
    const tcg = parseXml(renderDomain(plan));
    expect(tcg.attributes['type']).toBe('qemu');
    expect(childOf(tcg, 'features', 'tcg', 'tb-cache')?.text).toBe('1024');
    const features = childrenOf(childOf(tcg, 'cpu'), 'feature').map(({ attributes }) => attributes);
    expect(features).toContainEqual({ policy: 'disable', name: 'smap' });
    expect(childrenOf(childOf(kvm, 'cpu'), 'feature')).toEqual([]);
  });

  it('forward ports of the loopback only, and run as the owner of their files', () => {
    const user = parseXml(renderDomain({ ...plan, network: { kind: 'user', ports: [22, 6443] } }));
    const args = childrenOf(childOf(user, 'qemu:commandline'), 'qemu:arg').map(({ attributes }) => attributes['value']);
    expect(args[1]).toBe('user,id=mkci0,hostfwd=tcp:127.0.0.1:0-:22,hostfwd=tcp:127.0.0.1:0-:6443');
    expect(childOf(user, 'devices', 'interface')).toBeUndefined();
    const owned = parseXml(renderDomain({ ...plan, runAs: { uid: 1000, gid: 100 } }));
    expect(childOf(owned, 'seclabel', 'label')?.text).toBe('+1000:+100');
  });

  it('have the same MAC whenever they are made, and another in another folder', () => {
    expect(macOf('/a', 'n')).toBe(macOf('/a', 'n'));
    expect(macOf('/a', 'n')).not.toBe(macOf('/b', 'n'));
    expect(macOf('/a', 'n')).toMatch(/^52:54:00(?::[0-9a-f]{2}){3}$/);
  });

  it('are taken by libvirt itself, with snapshots and what is written on them, where there is one', async ({
    skip,
  }) => {
    // Its test driver keeps nothing from one process to the next: all of it is one call.
    if (spawnSync('virsh', ['--version']).error !== undefined) skip();
    await using folder = await createTemporaryFolder();
    const path = join(folder.path, 'domain.xml');
    const document = renderDomain({ ...plan, network: { kind: 'network', name: 'default', mac: '52:54:00:01:02:03' } });
    writeFileSync(path, document.replace('<domain type="qemu"', '<domain type="test"'));
    const name = 'c1-control-plane';
    const steps = [
      ...[`define '${path}'`, 'list --all --name', `dumpxml ${name}`, `start ${name}`, `domstate ${name} --reason`],
      ...[`suspend ${name}`, `domstate ${name} --reason`, `resume ${name}`, `snapshot-create-as ${name} one`],
      ...[`snapshot-list ${name} --name`, `snapshot-revert ${name} one --running`, `snapshot-delete ${name} one`],
      ...[`destroy ${name}`, `domstate ${name} --reason`, `undefine ${name} --snapshots-metadata`, 'list --all --name'],
    ];
    const run = spawnSync('virsh', ['--quiet', '--connect', 'test:///default', steps.join('; ')], {
      encoding: 'utf8',
      env: { ...process.env, LC_ALL: 'C' },
    });
    expect(run.stderr).toBe('');
    const dumped = /<domain [\s\S]*<\/domain>/.exec(run.stdout)?.[0] ?? '';
    expect(parseDomain(dumped)).toMatchObject({ name, owner: { folder: '/m & n', labels: { odd: `<&"'>\n` } } });
    const states = run.stdout.split('\n').filter((line) => /^(?:running|paused|shut off) \(/.test(line));
    expect(states.map(parseState)).toEqual(['running', 'paused', 'stopped']);
    expect(run.stdout.split('\n')).toContain('one');
    expect(parseNames(run.stdout.slice(run.stdout.lastIndexOf('shut off')).split('\n').slice(1).join('\n'))).toEqual([
      'test',
    ]);
  });
});

describe('documents of networks', () => {
  it('are valid by the schema of libvirt and say what was put into them', async () => {
    const names = networkNames('/m', 'a word that is much longer than a name of a device');
    expect(names.bridge.length).toBeLessThanOrEqual(15);
    const owner = { folder: '/m', network: 'w', labels: { a: 'b "<&' }, name: 'one' };
    const document = renderNetwork({ ...names, subnet: '192.168.70.0/24', owner });
    await validate(document, 'network');
    const host = { mac: '52:54:00:00:00:01', name: 'one', address: '192.168.70.10' };
    const facts = parseNetwork(document.replace('</dhcp>', `${renderHost(host)}</dhcp>`));
    expect(facts).toEqual({ name: names.name, addresses: ['192.168.70.1/24'], hosts: [host], owner });
    expect(freeAddresses(facts, 'other')[0]).toBe('192.168.70.11');
    expect(freeAddresses(facts, host.mac)[0]).toBe('192.168.70.10');
  });

  it('of others are read as far as they go', () => {
    const document = `<network><name>x</name><ip address='10.1.2.1' prefix='22'/><ip family='ipv6' address='fd00::1' prefix='64'/><ip address='172.16.0.1' netmask='255.240.0.0'/></network>`;
    expect(parseNetwork(document)).toEqual({ name: 'x', addresses: ['10.1.2.1/22', '172.16.0.1/12'], hosts: [] });
  });
});

describe('what virsh says', () => {
  it('of states', () => {
    const said = [
      'running (booted)',
      'paused (user)',
      'paused (I/O error)',
      'shut off (crashed)',
      'crashed (panicked)',
    ];
    const states = [...said, 'in shutdown (user)', 'pmsuspended', ''].map((text) => parseState(`${text}\n\n`));
    expect(states).toEqual(['running', 'paused', 'broken', 'stopped', 'broken', 'running', 'paused', 'running']);
  });

  it('of addresses, whatever else stands around them', () => {
    // virsh 9.0.0, `domifaddr --source lease`, 2026-11-21
    const text = ` vnet0      52:54:00:AA:bb:01    ipv4         192.168.70.10/24\n vnet1      52:54:00:aa:bb:02    ipv6         fe80::1/64\n`;
    expect(parseInterfaceAddress(text, '52:54:00:aa:bb:01')).toBe('192.168.70.10');
    expect(parseInterfaceAddress(text, '52:54:00:aa:bb:02')).toBeUndefined();
    expect(parseInterfaceAddress('', '52:54:00:aa:bb:01')).toBeUndefined();
  });
});

/** By the schemas that libvirt's clients bring along; without them the document is only read. */
async function validate(document: string, schema: 'domain' | 'network'): Promise<void> {
  expect(parseXml(document).name).toBe(schema);
  await using folder = await createTemporaryFolder();
  const path = join(folder.path, 'document.xml');
  writeFileSync(path, document);
  const run = spawnSync('virt-xml-validate', [path, schema], { encoding: 'utf8' });
  // A script around xmllint, of a package that it does not bring.
  if (run.error === undefined && !run.stderr.includes('xmllint: not found'))
    expect(`${run.stdout}${run.stderr}`).toContain('validates');
}
