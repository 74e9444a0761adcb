import { totalmem } from 'node:os';
import { join } from 'node:path';

import type { Exec } from '../../exec.js';
import type { Driver } from '../driver.js';
import { VM_START_MS, createVmDriver } from '../vm/index.js';
import { createAcceleratorChoice } from './accelerator-choice.js';
import { createQemu, type QemuOptions } from './hypervisor.js';
import { NETWORK_OPTIONS } from './second-network.js';

export interface QemuDriverOptions {
  readonly exec: Exec;
  /** One folder a machine. */
  readonly machinesFolder: string;
  /** One folder an image; see `vm-image.ts`. */
  readonly imagesFolder: string;
  readonly now?: () => Date;
  readonly pollMs?: number;
  /** @default those of this host */
  readonly platform?: NodeJS.Platform;
  readonly architecture?: string;
  readonly memoryBytes?: number;
  readonly findMemory?: QemuOptions['findMemory'];
}

/**
 * Machines in QEMU, without privileges: user network with ports forwarded from the loopback, disks in layers above one
 * image that is never written, ssh as the way in.
 *
 * What belongs to a machine: its folder (record, disk, keys, serial log) and its process, both of which carry its labels.
 */
export function createQemuDriver(options: QemuDriverOptions): Driver {
  const { exec, machinesFolder, imagesFolder, now, pollMs, findMemory, platform = process.platform } = options;
  const architecture = (options.architecture ?? process.arch) === 'arm64' ? 'arm64' : 'amd64';
  const memoryMiB = Math.floor((options.memoryBytes ?? totalmem()) / 1024 / 1024);
  const cacheFile = join(machinesFolder, '.accelerator.json');
  const choice = createAcceleratorChoice({ exec, architecture, platform, cacheFile });
  return createVmDriver({
    info: {
      name: 'qemu',
      summary: 'virtual machines of QEMU: KVM, HVF or translation, no privileges',
      machines: 'created',
      bootstrap: 'kubeadm',
      maxMachines: 1,
      platforms: ['linux', 'darwin'],
      architectures: ['amd64', 'arm64'],
      containerRuntimes: ['containerd', 'docker'],
      experimental: true,
      options: NETWORK_OPTIONS,
      startMs: VM_START_MS,
    },
    hypervisor: createQemu({
      ...{ exec, folder: machinesFolder, choice, architecture, platform, memoryMiB },
      ...(findMemory === undefined ? {} : { findMemory }),
    }),
    machinesFolder,
    imagesFolder,
    architecture,
    memoryMiB,
    ...(now === undefined ? {} : { now }),
    ...(pollMs === undefined ? {} : { pollMs }),
  });
}
