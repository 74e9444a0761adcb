/**
 * Needs: libvirt and QEMU (`virsh`, `qemu-system-x86_64`, `qemu-img`), a daemon that may make networks, and a disk image of
 * nodes, which `MK_CI_VM_IMAGE` names (folder with `vm-image.json`; `mk-ci cluster start --driver qemu` makes one in the
 * cache). On a host whose network shall stay as it is, a daemon of its own in a network namespace:
 *
 *     MK_CI_VM_IMAGE=… scripts/with-libvirtd.sh npx vitest run -c vitest.integration.config.ts integration/driver-kvm2.test.ts
 *
 * `MK_CI_LIBVIRT_URIS` narrows the connections. Without hardware virtualisation each boot takes a minute or more.
 */
import { join } from 'node:path';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { describeDriverContract } from '../src/drivers/driver-contract.js';
import { createKvm2Driver } from '../src/drivers/kvm2/index.js';
import { exec } from '../src/exec.js';
import { createTemporaryFolder, type TemporaryFolder } from '../src/files.js';

const image = process.env['MK_CI_VM_IMAGE'];
const uris = (process.env['MK_CI_LIBVIRT_URIS'] ?? 'qemu:///system,qemu:///session').split(',');
if (image === undefined) console.warn('driver-kvm2: skipped, MK_CI_VM_IMAGE names no image');

describe.skipIf(image === undefined).each(uris)('machines of libvirt at %s', (uri) => {
  let folder: TemporaryFolder;
  beforeAll(async () => {
    folder = await createTemporaryFolder('mk-ci-kvm2-');
  });
  afterAll(async () => {
    await folder[Symbol.asyncDispose]();
  });
  const { signal } = new AbortController();
  const virsh = async (...args: string[]) => await exec(['virsh', '--quiet', '--connect', uri, ...args]);
  const create = () =>
    createKvm2Driver({ exec, machinesFolder: join(folder.path, 'm'), imagesFolder: join(folder.path, 'images'), uri });
  const size = { image: image ?? '', memoryMiB: 512, cpus: 1 };

  describeDriverContract(`kvm2 at ${uri}`, { create, machine: size, timeoutMs: 900_000 });

  it('leave nothing with libvirt', async () => {
    expect((await virsh('list', '--all', '--name')).stdout.trim()).toBe('');
    expect((await virsh('net-list', '--all', '--name')).stdout).not.toContain('mk-ci-');
  });

  it.skipIf(uri.endsWith('session'))('reach each other on their network', { timeout: 900_000 }, async () => {
    const { machines } = create();
    const spec = (name: string) => ({ ...size, name, labels: { cluster: 'pair' }, network: 'pair' });
    const [one, two] = await Promise.all(['pair-one', 'pair-two'].map((name) => machines!.create(spec(name), signal)));
    const said = await one!.exec(['bash', '-c', `exec 3<>/dev/tcp/${two!.internalAddress}/22; head -n 1 <&3`]);
    expect(said.stdout).toContain('SSH-2.0');
    await machines!.remove('pair-one', signal);
    // The other one keeps its network and its address.
    expect((await two!.exec(['hostname'])).stdout.trim()).toBe('pair-two');
    await machines!.remove('pair-two', signal);
    expect((await virsh('net-list', '--all', '--name')).stdout).not.toContain('mk-ci-');
  });
});
