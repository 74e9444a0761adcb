import { arch, platform, totalmem } from 'node:os';

import { MkCiError } from '../../errors.js';
import type { Exec } from '../../exec.js';
import type { Architecture, Driver, DriverProblem } from '../driver.js';

const ARCHITECTURES: readonly Architecture[] = ['amd64', 'arm64'];
/** A control plane takes half a GiB; less than this and the kernel ends one of its processes. */
const MEMORY_MIB = 1024;

export interface LocalDriverOptions {
  readonly exec: Exec;
  /** @default that of this host */
  readonly platform?: NodeJS.Platform;
  /** As Node names it. @default that of this host */
  readonly architecture?: string;
  /** @default that of this host */
  readonly memoryBytes?: number;
}

/**
 * Clusters as processes of this host. It makes no machine, needs no privilege and no container engine; the bundle brings
 * the programs.
 */
export function createLocalDriver(options: LocalDriverOptions): Driver {
  const { exec } = options;
  const host = {
    platform: options.platform ?? platform(),
    architecture: options.architecture ?? arch(),
    memoryMiB: Math.round((options.memoryBytes ?? totalmem()) / 1024 / 1024),
  };
  return {
    info: {
      name: 'local',
      summary: 'control plane as processes of this host, nodes simulated by kwok',
      machines: 'none',
      bootstrap: 'processes',
      maxMachines: 0,
      platforms: ['linux', 'darwin'],
      architectures: ARCHITECTURES,
      containerRuntimes: [],
      experimental: false,
    },
    check: async (signal) => {
      signal.throwIfAborted();
      const unsupported = unsupportedBy(host.platform, host.architecture);
      const problems: DriverProblem[] = unsupported === undefined ? [] : [unsupported];
      if (host.memoryMiB < MEMORY_MIB) {
        problems.push({
          reason: 'DRV_LOCAL_MEMORY',
          message: `the host has ${host.memoryMiB} MiB of memory`,
          fix: `Use a host with at least ${MEMORY_MIB} MiB.`,
        });
      }
      const ties = unsupported === undefined && host.platform === 'linux' ? await hasParentDeath(exec, signal) : false;
      if (unsupported === undefined && host.platform === 'linux' && !ties) {
        problems.push({
          reason: 'DRV_LOCAL_SETPRIV',
          message: 'setpriv --pdeathsig does not work: components outlive a supervisor that is killed, until mk-ci gc',
          fix: 'Install util-linux.',
        });
      }
      return {
        usable: unsupported === undefined,
        problems,
        facts: { memoryMiB: String(host.memoryMiB), parentDeathSignal: ties ? 'yes' : 'no' },
      };
    },
  };
}

async function hasParentDeath(exec: Exec, signal: AbortSignal): Promise<boolean> {
  try {
    const result = await exec(['setpriv', '--pdeathsig', 'KILL', '--', 'true'], {
      allowFailure: true,
      timeoutMs: 5000,
      signal,
    });
    return result.exitCode === 0;
  } catch (error) {
    if (error instanceof MkCiError && error.code === 'HOST_MISSING_TOOL') return false;
    throw error;
  }
}

function unsupportedBy(hostPlatform: NodeJS.Platform, hostArchitecture: string): DriverProblem | undefined {
  if (hostPlatform !== 'linux' && hostPlatform !== 'darwin') {
    return {
      reason: 'DRV_LOCAL_PLATFORM',
      message: `Kubernetes servers do not run on ${hostPlatform}`,
      fix: 'Use Linux, such as WSL 2, or the driver existing.',
    };
  }
  if (hostArchitecture !== 'x64' && hostArchitecture !== 'arm64') {
    return {
      reason: 'DRV_LOCAL_ARCHITECTURE',
      message: `there are no bundles for ${hostArchitecture}`,
      fix: 'Use a host with amd64 or arm64, or the driver existing.',
    };
  }
  return undefined;
}
