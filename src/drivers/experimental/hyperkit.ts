import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';

import type { Exec } from '../../exec.js';
import { signalProcess } from '../../process.js';
import { addressIn, parseDhcpdLeases } from './leases.js';
import type { ProcessTraits } from './process-hypervisor.js';
import type { MacOptions } from './vfkit.js';

/**
 * HyperKit: the hypervisor of macOS on Intel processors as a command. Runs as root (or setuid), since vmnet asks for it.
 *
 * Arguments: `moby/hyperkit:go/hyperkit.go` (`buildArgs`); SIGTERM as power button: `kubernetes/minikube:pkg/drivers/hyperkit`.
 */

const LEASES = '/var/db/dhcpd_leases';
const STATE_MS = 10_000;

export function hyperkitTraits({ exec, leasesFile = LEASES }: MacOptions & { readonly exec: Exec }): ProcessTraits {
  return {
    driver: 'hyperkit',
    versionCommand: ['hyperkit', '-v'],
    parseVersion: (said) => /hyperkit:? v?(\d[\w.]*)/.exec(said)?.[1],
    minMajor: 0,
    install: 'Install HyperKit (brew install hyperkit), owned by root with the setuid bit; on Apple silicon use vfkit.',
    url: 'https://github.com/moby/hyperkit',
    ailments: [],
    argv: ({ record, paths }) => {
      const { boot } = record;
      const kernel =
        boot.kind === 'kernel' ? `kexec,${boot.kernel},${boot.initrd},earlyprintk=serial ${boot.append}` : 'bootrom,,,';
      return [
        'hyperkit',
        ...['-A', '-u', '-F', paths.pidFile],
        ...['-c', String(record.cpus), '-m', `${record.memoryMiB}M`],
        ...['-s', '0:0,hostbridge', '-s', '31,lpc'],
        ...['-s', '1:0,virtio-net', '-U', uuidOf(paths.folder)],
        ...['-s', `2:0,virtio-blk,${paths.disk}`, '-s', `3:0,virtio-blk,${paths.seed}`],
        ...['-s', '4,virtio-rnd'],
        ...['-l', `com1,autopty=${paths.folder}/tty,log=${paths.serialLog}`],
        ...['-f', kernel],
      ];
    },
    stateOf: async (_paths, { pid }, signal) => {
      const argv = ['ps', '-o', 'state=', '-p', String(pid)] as const;
      const { stdout } = await exec(argv, { allowFailure: true, timeoutMs: STATE_MS, signal });
      return stdout.trim().startsWith('T') ? 'paused' : 'running';
    },
    pressPowerButton: async (_paths, identity) => {
      signalProcess(identity, 'SIGTERM');
    },
    pause: async (_paths, identity) => {
      signalProcess(identity, 'SIGSTOP');
    },
    resume: async (_paths, identity) => {
      signalProcess(identity, 'SIGCONT');
    },
    // vmnet makes the MAC from the UUID and tells it to root only; the guest asks for an address with its name.
    addressOf: async ({ record }) =>
      addressIn(parseDhcpdLeases(await readFile(leasesFile, 'utf8').catch(() => '')), { name: record.name }),
  };
}

/** Of version 4 in form; the same for a machine whenever it is asked for. */
function uuidOf(folder: string): string {
  const hex = createHash('sha256').update(folder).digest('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-a${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
}
