/**
 * Needs: QEMU (`qemu-system-x86_64`, `qemu-img`) and a disk image of nodes, which `MK_CI_VM_IMAGE` names (folder with
 * `vm-image.json`; `mk-ci cluster start --driver qemu` makes one in the cache). Without hardware virtualisation each boot
 * takes a minute or more: the whole of it some twenty.
 */
import { readFile, rm, truncate } from 'node:fs/promises';
import { join } from 'node:path';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { describeDriverContract } from '../src/drivers/driver-contract.js';
import { createAcceleratorChoice } from '../src/drivers/qemu/accelerator-choice.js';
import { tellTime } from '../src/drivers/qemu/clock-console.js';
import { createQemu } from '../src/drivers/qemu/hypervisor.js';
import { createQemuDriver } from '../src/drivers/qemu/index.js';
import { createVmDriver, machinePaths, readMachineRecord, type Hypervisor } from '../src/drivers/vm/index.js';
import { isMkCiError } from '../src/errors.js';
import { exec } from '../src/exec.js';
import { createTemporaryFolder, type TemporaryFolder } from '../src/files.js';
import { startFrameNetwork } from './support/frame-network.js';

const image = process.env['MK_CI_VM_IMAGE'];
if (image === undefined) console.warn('driver-qemu: skipped, MK_CI_VM_IMAGE names no image');

