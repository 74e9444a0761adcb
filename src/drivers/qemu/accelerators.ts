import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { isMkCiError } from '../../errors.js';
import type { Argv, Exec } from '../../exec.js';
import { createTemporaryFolder } from '../../files.js';
import type { Architecture, DriverProblem } from '../driver.js';

/** What runs the instructions of a guest: the processor through a kernel's help, or a translator in QEMU (`tcg`). */
export type Accelerator = 'kvm' | 'hvf' | 'tcg';

/**
 * Features of an x86 processor that cost a translated guest more than they give it. With smap each access to memory of a program
 * has another table of addresses; writing the keys of pku empties these tables whenever a thread of the kernel gets its turn;
 * la57 makes each walk through the page tables a step longer; by erms and fsrm memory is copied byte by byte.
 */
export const COSTLY_FEATURES = ['erms', 'fsrm', 'la57', 'pku', 'smap'] as const;

/** Of one accelerator: does an ordinary guest run on it? */
export interface AcceleratorProbe {
  readonly accelerator: Accelerator;
  readonly works: boolean;
  /** Why it does not. */
  readonly reason?: string;
}

/** An ordinary guest that ends at once takes a quarter of a second with the help of a kernel; a busy host takes longer. */
const PROBE_MS = 8000;
const HELP_MS = 15_000;

/** Accelerators worth a try on a host, best first; the last one always works. */
export function candidatesFor(
  platform: NodeJS.Platform,
  hostArchitecture: Architecture,
  guestArchitecture: Architecture,
): readonly Accelerator[] {
  if (hostArchitecture !== guestArchitecture) return ['tcg'];
  if (platform === 'linux') return ['kvm', 'tcg'];
  return platform === 'darwin' ? ['hvf', 'tcg'] : ['tcg'];
}

/**
 * A guest that does one thing: end QEMU. x86: a boot sector that the firmware loads, so that real mode, firmware and
 * port I/O have to work, and that writes 0x10 to the port of `isa-debug-exit`, by which QEMU ends with 2 × 0x10 + 1.
 * arm64: a kernel of three instructions that asks PSCI to switch the machine off, by which QEMU ends with 0.
 */
export function probeGuest(architecture: Architecture): { readonly image: Uint8Array; readonly exitCode: number } {
  if (architecture === 'arm64') {
    // movz w0, #0x0008; movk w0, #0x8400, lsl #16 (SYSTEM_OFF); hvc #0; b .
    const words = [0x52800100, 0x72b08000, 0xd4000002, 0x14000000];
    return {
      image: Uint8Array.from(words.flatMap((word) => [0, 8, 16, 24].map((shift) => (word >>> shift) & 255))),
      exitCode: 0,
    };
  }
  const image = new Uint8Array(1_474_560); // a floppy disk, or the firmware does not take it for one
  // mov dx, 0x501; mov al, 0x10; out dx, al; hlt; jmp to hlt
  image.set([0xba, 0x01, 0x05, 0xb0, 0x10, 0xee, 0xf4, 0xeb, 0xfd]);
  image.set([0x55, 0xaa], 510);
  return { image, exitCode: 33 };
}

export function probeArguments(
  program: string,
  architecture: Architecture,
  accelerator: Accelerator,
  image: string,
): Argv {
  const common = ['-accel', accelerator, '-nodefaults', '-no-user-config', '-display', 'none', '-m', '64'];
  const path = image.replaceAll(',', ',,');
  if (architecture === 'arm64') {
    return [program, ...common, '-machine', 'virt', '-cpu', accelerator === 'tcg' ? 'max' : 'host', '-kernel', image];
  }
  return [
    program,
    ...common,
    ...['-cpu', accelerator === 'tcg' ? 'max' : 'host'],
    ...['-drive', `file=${path},format=raw,if=floppy,readonly=on`, '-boot', 'a'],
    ...['-device', 'isa-debug-exit,iobase=0x501,iosize=2'],
  ];
}

