import type { ContainerHostFacts } from '../host-facts.js';
import type { EngineFacts } from '../judge-engine.js';

/** A host with all rights and a recent engine, from which tests take away. */

export const ALL_CAPABILITIES = (1n << 41n) - 1n;
/** Bit 24: SYS_RESOURCE. */
export const RESTRICTED = ALL_CAPABILITIES & ~(1n << 24n);

export const HOST: ContainerHostFacts = {
  boundingSet: ALL_CAPABILITIES,
  lastCapability: 40,
  cgroups: 'v2',
  openFiles: 20_000,
  processes: 96_365,
  hasKmsg: true,
  hasModules: false,
  routes: [],
  networkPlugins: [],
  firewallPrograms: [],
};

export const ENGINE: EngineFacts = {
  version: '28.2.2',
  isRootless: false,
  cgroupVersion: '2',
  storageDriver: 'overlay2',
  defaultRuntime: 'runc',
  runtimes: ['runc'],
};
