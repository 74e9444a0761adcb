import { totalmem } from 'node:os';

import type { Exec } from '../../exec.js';
import type { Architecture, Driver, DriverInfo } from '../driver.js';
import { createVmDriver, type Hypervisor } from '../vm/index.js';
import { hyperkitTraits } from './hyperkit.js';
import { hypervTraits } from './hyperv.js';
import { parallelsTraits } from './parallels.js';
import { createProcessHypervisor, type SpawnDetached } from './process-hypervisor.js';
import { createToolHypervisor, type ToolTraits } from './tool-hypervisor.js';
import { vfkitTraits } from './vfkit.js';
import { virtualboxTraits } from './virtualbox.js';
import { vmwareTraits } from './vmware.js';

export interface ExperimentalOptions {
  readonly exec: Exec;
  readonly machinesFolder: string;
  readonly imagesFolder: string;
  readonly now?: () => Date;
  readonly pollMs?: number;
  /** @default those of this host */
  readonly platform?: NodeJS.Platform;
  readonly architecture?: string;
  readonly memoryBytes?: number;
  /** Where guests take ssh, behind addresses of their own. @default 22 */
  readonly sshPort?: number;
  /** Of the server that gives addresses. @default where macOS or Parallels has it */
  readonly leasesFile?: string;
  readonly spawnDetached?: SpawnDetached;
}

interface Experimental {
  readonly summary: string;
  readonly platforms: readonly NodeJS.Platform[];
  readonly architectures: readonly Architecture[];
  readonly maxMachines: number;
  readonly create: (options: ExperimentalOptions) => Hypervisor;
}

const tool =
  (traits: (options: ExperimentalOptions & { readonly folder: string }) => ToolTraits) =>
  (options: ExperimentalOptions): Hypervisor =>
    createToolHypervisor({
      exec: options.exec,
      folder: options.machinesFolder,
      traits: traits({ ...options, folder: options.machinesFolder }),
    });

/** Drivers that were only tested on fakes of their programs, by operating system. */
export const EXPERIMENTAL_DRIVERS = {
  hyperv: {
    summary: 'virtual machines of Hyper-V',
    ...{ platforms: ['win32'], architectures: ['amd64', 'arm64'], maxMachines: 16 },
    create: tool(hypervTraits),
  },
  vfkit: {
    summary: "virtual machines of Apple's Virtualization framework",
    ...{ platforms: ['darwin'], architectures: ['amd64', 'arm64'], maxMachines: 16 },
    create: (options) =>
      createProcessHypervisor({ ...options, folder: options.machinesFolder, traits: vfkitTraits(options) }),
  },
  virtualbox: {
    summary: 'virtual machines of VirtualBox',
    ...{ platforms: ['linux', 'darwin', 'win32'], architectures: ['amd64', 'arm64'], maxMachines: 1 },
    create: tool(virtualboxTraits),
  },
  hyperkit: {
    summary: 'virtual machines of HyperKit',
    ...{ platforms: ['darwin'], architectures: ['amd64'], maxMachines: 16 },
    create: (options) =>
      createProcessHypervisor({ ...options, folder: options.machinesFolder, traits: hyperkitTraits(options) }),
  },
  parallels: {
    summary: 'virtual machines of Parallels Desktop',
    ...{ platforms: ['darwin'], architectures: ['amd64', 'arm64'], maxMachines: 16 },
    create: tool(parallelsTraits),
  },
  vmware: {
    summary: 'virtual machines of VMware Workstation and Fusion',
    ...{ platforms: ['linux', 'darwin', 'win32'], architectures: ['amd64', 'arm64'], maxMachines: 16 },
    create: tool((options) => vmwareTraits({ ...options, platform: options.platform ?? process.platform })),
  },
} as const satisfies Record<string, Experimental>;

export function createExperimentalDriver(
  name: keyof typeof EXPERIMENTAL_DRIVERS,
  options: ExperimentalOptions,
): Driver {
  const { create, ...about }: Experimental = EXPERIMENTAL_DRIVERS[name];
  const { machinesFolder, imagesFolder, now, pollMs } = options;
  const info: DriverInfo = {
    ...about,
    name,
    machines: 'created',
    bootstrap: 'kubeadm',
    containerRuntimes: ['containerd', 'docker'],
    experimental: true,
  };
  return createVmDriver({
    info,
    hypervisor: create(options),
    machinesFolder,
    imagesFolder,
    architecture: (options.architecture ?? process.arch) === 'arm64' ? 'arm64' : 'amd64',
    memoryMiB: Math.floor((options.memoryBytes ?? totalmem()) / 1024 / 1024),
    ...(now === undefined ? {} : { now }),
    ...(pollMs === undefined ? {} : { pollMs }),
  });
}
