import { join } from 'node:path';

import { MkCiError } from '../errors.js';
import type { Exec } from '../exec.js';
import { foldersOf, type Folders } from '../files.js';
import type { Driver } from './driver.js';
import { DOCKER, PODMAN, createContainerDriver } from './container/index.js';
import { createExistingDriver } from './existing/existing-driver.js';
import { createLocalDriver } from './local/local-driver.js';
import { createQemuDriver } from './qemu/index.js';

/** What factories of drivers are given. */
export interface DriverDependencies {
  readonly exec: Exec;
  /** For drivers whose machines have files of their own. @default those of this process's environment */
  readonly folders?: Folders;
}

/** Every driver, in the order in which lists show them; the first is the default. */
export const DRIVER_FACTORIES = {
  local: ({ exec }) => createLocalDriver({ exec }),
  docker: ({ exec }) => createContainerDriver({ traits: DOCKER, exec }),
  podman: ({ exec }) => createContainerDriver({ traits: PODMAN, exec }),
  qemu: ({ exec, folders = foldersOf(process.env) }) =>
    createQemuDriver({
      exec,
      machinesFolder: join(folders.state, 'machines', 'qemu'),
      imagesFolder: join(folders.cache, 'vm-images'),
    }),
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
  return {
    names,
    get: (name) => {
      const create = Object.hasOwn(factories, name) ? factories[name] : undefined;
      if (create === undefined) {
        throw new MkCiError('DRV_UNKNOWN', { message: `'${name}'`, advice: `Known drivers: ${names.join(', ')}.` });
      }
      const driver = made.get(name) ?? create(dependencies);
      made.set(name, driver);
      return driver;
    },
  };
}
