import { mkdir, readFile, readdir, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';

import { MkCiError, isMkCiError } from '../../errors.js';
import { createTemporaryFolder, type TemporaryFolder } from '../../files.js';
import { describeDriverContract } from '../driver-contract.js';
import type { Driver, MachineSpec } from '../driver.js';
import { machinePaths, readMachineRecord } from '../vm/index.js';
import { launchError, stateOfRun } from './machine-process.js';
import { createQemuDriver } from './qemu-driver.js';
import { parseSnapshots, snapshotError } from './snapshots.js';
import { createFakeQemu, type FakeQemu } from './testing/fake-qemu.js';
import { VM_IMAGE_FILE, findVmImage } from '../vm/index.js';

const { signal } = new AbortController();
const failure = async (promise: Promise<unknown>): Promise<unknown> => await promise.catch((error: unknown) => error);

let folder: TemporaryFolder;
let fake: FakeQemu;
let imagesFolder = '';
beforeAll(async () => {
  folder = await createTemporaryFolder('mkq-');
  fake = createFakeQemu({ works: ['tcg'] });
  imagesFolder = join(folder.path, 'images');
  await makeImage('v1.36.3-amd64-aaaa', {});
});
afterAll(async () => {
  await fake[Symbol.asyncDispose]();
  await folder[Symbol.asyncDispose]();
});

async function makeImage(name: string, change: Readonly<Record<string, unknown>>): Promise<string> {
  const image = join(imagesFolder, name);
  await mkdir(image, { recursive: true });
  await writeFile(join(image, 'disk.img'), 'disk');
  const facts = {
    ...{ format: 'mk-ci-vm-image/1', architecture: 'amd64', key: '0123456789abcdef', disk: 'disk.img', diskBytes: 4 },
    ...{ kernel: 'vmlinuz', initrd: 'initrd.img', append: 'root=/dev/vda' },
    ...change,
  };
  await writeFile(join(image, VM_IMAGE_FILE), JSON.stringify(facts));
  return image;
}

const createDriver = (machines = 'm'): Driver =>
  createQemuDriver({
    exec: fake.exec,
    machinesFolder: join(folder.path, machines),
    imagesFolder,
    platform: 'linux',
    architecture: 'x64',
    memoryBytes: 2 ** 34,
    findMemory: async () => fake.sharedMemory,
  });

describeDriverContract('qemu (scripted)', {
  create: () => createDriver(),
  machine: { image: 'mk-ci-node:v1.36.3' },
});

describe('driver qemu', () => {
  const spec: MachineSpec = {
    name: 'one',
    labels: { cluster: 'c' },
    image: 'mk-ci-node:v1.36.3',
    publishedPorts: [6443],
  };
  let driver: Driver;
  let machinesFolder = '';
  let count = 0;
  beforeEach(() => {
    count += 1;
    machinesFolder = join(folder.path, `m${count}`);
    driver = createDriver(`m${count}`);
  });

  it('says that a better accelerator does not work, and goes on without', async () => {
    const health = await driver.check(signal);
    expect(health).toMatchObject({ usable: true, facts: { accelerator: 'tcg', version: '7.2.22' } });
    expect(health.problems.map(({ reason }) => reason)).toEqual(['DRV_QEMU_KVM']);
  });

  it('keeps the secrets of a machine to itself, and runs on a layer above the image', async () => {
    await driver.machines!.create(spec, signal);
    const paths = machinePaths(machinesFolder, 'one');
    expect(await readFile(paths.key, 'utf8')).toContain('PRIVATE KEY');
    const created = fake.calls.find(
      (argv) => argv[0] === 'qemu-img' && argv[1] === 'create' && argv.some((part) => part.startsWith(machinesFolder)),
    );
    expect(created?.join(' ')).toContain(`-F raw -b ${join(imagesFolder, 'v1.36.3-amd64-aaaa', 'disk.img')}`);
    await driver.machines!.remove('one', signal);
    expect((await readdir(machinesFolder)).filter((name) => !name.startsWith('.accel'))).toEqual([]);
  });

  it('finds a machine by the labels of its process when its folder is gone, and ends it', async () => {
    await driver.machines!.create(spec, signal);
    await rm(machinesFolder, { recursive: true });
    expect(await createDriver(`m${count}`).machines!.list({ cluster: 'c' }, signal)).toEqual([
      { name: 'one', state: 'broken', labels: { cluster: 'c' } },
    ]);
    // A name that is taken by such a process can be used again.
    await driver.machines!.create(spec, signal);
    expect(await driver.machines!.list({}, signal)).toMatchObject([{ name: 'one', state: 'running' }]);
    await driver.machines!.remove('one', signal);
    expect(await driver.machines!.list({}, signal)).toEqual([]);
  });

  it('starts again what was killed', async () => {
    await driver.machines!.create(spec, signal);
    const pid = Number(await readFile(machinePaths(machinesFolder, 'one').pidFile, 'utf8'));
    process.kill(pid, 'SIGKILL');
    await expect
      .poll(async () => await driver.machines!.list({}, signal), { timeout: 10_000 })
      .toMatchObject([{ state: 'stopped' }]);
    const machine = await createDriver(`m${count}`).machines!.start('one', signal);
    expect((await machine.exec(['echo', 'up'])).stdout).toBe('up\n');
    await driver.machines!.remove('one', signal);
  });

  it('sets the clock of a guest that stood still at its console, without a login', async () => {
    await driver.machines!.create(spec, signal);
    const commands = fake.guestCommands().length;
    const told = fake.times.length;
    await driver.machines!.pause('one', signal);
    await driver.machines!.unpause('one', signal);
    await driver.snapshots!.save('one', 'a', signal);
    await driver.snapshots!.restore('one', 'a', signal);
    expect(fake.times.slice(told)).toHaveLength(3);
    const [time = ''] = fake.times.slice(told);
    expect(time).toMatch(/^\d+\.\d{3}\n$/);
    expect(Math.abs(Number(time) - Date.now() / 1000)).toBeLessThan(60);
    expect(fake.guestCommands()).toHaveLength(commands);
    await driver.machines!.remove('one', signal);
  });

  it('logs in to set the clock where the guest does not say at its console that it is set', async () => {
    await driver.machines!.create(spec, signal);
    const before = fake.guestCommands().filter((command) => command.includes(' date ')).length;
    fake.clockAnswer = 'no';
    await using _ = { [Symbol.asyncDispose]: async () => void (fake.clockAnswer = 'set') };
    await driver.machines!.pause('one', signal);
    await driver.machines!.unpause('one', signal);
    await driver.snapshots!.save('one', 'a', signal);
    await driver.snapshots!.restore('one', 'a', signal);
    expect(fake.guestCommands().filter((command) => command.includes(' date ')).length).toBe(before + 3);
    await driver.machines!.remove('one', signal);
  });

  it('brings a stopped machine back from a snapshot', async () => {
    await driver.machines!.create(spec, signal);
    await driver.snapshots!.save('one', 'a', signal);
    await driver.machines!.stop('one', signal);
    const machine = await driver.snapshots!.restore('one', 'a', signal);
    expect((await machine.exec(['echo', 'up'])).stdout).toBe('up\n');
    expect(fake.calls.findLast((argv) => argv.includes('-daemonize'))?.join(' ')).toMatch(/ -loadvm a$/);
    expect(isMkCiError(await failure(driver.snapshots!.restore('one', 'nope', signal)), 'K8S_SNAPSHOT_NOT_FOUND')).toBe(
      true,
    );
    expect(isMkCiError(await failure(driver.snapshots!.save('one', 'a b; quit', signal)), 'CLI_USAGE')).toBe(true);
    await driver.machines!.remove('one', signal);
  });

  it('makes machines that go on where another one was, as often as is asked', async () => {
    await driver.machines!.create({ ...spec, network: 'n' }, signal);
    const state = join(folder.path, `state${count}`);
    const [one, two, three] = ['one', 'two', 'three'].map((name) => machinePaths(machinesFolder, name));
    await driver.states!.save('one', state, signal);
    expect(await driver.machines!.list({}, signal)).toMatchObject([{ name: 'one', state: 'running' }]);
    const machine = await driver.states!.create({ ...spec, name: 'two', network: 'n' }, state, signal);
    expect((await machine.exec(['echo', 'up'])).stdout).toBe('up\n');
    expect(fake.memories.at(-1)).toBe(`memory of ${one!.disk}`);
    // Same keys, since the guest knows no others; the disk is a layer above that of the other one, which is only read.
    expect(await readFile(two!.key, 'utf8')).toBe(await readFile(one!.key, 'utf8'));
    expect(fake.calls.findLast((argv) => argv[1] === 'create')?.join(' ')).toContain('-F qcow2 -b layer-1.qcow2');
    const layer = await stat(join(two!.folder, 'layer-1.qcow2'));
    expect([layer.mode & 0o777, layer.nlink]).toEqual([0o400, 2]);
    expect(await readFile(join(two!.folder, 'image'), 'utf8')).toBe('disk');
    // The state may go; of a machine that began with one there can be another, with one more layer.
    await rm(state, { recursive: true });
    await driver.states!.save('two', state, signal);
    await driver.states!.create({ ...spec, name: 'three', network: 'n' }, state, signal);
    expect(await readdir(three!.folder)).toEqual(
      expect.arrayContaining(['layer-1.qcow2', 'layer-2.qcow2', 'disk.qcow2']),
    );
    await driver.machines!.stop('three', signal);
    await driver.machines!.start('three', signal);
    for (const name of ['one', 'two', 'three']) await driver.machines!.remove(name, signal);
    expect(await driver.machines!.list({}, signal)).toEqual([]);
  });

  it('begins with memory that lies in a file without reading it, and keeps it out of the stream only then', async () => {
    await driver.machines!.create({ ...spec, network: 'n' }, signal);
    const state = join(folder.path, `state${count}`);
    fake.sharedMemory = join(folder.path, 'memfd');
    await writeFile(fake.sharedMemory, 'what the guest sees');
    const { disk } = machinePaths(machinesFolder, 'one');
    await driver.states!.save('one', state, signal);
    fake.sharedMemory = undefined;
    expect(await readFile(join(state, 'ram.fixed'), 'utf8')).toBe('what the guest sees');
    await driver.states!.create({ ...spec, name: 'two', network: 'n' }, state, signal);
    expect(fake.memories.at(-1)).toBe(`devices of ${disk} and what the guest sees`);
    expect(fake.capabilities()).toEqual([[], []]);
    // The view of the second one is its own: what it wrote is in no file.
    await driver.states!.save('two', `${state}-of-two`, signal);
    await driver.states!.create({ ...spec, name: 'three', network: 'n' }, `${state}-of-two`, signal);
    expect(fake.memories.at(-1)).toBe(`memory of ${machinePaths(machinesFolder, 'two').disk}`);
    await writeFile(join(state, 'ram.fixed'), '');
    const broken = await failure(driver.states!.create({ ...spec, name: 'four', network: 'n' }, state, signal));
    expect(isMkCiError(broken, 'K8S_SNAPSHOT_BROKEN')).toBe(true);
    for (const name of ['one', 'two', 'three']) await driver.machines!.remove(name, signal);
  });

  it('lets a machine go on whose memory could not be written, and makes none from what is damaged', async () => {
    await driver.machines!.create(spec, signal);
    const state = join(folder.path, `state${count}`);
    const codeOf = async (promise: Promise<unknown>): Promise<string> => {
      const error = await failure(promise);
      return isMkCiError(error) ? error.code : String(error);
    };
    const begin = (): Promise<unknown> => driver.states!.create({ ...spec, name: 'two' }, state, signal);
    fake.migration = 'failed';
    expect(await codeOf(driver.states!.save('one', state, signal))).toBe('DRV_FAILED');
    expect(await driver.machines!.list({}, signal)).toMatchObject([{ name: 'one', state: 'running' }]);
    expect(await codeOf(begin())).toBe('K8S_SNAPSHOT_BROKEN'); // it was never finished
    fake.migration = 'completed';
    await driver.states!.save('one', state, signal);
    fake.migration = 'failed';
    expect(await codeOf(begin())).toBe('K8S_SNAPSHOT_BROKEN'); // QEMU does not take it
    fake.migration = 'completed';
    const other = await makeImage('v1.34.4-amd64-cccc', { key: '00000000000000aa' });
    expect(await codeOf(driver.states!.create({ ...spec, name: 'two', image: other }, state, signal))).toBe(
      'DRV_UNSUPPORTED',
    );
    await rm(join(state, 'memory'));
    await writeFile(join(state, 'memory'), '');
    expect(await codeOf(begin())).toBe('K8S_SNAPSHOT_BROKEN');
    expect(await driver.machines!.list({}, signal)).toMatchObject([{ name: 'one' }]);
    await driver.machines!.remove('one', signal);
  });

  it('refuses a second machine of one network, and leaves nothing of it', async () => {
    await driver.machines!.create({ ...spec, network: 'n' }, signal);
    const second = await failure(driver.machines!.create({ ...spec, name: 'two', network: 'n' }, signal));
    expect(isMkCiError(second, 'DRV_UNSUPPORTED')).toBe(true);
    expect(await driver.machines!.list({}, signal)).toMatchObject([{ name: 'one', state: 'running' }]);
    await driver.machines!.remove('one', signal);
  });

  it('gives a machine a second network card with a MAC of its own, in the place that the options name', async () => {
    const options = { networkSocket: '/run/socket_vmnet' };
    await driver.machines!.create({ ...spec, options }, signal);
    const card = /-netdev (stream,id=net1,\S+) -device virtio-net-pci,netdev=net1,mac=(52:54:00(?::[0-9a-f]{2}){3}),/;
    const [, end, mac = ''] =
      card.exec(
        fake.calls
          .find(
            (argv) =>
              argv.includes('-daemonize') && argv.includes('one') && argv.some((part) => part.startsWith('stream,')),
          )
          ?.join(' ') ?? '',
      ) ?? [];
    expect(end).toBe('stream,id=net1,server=off,addr.type=unix,addr.path=/run/socket_vmnet');
    const seed = await readFile(machinePaths(machinesFolder, 'one').seed, 'latin1');
    expect(seed).toContain(`MACAddress=${mac}`);
    // The same machine again, and another one that would have another network.
    await driver.machines!.create({ ...spec, options }, signal);
    const other = await failure(driver.machines!.create(spec, signal));
    expect(isMkCiError(other, 'DRV_MACHINE_EXISTS')).toBe(true);
    // One that goes on from its state has the card that the guest knows.
    const state = join(folder.path, `cards${count}`);
    await driver.states!.save('one', state, signal);
    await driver.states!.create({ ...spec, name: 'later', options }, state, signal);
    const record = await readMachineRecord(machinePaths(machinesFolder, 'later'));
    expect(record?.secondNetwork?.mac).toBe(mac);
    for (const name of ['one', 'later']) await driver.machines!.remove(name, signal);
  });

  it('leaves nothing when nobody takes the frames of a machine', async () => {
    fake.network = ' \\ net1: index=0,type=stream,connection error\r\n';
    try {
      const create = driver.machines!.create({ ...spec, options: { networkSocket: '/run/none' } }, signal);
      const error = await failure(create);
      expect(isMkCiError(error, 'NET_UNREACHABLE') && error.message).toContain('/run/none');
      expect(await driver.machines!.list({}, signal)).toEqual([]);
    } finally {
      fake.network = ' \\ net1: index=0,type=stream,unix:/run/socket_vmnet\r\n';
    }
  });

  it('repeats no machine that is in a network with others', () => {
    expect(driver.states?.canRepeat({})).toBe(true);
    expect(driver.states?.canRepeat({ bridge: 'br0', podSubnet: '10.0.0.0/16' })).toBe(false);
  });

  it('leaves nothing when a machine can not be made', async () => {
    const missing = await failure(driver.machines!.create({ ...spec, image: 'mk-ci-node:v1.0.0' }, signal));
    expect(isMkCiError(missing, 'DRV_FAILED')).toBe(true);
    const large = await failure(driver.machines!.create({ ...spec, memoryMiB: 2 ** 20 }, signal));
    expect(isMkCiError(large, 'HOST_RESOURCES')).toBe(true);
    expect(await driver.machines!.list({}, signal)).toEqual([]);
  });
});

describe('images of machines', () => {
  const options = { architecture: 'amd64' } as const;

  it('are found by version, by name and by path, and only when they are whole', async () => {
    const path = await makeImage('v1.35.4-amd64-bbbb', { key: 'fedcba9876543210' });
    for (const name of ['mk-ci-node:v1.35.4', 'v1.35.4-amd64-bbbb', path]) {
      expect((await findVmImage(name, { ...options, imagesFolder }))?.key).toBe('fedcba9876543210');
    }
    expect(await findVmImage('mk-ci-node:v1.34.0', { ...options, imagesFolder })).toBeUndefined();
    expect(await findVmImage('nothing', { ...options, imagesFolder })).toBeUndefined();
    await truncate(join(path, 'disk.img'), 3);
    const damaged = await failure(findVmImage(path, { ...options, imagesFolder }));
    expect(isMkCiError(damaged, 'DRV_UNSUPPORTED')).toBe(true);
    expect(String(damaged)).toContain('disk.img has 3 bytes in place of 4');
  });

  it('are refused for another architecture', async () => {
    const path = await makeImage('arm', { architecture: 'arm64' });
    expect(String(await failure(findVmImage(path, { ...options, imagesFolder })))).toContain('is for arm64');
  });

  it('may be a disk with a boot loader', async () => {
    const disk = join(folder.path, 'cloud.qcow2');
    await writeFile(disk, 'x');
    expect(await findVmImage(disk, { ...options, imagesFolder })).toMatchObject({
      diskFormat: 'qcow2',
      boot: { kind: 'firmware' },
    });
    expect(await findVmImage(join(folder.path, 'no.img'), { ...options, imagesFolder })).toBeUndefined();
  });
});

describe('what QEMU says', () => {
  it('of its state', () => {
    expect(['running', 'paused', 'io-error', 'save-vm', ''].map(stateOfRun)).toEqual([
      'running',
      'paused',
      'broken',
      'running',
      'running',
    ]);
  });

  it('of a start that failed, with the way out', () => {
    const plan = { name: 'one', disk: '/m/one/disk.qcow2' };
    const failed = (output: string): unknown =>
      launchError(plan, new MkCiError('HOST_COMMAND_FAILED', { details: { output } }));
    // Recorded with QEMU 7.2: a disk that was overwritten, one whose image is gone, more memory than there is.
    const drive = 'qemu-system-x86_64: -drive file=/m/one/disk.qcow2,if=virtio,format=qcow2';
    for (const said of [
      `${drive}: Image is not in qcow2 format`,
      `${drive}: Active L1 table offset invalid`,
      `${drive}: Could not open backing file: Could not open '/images/disk.img': No such file or directory`,
    ]) {
      const error = failed(said);
      expect(isMkCiError(error, 'DRV_FAILED') && error.advice).toContain('qemu-img check /m/one/disk.qcow2');
    }
    const full = failed("qemu-system-x86_64: cannot set up guest memory 'pc.ram': Cannot allocate memory");
    expect(isMkCiError(full, 'HOST_RESOURCES')).toBe(true);
    expect(isMkCiError(failed('qemu-system-x86_64: -foo: invalid option'), 'DRV_FAILED')).toBe(true);
    const other = new Error('x');
    expect(launchError(plan, other)).toBe(other);
  });

  it('of a bridge that it may not use, in the words of its helper', () => {
    // Recorded with QEMU 7.2.
    const output =
      'access denied by acl file\nqemu-system-x86_64: -netdev bridge,id=net1,br=br0: bridge helper failed\n';
    const error = launchError(
      { name: 'one', disk: '/d' },
      new MkCiError('HOST_COMMAND_FAILED', { details: { output } }),
    );
    expect(isMkCiError(error, 'DRV_FAILED') && [error.message, error.advice]).toEqual([
      expect.stringContaining('QEMU can not put one on the bridge: access denied by acl file'),
      expect.stringContaining('/etc/qemu/bridge.conf'),
    ]);
  });

  it('of snapshots', () => {
    expect(parseSnapshots('{"snapshots": [{"name": "a", "id": "1"}], "format": "qcow2"}')).toEqual(['a']);
    expect(parseSnapshots('{"format": "qcow2"}')).toEqual([]);
    expect(() => parseSnapshots('nonsense')).toThrow();
    expect(snapshotError('Error: no block device can store vmstate for snapshot\r\n').message).toContain(
      'no block device',
    );
  });
});