describe.skipIf(image === undefined)('machines of QEMU (skipped unless MK_CI_VM_IMAGE names an image)', () => {
  let folder: TemporaryFolder;
  beforeAll(async () => {
    folder = await createTemporaryFolder('mk-ci-qemu-');
  });
  afterAll(async () => {
    await folder[Symbol.asyncDispose]();
  });
  const create = () =>
    createQemuDriver({ exec, machinesFolder: join(folder.path, 'm'), imagesFolder: join(folder.path, 'images') });

  describeDriverContract('qemu', {
    create,
    machine: { image: image ?? '', memoryMiB: 512, cpus: 1 },
    timeoutMs: 900_000,
  });

  it('have what a node of Kubernetes needs, and end by their power button', { timeout: 900_000 }, async () => {
    const { signal } = new AbortController();
    const driver = create();
    const spec = { name: 'facts', labels: { cluster: 'facts' }, image: image ?? '', memoryMiB: 1024 };
    const machine = await driver.machines!.create(spec, signal);
    const said = await machine.exec([
      'sh',
      '-c',
      'stat -fc %T /sys/fs/cgroup; hostname; ip -4 -o addr show eth0; modprobe br_netfilter && echo bridge',
    ]);
    expect(said.stdout).toMatch(/^cgroup2fs\nfacts\n.* 10\.0\.2\.15\/24 [\s\S]*bridge\n$/);
    await driver.machines!.stop('facts', signal);
    // By itself, before the limit after which it is ended: the file system was unmounted.
    const log = await exec(['tail', '-n', '5', join(folder.path, 'm', 'facts', 'serial.log')]);
    expect(log.stdout).toMatch(/Power down|reboot: |System Power Off|Reached target/i);
    await driver.machines!.remove('facts', signal);
  });

  it('have a second card at a socket, with the address that it is told there', { timeout: 900_000 }, async () => {
    const { signal } = new AbortController();
    const { machines } = create();
    const networkSocket = join(folder.path, 'network.sock');
    const spec = { name: 'two-cards', labels: {}, image: image ?? '', memoryMiB: 512, options: { networkSocket } };
    const nobody = await machines!.create(spec, signal).catch((thrown: unknown) => thrown);
    expect(isMkCiError(nobody, 'NET_UNREACHABLE')).toBe(true);

    await using network = await startFrameNetwork(networkSocket, [192, 0, 2, 77]);
    const machine = await machines!.create(spec, signal);
    const addresses = async (): Promise<string> => (await machine.exec(['ip', '-4', '-brief', 'address'])).stdout;
    await expect.poll(addresses, { timeout: 60_000 }).toMatch(/^eth1 +UP +192\.0\.2\.77\/24 /m);
    expect(await addresses()).toMatch(/^eth0 +UP +10\.0\.2\.15\/24 /m);
    expect((await machine.exec(['ip', 'route', 'show', 'default'])).stdout).toMatch(
      /^default via 10\.0\.2\.2 dev eth0 *\n$/,
    );
    const { secondNetwork } = (await readMachineRecord(machinePaths(join(folder.path, 'm'), 'two-cards'))) ?? {};
    expect([...network.asked]).toEqual([secondNetwork?.mac]);
    await machines!.remove('two-cards', signal);
  });

  it('ask for their only address where the host does not know it', { timeout: 900_000 }, async () => {
    // As those of VirtualBox, VMware, vfkit and others do. QEMU's user network has a server, too.
    const { signal } = new AbortController();
    const host = {
      machinesFolder: join(folder.path, 'dhcp'),
      imagesFolder: join(folder.path, 'images'),
      memoryMiB: 4096,
    };
    const facts = { architecture: process.arch === 'arm64' ? 'arm64' : 'amd64', platform: process.platform } as const;
    const choice = createAcceleratorChoice({ exec, ...facts, cacheFile: join(folder.path, 'accelerator.json') });
    const qemu = createQemu({ exec, folder: host.machinesFolder, choice, ...facts, memoryMiB: host.memoryMiB });
    const hypervisor: Hypervisor = { ...qemu, reserveAddress: async () => 'dhcp' };
    const { machines } = createVmDriver({ ...host, ...facts, info: create().info, hypervisor });
    const machine = await machines!.create({ name: 'asks', labels: {}, image: image ?? '', memoryMiB: 512 }, signal);
    const said = await machine.exec([
      'sh',
      '-c',
      'ip -4 -brief address show eth0; ip route show default; cat /etc/resolv.conf',
    ]);
    expect(said.stdout).toMatch(/^eth0 +UP +10\.0\.2\.15\/24 /);
    expect(said.stdout).toMatch(/^default via 10\.0\.2\.2 dev eth0 proto dhcp /m);
    await expect
      .poll(async () => (await machine.exec(['cat', '/etc/resolv.conf'])).stdout, { timeout: 30_000 })
      .toBe('nameserver 10.0.2.3\n');
    await machines!.remove('asks', signal);
  });

  it(
    'go on in other machines, start again when QEMU is killed, and say when a disk is damaged',
    { timeout: 900_000 },
    async () => {
      const { signal } = new AbortController();
      const driver = create();
      const { machines, states } = driver;
      const spec = { name: 'first', labels: { cluster: 'states' }, image: image ?? '', memoryMiB: 1024 };
      const state = join(folder.path, 'state');
      const first = await machines!.create(spec, signal);
      await first.exec([
        'sh',
        '-c',
        'echo kept >/root/file; echo memory >/dev/shm/file; nohup sleep 54321 >/dev/null 2>&1 &',
      ]);
      await states!.save('first', state, signal);
      await first.exec(['sh', '-c', 'echo changed >/root/file']);
      const second = await states!.create({ ...spec, name: 'second' }, state, signal);
      const said = await second.exec([
        'sh',
        '-c',
        'cat /root/file /dev/shm/file; pgrep -x sleep >/dev/null && date +%s',
      ]);
      expect(said.stdout).toMatch(/^kept\nmemory\n\d+\n$/);
      expect(Math.abs(Number(said.stdout.split('\n')[2]) - Date.now() / 1000)).toBeLessThan(60);
      expect((await first.exec(['cat', '/root/file'])).stdout).toBe('changed\n');
      // No login sets a clock that was stopped: the guest waits for the time at a console, also after it was saved.
      await second.exec(['date', '-u', '-s', '@1000000000']);
      const { clockSocket } = machinePaths(join(folder.path, 'm'), 'second');
      const askedAt = performance.now();
      expect(await tellTime(clockSocket, () => new Date(), signal)).toBe(true);
      process.stdout.write(`the clock was set after ${Math.round(performance.now() - askedAt)} ms\n`);
      const clock = Number((await second.exec(['date', '+%s'])).stdout);
      expect(Math.abs(clock - Date.now() / 1000)).toBeLessThan(60);
      await machines!.remove('first', signal);
      await rm(state, { recursive: true });

      const paths = machinePaths(join(folder.path, 'm'), 'second');
      process.kill(Number(await readFile(paths.pidFile, 'utf8')), 'SIGKILL');
      const stateOf = async () => (await machines!.list({ cluster: 'states' }, signal)).map((machine) => machine.state);
      await expect.poll(stateOf, { timeout: 60_000 }).toEqual(['stopped']);
      const again = await machines!.start('second', signal);
      expect((await again.exec(['cat', '/root/file'])).stdout).toBe('kept\n');
      await machines!.stop('second', signal);

      await truncate(paths.disk, 0);
      const error = await machines!.start('second', signal).catch((thrown: unknown) => thrown);
      expect(isMkCiError(error, 'DRV_FAILED') && error.advice).toContain('qemu-img check');
      await machines!.remove('second', signal);
      expect(await machines!.list({ cluster: 'states' }, signal)).toEqual([]);
    },
  );
});
