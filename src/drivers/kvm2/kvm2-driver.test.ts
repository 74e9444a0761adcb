import { access, mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';

import { isMkCiError } from '../../errors.js';
import { createTemporaryFolder, type TemporaryFolder } from '../../files.js';
import { describeDriverContract } from '../driver-contract.js';
import type { Driver, MachineSpec } from '../driver.js';
import type { AcceleratorChoice } from '../qemu/index.js';
import { VM_IMAGE_FILE } from '../vm/index.js';
import { createKvm2Driver } from './kvm2-driver.js';
import { createNetworks } from './networks.js';
import { createFakeLibvirt, type FakeLibvirt } from './testing/fake-virsh.js';
import { createVirsh } from './virsh.js';

const { signal } = new AbortController();
const failure = async (promise: Promise<unknown>): Promise<unknown> => await promise.catch((error: unknown) => error);
const choice: AcceleratorChoice = {
  choose: async () => 'tcg',
  probe: async () => [
    { accelerator: 'kvm', works: false, reason: 'KVM opens, but an ordinary guest hangs on it' },
    { accelerator: 'tcg', works: true },
  ],
};

let folder: TemporaryFolder;
let libvirt: FakeLibvirt;
beforeAll(async () => {
  folder = await createTemporaryFolder('mkk-');
  libvirt = await createFakeLibvirt();
  const image = join(folder.path, 'images', 'v1.36.3-amd64-aaaa');
  await mkdir(image, { recursive: true });
  await writeFile(join(image, 'disk.img'), 'disk');
  const facts = {
    ...{ format: 'mk-ci-vm-image/1', architecture: 'amd64', key: '0123456789abcdef', disk: 'disk.img', diskBytes: 4 },
    ...{ kernel: 'vmlinuz', initrd: 'initrd.img', append: 'root=/dev/vda' },
  };
  await writeFile(join(image, VM_IMAGE_FILE), JSON.stringify(facts));
});
afterAll(async () => {
  await libvirt[Symbol.asyncDispose]();
  await folder[Symbol.asyncDispose]();
});

let hasDnsmasq = true;
const createDriver = (machines: string, uri?: string, exec = libvirt.tools.exec): Driver =>
  createKvm2Driver({
    exec,
    isInstalled: (program) => program !== 'dnsmasq' || hasDnsmasq,
    machinesFolder: join(folder.path, machines),
    imagesFolder: join(folder.path, 'images'),
    uri,
    choice,
    pollMs: 10,
    architecture: 'x64',
    memoryBytes: 2 ** 34,
    hostSubnets: () => ['192.168.64.0/24'],
  });

describeDriverContract('kvm2 (fake virsh, qemu:///session)', {
  create: () => createDriver('contract', 'qemu:///session'),
  machine: { image: 'mk-ci-node:v1.36.3' },
});

describe('driver kvm2', () => {
  it('runs the programs of this host', async () => {
    await using programs = await createFakeLibvirt({ asPrograms: true });
    const driver = createDriver('programs', 'qemu:///session', programs.tools.exec);
    const machine = await driver.machines!.create(
      { name: 'one', labels: { a: 'b' }, image: 'mk-ci-node:v1.36.3' },
      signal,
    );
    expect((await machine.exec(['echo', 'up'])).stdout).toBe('up\n');
    expect(await driver.machines!.list({ a: 'b' }, signal)).toMatchObject([{ name: 'one', state: 'running' }]);
    await driver.machines!.remove('one', signal);
    expect(programs.domains.size).toBe(0);
  });
});

describe('machines of kvm2', () => {
  const spec: MachineSpec = { name: 'one', labels: { cluster: 'c' }, image: 'mk-ci-node:v1.36.3' };
  let driver: Driver;
  let count = 0;
  beforeEach(() => {
    count += 1;
    libvirt.refuses = {};
    libvirt.ignoresPowerButton = false;
    driver = createDriver(`m${count}`, 'qemu:///session');
  });
  afterEach(async () => {
    for (const { name } of await driver.machines!.list({}, signal)) await driver.machines!.remove(name, signal);
  });

  it('finds a machine by what is written on it when all files are gone, and makes room for another', async () => {
    await driver.machines!.create(spec, signal);
    await rm(join(folder.path, `m${count}`), { recursive: true });
    expect(await driver.machines!.list({ cluster: 'c' }, signal)).toEqual([
      { name: 'one', state: 'broken', labels: { cluster: 'c' } },
    ]);
    await driver.machines!.create(spec, signal);
    expect(await driver.machines!.list({}, signal)).toMatchObject([{ name: 'one', state: 'running' }]);
  });

  it('leaves machines of others alone, also those with the same name', async () => {
    const document = '<domain type="kvm"><name>one</name><devices/></domain>';
    libvirt.addForeign('one', document);
    expect(await driver.machines!.list({}, signal)).toEqual([]);
    const error = await failure(driver.machines!.create(spec, signal));
    expect(isMkCiError(error, 'DRV_MACHINE_EXISTS')).toBe(true);
    await driver.machines!.remove('one', signal);
    expect(libvirt.domains.get('one')?.document).toBe(document);
    const other = createDriver('elsewhere', 'qemu:///session');
    await other.machines!.create({ ...spec, name: 'two' }, signal);
    await driver.machines!.remove('two', signal);
    expect(await driver.machines!.list({}, signal)).toEqual([]);
    expect(await other.machines!.list({}, signal)).toMatchObject([{ name: 'two', state: 'running' }]);
    await other.machines!.remove('two', signal);
    await rm(join(folder.path, 'elsewhere'), { recursive: true });
    libvirt.domains.delete('one');
  });

  it('starts a machine again that somebody took from libvirt', async () => {
    await driver.machines!.create(spec, signal);
    await libvirt.tools.exec(['virsh', '-q', '-c', 'qemu:///session', 'destroy', 'one'].map(String) as ['virsh']);
    libvirt.domains.delete('one');
    expect(await driver.machines!.list({}, signal)).toMatchObject([{ state: 'stopped' }]);
    const machine = await driver.machines!.start('one', signal);
    expect((await machine.exec(['echo', 'up'])).stdout).toBe('up\n');
  });

  it('keeps machines of one network apart where they can not reach each other', async () => {
    await driver.machines!.create({ ...spec, network: 'n' }, signal);
    const second = await failure(driver.machines!.create({ ...spec, name: 'two', network: 'n' }, signal));
    expect(isMkCiError(second, 'DRV_UNSUPPORTED')).toBe(true);
    expect(await driver.machines!.list({}, signal)).toMatchObject([{ name: 'one' }]);
    expect([...libvirt.domains.keys()]).toEqual(['one']);
  });

  it('leaves nothing of a machine that does not start', async () => {
    const define = libvirt.addForeign;
    libvirt.addForeign = (name, document) => {
      define(name, document);
      libvirt.domains.get(name)!.state = 'running (booted)'; // then it is said to be active, and has no port for ssh
    };
    const error = await failure(driver.machines!.create(spec, AbortSignal.timeout(3000)));
    libvirt.addForeign = define;
    expect(error).toBeInstanceOf(Error);
    expect(libvirt.domains.size).toBe(0);
    await expect(access(join(folder.path, `m${count}`, 'one'))).rejects.toThrow();
  });
});

describe('a create of kvm2 that was killed', () => {
  /** Goes no further than before this command, as if its process had ended. */
  const killBefore = async (verb: string, machines: string): Promise<void> => {
    await new Promise<void>((resolve, reject) => {
      const driver = createDriver(machines, 'qemu:///system', async (argv, options) => {
        if (!argv.includes(verb)) return await libvirt.tools.exec(argv, options);
        resolve();
        return await new Promise(() => undefined);
      });
      driver.machines!.create(spec, signal).catch(reject);
    });
  };
  const spec: MachineSpec = { name: 'lost', labels: { cluster: 'c' }, image: 'mk-ci-node:v1.36.3' };

  it.each([
    ['net-update', 'a network that has no machine yet'],
    ['define', 'an address of a machine that was never defined'],
  ])('before %s leaves %s, which is found by its labels and removed', async (verb) => {
    libvirt.refuses = {};
    vi.stubEnv('TMPDIR', folder.path); // what it was writing stays
    await killBefore(verb, verb);
    vi.unstubAllEnvs();
    expect(libvirt.networks.size).toBe(1);
    await rm(join(folder.path, verb), { recursive: true, force: true }); // nothing is noted on this host
    const driver = createDriver(verb, 'qemu:///system');
    expect(await createDriver('other', 'qemu:///system').machines!.list({}, signal)).toEqual([]);
    expect(await driver.machines!.list({ cluster: 'c' }, signal)).toEqual([
      { name: 'lost', state: 'broken', labels: { cluster: 'c' } },
    ]);
    await createDriver('other', 'qemu:///system').machines!.remove('lost', signal);
    expect(libvirt.networks.size).toBe(1);
    await driver.machines!.remove('lost', signal);
    expect(libvirt.networks.size).toBe(0);
    expect(await driver.machines!.list({}, signal)).toEqual([]);
  });
});

describe('the check of libvirt', () => {
  beforeEach(() => {
    libvirt.refuses = {};
  });
  const reasons = async (driver: Driver) => (await driver.check(signal)).problems.map(({ reason }) => reason);

  it('says what it found, and what limits it', async () => {
    const health = await createDriver('check').check(signal);
    expect(health).toMatchObject({
      usable: true,
      facts: { version: '9.0.0', uri: 'qemu:///system', networking: 'nat', accelerator: 'tcg' },
      problems: [{ reason: 'DRV_KVM2_KVM' }],
    });
  });

  it('says that no network can be made without dnsmasq, which a session does not need', async () => {
    hasDnsmasq = false;
    try {
      expect(await reasons(createDriver('check'))).toEqual(['DRV_KVM2_DNSMASQ', 'DRV_KVM2_KVM']);
      expect(await reasons(createDriver('check', 'qemu:///session'))).toEqual(['DRV_KVM2_KVM']);
    } finally {
      hasDnsmasq = true;
    }
  });

  it('goes on with a session where the system has no libvirt, and says why', async () => {
    // Recorded from virsh 9.0.0 without a daemon, 2026-11-21.
    libvirt.refuses = {
      'qemu:///system': "Failed to connect socket to '/var/run/libvirt/libvirt-sock': No such file or directory",
    };
    const driver = createDriver('check');
    expect((await driver.check(signal)).facts).toMatchObject({ uri: 'qemu:///session', networking: 'user' });
    expect(await reasons(driver)).toEqual(['DRV_KVM2_NOT_RUNNING', 'DRV_KVM2_KVM']);
    expect(await reasons(createDriver('check', 'qemu:///system'))).toEqual(['DRV_KVM2_NOT_RUNNING']);
  });

  it('knows a user who may not, a host that is another one, and a missing program', async () => {
    libvirt.refuses = {
      'qemu:///system':
        "authentication unavailable: no polkit agent available to authenticate action 'org.libvirt.unix.manage'",
    };
    expect(await reasons(createDriver('check', 'qemu:///system'))).toEqual(['DRV_KVM2_PERMISSION']);
    expect(await reasons(createDriver('check', 'qemu+ssh://host/system'))).toEqual(['DRV_KVM2_URI']);
    const missing = createKvm2Driver({
      exec: async (argv) => await libvirt.tools.exec([`${argv[0]}-not-there`, ...argv.slice(1)]),
      machinesFolder: join(folder.path, 'none'),
      imagesFolder: folder.path,
      choice,
    });
    expect(await reasons(missing)).toEqual(['DRV_KVM2_NOT_FOUND']);
    expect(await missing.machines!.list({}, signal)).toEqual([]);
    await missing.machines!.remove('nothing', signal);
  });
});

describe('networks of libvirt', () => {
  beforeEach(() => {
    libvirt.refuses = {};
  });
  const networks = (taken: readonly string[] = []) =>
    createNetworks({
      virsh: createVirsh(libvirt.tools.exec, 'qemu:///system'),
      folder: '/m',
      hostSubnets: () => taken,
    });

  it('give each machine a fixed address, and go with the last of them', async () => {
    const one = await networks().reserve('n', { mac: '52:54:00:00:00:01', name: 'one', labels: {} }, signal);
    const two = await networks().reserve('n', { mac: '52:54:00:00:00:02', name: 'two', labels: {} }, signal);
    expect(one.network).toBe(two.network);
    expect(one.gateway).toBe(two.gateway);
    expect([one.address, two.address].map((address) => address.split('.')[3])).toEqual(['10', '11']);
    expect(await networks().reserve('n', { mac: '52:54:00:00:00:01', name: 'one', labels: {} }, signal)).toEqual(one);
    await networks().release({ mac: '52:54:00:00:00:01', name: '' });
    expect(await networks().find('n', '52:54:00:00:00:02')).toEqual(two);
    expect(await networks().find('n', '52:54:00:00:00:01')).toBeUndefined();
    await networks().release({ mac: '52:54:00:00:00:02', name: '' });
    expect(libvirt.networks.size).toBe(0);
  });

  it('have subnets of their own, also when many are made at once', async () => {
    const words = ['a', 'b', 'c', 'd', 'e'];
    const made = await Promise.all(
      words.map(
        async (word, index) =>
          await networks().reserve(word, { mac: `52:54:00:00:01:0${index}`, name: word, labels: {} }, signal),
      ),
    );
    expect(new Set(made.map(({ gateway }) => gateway)).size).toBe(5);
    for (const [index] of words.entries()) await networks().release({ mac: `52:54:00:00:01:0${index}`, name: '' });
    expect(libvirt.networks.size).toBe(0);
  });

  it('hold no address of what runs on the machines', async () => {
    const machine = { mac: '52:54:00:00:03:01', name: 'one', labels: {} };
    const free = await networks().reserve('n', machine, signal);
    await networks().release(machine);
    const subnets = [`${free.gateway}/16`];
    const kept = await networks().reserve('n', { ...machine, subnets }, signal);
    const prefix = (address: string) => address.split('.').slice(0, 2).join('.');
    expect(prefix(kept.gateway)).not.toBe(prefix(free.gateway));
    await networks().release(machine);
  });

  it('are made once, however many machines come at the same time', async () => {
    const macs = ['52:54:00:00:02:01', '52:54:00:00:02:02', '52:54:00:00:02:03'];
    const made = await Promise.all(
      macs.map(async (mac) => await networks().reserve('same', { mac, name: mac.slice(-2), labels: {} }, signal)),
    );
    expect(new Set(made.map(({ address }) => address)).size).toBe(3);
    expect(libvirt.networks.size).toBe(1);
    for (const mac of macs) await networks().release({ mac, name: '' });
  });
});
