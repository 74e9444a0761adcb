/**
 * Needs: QEMU (`qemu-system-x86_64`, `qemu-img`) and a disk image of nodes, which `MK_CI_VM_IMAGE` names (folder with
 * `vm-image.json`; `mk-ci cluster start --driver qemu` makes one in the cache). Without hardware virtualisation each boot
 * takes a minute or more: the whole of it some twenty.
 */
import { join } from 'node:path';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { describeDriverContract } from '../src/drivers/driver-contract.js';
import { createQemuDriver } from '../src/drivers/qemu/index.js';
import { exec } from '../src/exec.js';
import { createTemporaryFolder, type TemporaryFolder } from '../src/files.js';

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
});
