import { totalmem } from 'node:os';
import { join } from 'node:path';

import type { Exec } from '../../exec.js';
import type { Driver } from '../driver.js';
import { createAcceleratorChoice, type AcceleratorChoice } from '../qemu/index.js';
import { isSystemProgram } from '../system-programs.js';
import { VM_START_MS, createVmDriver } from '../vm/index.js';
import { checkLibvirt } from './check.js';
import { createConnection } from './connection.js';
import { createLibvirt } from './hypervisor.js';

export interface Kvm2DriverOptions {
  readonly exec: Exec;
  readonly machinesFolder: string;
  readonly imagesFolder: string;
  /** Connection of libvirt on this host. @default `qemu:///system` where it answers, else `qemu:///session` */
  readonly uri?: string | undefined;
  readonly now?: () => Date;
  readonly pollMs?: number;
  /** @default those of this host */
  readonly architecture?: string;
  readonly memoryBytes?: number;
  readonly user?: { readonly uid: number; readonly gid: number };
  readonly choice?: AcceleratorChoice;
  readonly isInstalled?: (program: string) => boolean;
  readonly hostSubnets?: () => readonly string[];
}

/** Machines in QEMU that libvirt looks after: on networks of their own with the system's libvirt, so that they reach each other. */
export function createKvm2Driver(options: Kvm2DriverOptions): Driver {
  const { exec, machinesFolder, imagesFolder, uri, user = thisUser(), hostSubnets } = options;
  const architecture = (options.architecture ?? process.arch) === 'arm64' ? 'arm64' : 'amd64';
  const cacheFile = join(machinesFolder, '.accelerator.json');
  const choice = options.choice ?? createAcceleratorChoice({ exec, architecture, platform: 'linux', cacheFile });
  const connection = createConnection({ exec, uri, user });
  const { now, pollMs, isInstalled = isSystemProgram } = options;
  return createVmDriver({
    info: {
      name: 'kvm2',
      summary: 'virtual machines of libvirt: KVM, or translation where it does not work',
      machines: 'created',
      bootstrap: 'kubeadm',
      maxMachines: 16,
      platforms: ['linux'],
      architectures: ['amd64', 'arm64'],
      containerRuntimes: ['containerd', 'docker'],
      experimental: true,
      startMs: VM_START_MS,
    },
    hypervisor: createLibvirt({
      exec,
      folder: machinesFolder,
      connection,
      choice,
      check: async (signal) => await checkLibvirt({ exec, connection, choice, uri, isInstalled, signal }),
      ...(hostSubnets === undefined ? {} : { hostSubnets }),
    }),
    machinesFolder,
    imagesFolder,
    architecture,
    memoryMiB: Math.floor((options.memoryBytes ?? totalmem()) / 1024 / 1024),
    ...(now === undefined ? {} : { now }),
    ...(pollMs === undefined ? {} : { pollMs }),
  });
}

function thisUser(): { readonly uid: number; readonly gid: number } | undefined {
  const [uid, gid] = [process.getuid?.(), process.getgid?.()];
  return uid === undefined || gid === undefined ? undefined : { uid, gid };
}
