import { cpus } from 'node:os';

import { isMkCiError } from '../../errors.js';
import type { Exec } from '../../exec.js';
import type { Architecture, DriverHealth, DriverProblem } from '../driver.js';
import type { AcceleratorChoice } from './accelerator-choice.js';
import { chooseAccelerator } from './accelerators.js';
import { programFor } from './arguments.js';

/** Less and the control plane of Kubernetes does not start. */
const MEMORY_MIB = 3072;
/** Forwards from a port that QEMU takes itself, and the options of this driver, as of Debian 11. */
const MIN_MAJOR = 5;
const URL = 'https://www.qemu.org/download/';

export interface CheckOptions {
  readonly exec: Exec;
  readonly choice: Pick<AcceleratorChoice, 'probe'>;
  readonly architecture: Architecture;
  readonly platform: NodeJS.Platform;
  readonly memoryMiB: number;
  readonly signal: AbortSignal;
}

export async function checkQemu(options: CheckOptions): Promise<DriverHealth> {
  const { exec, choice, architecture, platform, memoryMiB, signal } = options;
  signal.throwIfAborted();
  if (platform !== 'linux' && platform !== 'darwin') {
    return unusable({
      reason: 'DRV_QEMU_PLATFORM',
      message: `machines of QEMU are not supported on ${platform}`,
      fix: 'Use Linux, such as WSL 2, or macOS.',
    });
  }
  const program = programFor(architecture);
  for (const tool of [program, 'qemu-img']) {
    if ((await versionOf(exec, tool, signal)) !== undefined) continue;
    return unusable({
      reason: 'DRV_QEMU_NOT_FOUND',
      message: `${tool} is not installed`,
      fix: `Install QEMU (${platform === 'darwin' ? 'brew install qemu' : 'apt-get install qemu-system qemu-utils'}).`,
      url: URL,
    });
  }
  const version = (await versionOf(exec, program, signal)) ?? '';
  if (Number.parseInt(version, 10) < MIN_MAJOR) {
    return unusable({
      reason: 'DRV_QEMU_VERSION',
      message: `QEMU ${version} is too old`,
      fix: `Update it to ${MIN_MAJOR}.0 or later.`,
      url: URL,
    });
  }
  const { accelerator, problems: slow } = chooseAccelerator(await choice.probe(signal));
  const problems: DriverProblem[] = [...slow];
  if (memoryMiB < MEMORY_MIB) {
    problems.push({
      reason: 'DRV_QEMU_MEMORY',
      message: `the host has ${memoryMiB} MiB of memory`,
      fix: `Use a host with at least ${MEMORY_MIB} MiB.`,
    });
  }
  return {
    usable: accelerator !== undefined && memoryMiB >= MEMORY_MIB,
    problems,
    facts: {
      ...{ version, accelerator: accelerator ?? 'none', architecture },
      // Guests have the host's own processor then: their memory is of use on no other.
      ...(accelerator === undefined || accelerator === 'tcg' ? {} : { processor: cpus()[0]?.model ?? 'unknown' }),
    },
  };
}

function unusable(problem: DriverProblem): DriverHealth {
  return { usable: false, problems: [problem], facts: {} };
}

/** Such as `7.2.22`; '' when it is there and says nothing of the kind. */
async function versionOf(exec: Exec, program: string, signal: AbortSignal): Promise<string | undefined> {
  try {
    const result = await exec([program, '--version'], { allowFailure: true, timeoutMs: 10_000, signal });
    return /version (\d+\.\d+(?:\.\d+)?)/.exec(result.stdout)?.[1] ?? '';
  } catch (error) {
    signal.throwIfAborted();
    if (isMkCiError(error, 'HOST_MISSING_TOOL')) return undefined;
    throw error;
  }
}