export interface ProbeOptions {
  readonly exec: Exec;
  /** Such as `qemu-system-x86_64`. */
  readonly program: string;
  readonly architecture: Architecture;
  readonly signal: AbortSignal;
}

/**
 * Runs an ordinary guest on an accelerator. Asking the kernel is not enough: on some hosts `/dev/kvm` opens and takes
 * guests that know of it, while ordinary ones hang in their first instructions.
 *
 * @throws {MkCiError} `HOST_MISSING_TOOL`
 */
export async function probeAccelerator(accelerator: Accelerator, options: ProbeOptions): Promise<AcceleratorProbe> {
  const { exec, program, architecture, signal } = options;
  if (accelerator === 'tcg') {
    // A part of QEMU that asks nothing of the host: it works where it was compiled in, however slowly.
    const { stdout } = await exec([program, '-accel', 'help'], { allowFailure: true, timeoutMs: HELP_MS, signal });
    return /^tcg$/m.test(stdout)
      ? { accelerator, works: true }
      : { accelerator, works: false, reason: 'this QEMU has no TCG' };
  }
  await using folder = await createTemporaryFolder('mk-ci-probe-');
  const guest = probeGuest(architecture);
  const image = join(folder.path, 'guest.img');
  await writeFile(image, guest.image);
  const argv = probeArguments(program, architecture, accelerator, image);
  const result = await exec(argv, { allowFailure: true, timeoutMs: PROBE_MS, graceMs: 500, signal }).catch(
    (error: unknown) => {
      if (isMkCiError(error, 'HOST_MISSING_TOOL')) throw error;
      signal.throwIfAborted();
      throw error;
    },
  );
  if (!result.timedOut && result.exitCode === guest.exitCode) return { accelerator, works: true };
  return { accelerator, works: false, reason: explainProbe(accelerator, result) };
}

/** Why a guest did not run, in words. Pure. */
export function explainProbe(
  accelerator: Accelerator,
  result: {
    readonly timedOut: boolean;
    readonly exitCode: number | undefined;
    readonly signal: string | undefined;
    readonly stderr: string;
  },
): string {
  const said = result.stderr
    .split('\n')
    .map((line) => line.replace(/^\S*qemu-system-\S+: (?:-accel \w+: )?/, '').trim())
    .find((line) => line !== '' && !/^warning:|^terminating on signal/.test(line));
  if (result.timedOut) {
    return `${accelerator.toUpperCase()} opens, but an ordinary guest hangs on it`;
  }
  if (result.signal !== undefined) return `QEMU was ended by ${result.signal}${said === undefined ? '' : `: ${said}`}`;
  return said ?? `QEMU ended with exit code ${result.exitCode ?? 'unknown'}`;
}

/** The first that works, with what is to be said about the better ones that do not. */
export function chooseAccelerator(probes: readonly AcceleratorProbe[]): {
  readonly accelerator: Accelerator | undefined;
  readonly problems: readonly DriverProblem[];
} {
  const best = probes.find(({ works }) => works);
  const problems = probes
    .slice(0, best === undefined ? undefined : probes.indexOf(best))
    .map(({ accelerator, reason = 'it does not work' }): DriverProblem => ({
      reason: `DRV_QEMU_${accelerator.toUpperCase()}`,
      message: `${accelerator.toUpperCase()} can not be used: ${reason}${best?.accelerator === 'tcg' ? '; guests are translated, some ten times slower' : ''}`,
      fix: REMEDIES[accelerator],
    }));
  return { accelerator: best?.accelerator, problems };
}

const REMEDIES = {
  kvm: 'Use a host with hardware virtualisation, switch nested virtualisation on, or add the user to the group kvm.',
  hvf: 'Sign QEMU with the entitlement com.apple.security.hypervisor, as packages of Homebrew are.',
  tcg: 'Install a QEMU that was built with TCG.',
} as const satisfies Record<Accelerator, string>;
