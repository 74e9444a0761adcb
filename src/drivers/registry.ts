import { homedir } from 'node:os';
import { join } from 'node:path';

import { MkCiError } from '../errors.js';
import type { Exec } from '../exec.js';
import { foldersOf, type Folders } from '../files.js';
import type { Driver } from './driver.js';
import { DOCKER, PODMAN, createContainerDriver } from './container/index.js';
import { elsewhere } from './elsewhere.js';
import { createExistingDriver } from './existing/existing-driver.js';
import { createExperimentalDriver } from './experimental/index.js';
import type { HostUse } from './given/index.js';
import { createKvm2Driver } from './kvm2/index.js';
import { createLocalDriver } from './local/local-driver.js';
import { createNoneDriver } from './none/index.js';
import { createQemuDriver } from './qemu/index.js';
import { createSshDriver } from './ssh/index.js';

/** What factories of drivers are given. */
export interface DriverDependencies {
  readonly exec: Exec;
  /** For drivers whose machines have files of their own. @default those of this process's environment */
  readonly folders?: Folders;
  /** @default that of this host */
  readonly platform?: NodeJS.Platform;
  /** Whether somebody agreed that this host is changed. @default false */
  readonly isConfirmed?: boolean;
  /** What clusters need of a host that is given, for checks. @default nothing */
  readonly hostUse?: HostUse;
}

/** Machines of a driver, and images, which all drivers of virtual machines share. */
const vmFolders = (
  driver: string,
  { folders = foldersOf(process.env) }: DriverDependencies,
): { readonly machinesFolder: string; readonly imagesFolder: string } => ({
  machinesFolder: join(folders.state, 'machines', driver),
  imagesFolder: join(folders.cache, 'vm-images'),
});

/** Every driver, in the order in which lists show them and a choice tries those of one kind; the first is the default. */
export const DRIVER_FACTORIES = {
  local: ({ exec }) => createLocalDriver({ exec }),
  docker: ({ exec }) => createContainerDriver({ traits: DOCKER, exec }),
  podman: ({ exec }) => createContainerDriver({ traits: PODMAN, exec }),
  kvm2: (host) =>
    createKvm2Driver({ exec: host.exec, uri: process.env['MK_CI_LIBVIRT_URI'], ...vmFolders('kvm2', host) }),
  hyperv: (host) => createExperimentalDriver('hyperv', { ...host, ...vmFolders('hyperv', host) }),
  vfkit: (host) => createExperimentalDriver('vfkit', { ...host, ...vmFolders('vfkit', host) }),
  qemu: (host) => createQemuDriver({ exec: host.exec, ...vmFolders('qemu', host) }),
  virtualbox: (host) => createExperimentalDriver('virtualbox', { ...host, ...vmFolders('virtualbox', host) }),
  hyperkit: (host) => createExperimentalDriver('hyperkit', { ...host, ...vmFolders('hyperkit', host) }),
  parallels: (host) => createExperimentalDriver('parallels', { ...host, ...vmFolders('parallels', host) }),
  vmware: (host) => createExperimentalDriver('vmware', { ...host, ...vmFolders('vmware', host) }),
  ssh: ({ folders = foldersOf(process.env), hostUse }) =>
    createSshDriver({
      machinesFolder: join(folders.state, 'machines', 'ssh'),
      knownHostsFile: join(folders.state, 'ssh', 'known_hosts'),
      home: homedir(),
      agentSocket: process.env['SSH_AUTH_SOCK'],
      passphrase: process.env['MK_CI_SSH_PASSPHRASE'],
      use: hostUse,
    }),
  none: ({ exec, isConfirmed = false, hostUse }) => createNoneDriver({ exec, isConfirmed, use: hostUse }),
  existing: () => createExistingDriver(),
} as const satisfies Record<string, (dependencies: DriverDependencies) => Driver>;

export type DriverName = keyof typeof DRIVER_FACTORIES;

export const DEFAULT_DRIVER: DriverName = 'local';

/** Drivers by name, each made when it is first asked for. */
export interface DriverRegistry {
  readonly names: readonly string[];
  /** @throws {MkCiError} `DRV_UNKNOWN` with the known names */
  get(name: string): Driver;
}

/** @param factories @default {@link DRIVER_FACTORIES} */
export function createDriverRegistry(
  dependencies: DriverDependencies,
  factories: Readonly<Record<string, (dependencies: DriverDependencies) => Driver>> = DRIVER_FACTORIES,
): DriverRegistry {
  const made = new Map<string, Driver>();
  const names = Object.keys(factories);
  const { platform = process.platform } = dependencies;
  const make = (create: (dependencies: DriverDependencies) => Driver): Driver => {
    const driver = create(dependencies);
    if (driver.info.platforms.includes(platform)) return driver;
    const all = Object.values(factories).map((factory) => factory(dependencies).info);
    const here = all.filter(({ platforms }) => platforms.includes(platform)).map(({ name }) => name);
    return elsewhere(driver, platform, here);
  };
  return {
    names,
    get: (name) => {
      const create = Object.hasOwn(factories, name) ? factories[name] : undefined;
      if (create === undefined) {
        throw new MkCiError('DRV_UNKNOWN', { message: `'${name}'`, advice: `Known drivers: ${names.join(', ')}.` });
      }
      const driver = made.get(name) ?? make(create);
      made.set(name, driver);
      return driver;
    },
  };
}
