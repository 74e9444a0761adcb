import { isMkCiError } from '../../errors.js';
import type { Exec } from '../../exec.js';
import type { DriverHealth, DriverProblem } from '../driver.js';
import { chooseAccelerator, type AcceleratorChoice } from '../qemu/index.js';
import type { Connection } from './connection.js';

/** `<tb-cache>` of translated machines. */
const MIN_MAJOR = 8;
const URL = 'https://libvirt.org/docs.html';
const INSTALL =
  'Install libvirt and QEMU (apt-get install libvirt-daemon-system libvirt-clients qemu-system qemu-utils).';

export interface CheckOptions {
  readonly exec: Exec;
  readonly connection: Connection;
  readonly choice: Pick<AcceleratorChoice, 'probe'>;
  readonly uri?: string | undefined;
  readonly isInstalled: (program: string) => boolean;
  readonly signal: AbortSignal;
}

/** Is there a libvirt that this user may use, with a QEMU that runs guests? */
export async function checkLibvirt(options: CheckOptions): Promise<DriverHealth> {
  const { exec, connection, choice, uri, isInstalled, signal } = options;
  signal.throwIfAborted();
  if (uri !== undefined && !/^(?:qemu|test):\/\/\//.test(uri)) {
    return unusable({
      reason: 'DRV_KVM2_URI',
      message: `machines at ${uri} can not use files of this host`,
      fix: 'Use qemu:///system or qemu:///session, or the driver ssh for another host.',
    });
  }
  try {
    const opened = await connection.open(signal);
    if (Number.parseInt(opened.version, 10) < MIN_MAJOR) {
      return unusable({
        reason: 'DRV_KVM2_VERSION',
        message: `libvirt ${opened.version} is too old`,
        fix: `Update it to ${MIN_MAJOR}.0 or later.`,
        url: URL,
      });
    }
    await exec(['qemu-img', '--version'], { timeoutMs: 10_000, signal });
    const { accelerator, problems } = chooseAccelerator(await choice.probe(signal));
    const worse = opened.refused.map(({ uri: better, why }): DriverProblem => ({
      ...problemOf(why),
      message: `${better} can not be used, ${opened.virsh.uri} is: clusters have one node (${why})`,
    }));
    return {
      usable: accelerator !== undefined,
      problems: [
        ...worse,
        ...(opened.networking === 'nat' && !isInstalled('dnsmasq') ? [NO_DNSMASQ] : []),
        ...problems.map((problem) => ({ ...problem, reason: problem.reason.replace('QEMU', 'KVM2') })),
      ],
      facts: {
        version: opened.version,
        uri: opened.virsh.uri,
        networking: opened.networking,
        accelerator: accelerator ?? 'none',
      },
    };
  } catch (error) {
    signal.throwIfAborted();
    if (isMkCiError(error, 'HOST_MISSING_TOOL')) {
      return unusable({ reason: 'DRV_KVM2_NOT_FOUND', message: error.message, fix: INSTALL, url: URL });
    }
    if (isMkCiError(error, 'DRV_UNUSABLE')) return unusable(problemOf(error.message));
    throw error;
  }
}

/** Debian's packages of libvirt only recommend it. Others may keep it where nobody else finds it. */
const NO_DNSMASQ: DriverProblem = {
  reason: 'DRV_KVM2_DNSMASQ',
  message: 'dnsmasq was not found: libvirt starts no network without it',
  fix: 'Install it (apt-get install dnsmasq-base), or set MK_CI_LIBVIRT_URI=qemu:///session for one node.',
};

/** What to do about a libvirt that does not answer, from what virsh said. Pure. */
export function problemOf(said: string): DriverProblem {
  if (/permission denied|authentication (?:failed|unavailable)|access denied|polkit/i.test(said)) {
    return {
      reason: 'DRV_KVM2_PERMISSION',
      message: said,
      fix: 'Add the user to the group libvirt (sudo usermod -aG libvirt USER) and log in again.',
      url: URL,
    };
  }
  if (/no such file|connection refused|failed to connect/i.test(said)) {
    return {
      reason: 'DRV_KVM2_NOT_RUNNING',
      message: said,
      fix: 'Start the daemon (sudo systemctl enable --now libvirtd), or install libvirt-daemon-system.',
      url: URL,
    };
  }
  return {
    reason: 'DRV_KVM2_UNUSABLE',
    message: said,
    fix: 'Make virsh --connect qemu:///system version work.',
    url: URL,
  };
}

function unusable(problem: DriverProblem): DriverHealth {
  return { usable: false, problems: [problem], facts: {} };
}
