import type { Architecture } from '../driver.js';
import type { BootSource, SecondNetwork } from '../vm/index.js';
import { COSTLY_FEATURES, type Accelerator } from './accelerators.js';

/** Command lines of QEMU. Pure. */

/**
 * Where the memory of a guest lies. `shared` is a file of Linux without a name, which can be copied while the guest stands still;
 * a `view` shows such a copy, which is read when the guest looks there and never written.
 */
export type GuestMemory = { readonly kind: 'own' | 'shared' } | { readonly kind: 'view'; readonly file: string };

export interface MachinePlan {
  readonly name: string;
  readonly architecture: Architecture;
  readonly accelerator: Accelerator;
  readonly cpus: number;
  readonly memoryMiB: number;
  readonly memory: GuestMemory;
  readonly boot: BootSource;
  /** qcow2 file of this machine. */
  readonly disk: string;
  /** ISO image that tells the guest who it is. */
  readonly seed: string;
  readonly qmpSocket: string;
  readonly pidFile: string;
  readonly serialLog: string;
  /** Of a console at which the guest waits for the time. */
  readonly clockSocket?: string;
  /** Ports of the guest; QEMU takes free ones of the host's loopback for them. */
  readonly forwardedPorts: readonly number[];
  readonly secondNetwork?: SecondNetwork;
  /** Begin from this snapshot on the disk instead of booting. */
  readonly snapshot?: string;
  /** Wait for the memory of another machine, which the monitor is told where to read. */
  readonly isIncoming?: boolean;
}

export function programFor(architecture: Architecture): string {
  return architecture === 'amd64' ? 'qemu-system-x86_64' : 'qemu-system-aarch64';
}

/** The address that QEMU's user network gives its only guest, and what it is inside that network. */
export const GUEST_ADDRESS = '10.0.2.15';
export const GUEST_GATEWAY = '10.0.2.2';
export const GUEST_NAMESERVER = '10.0.2.3';

/** Arguments for a machine that goes into the background once it runs, program first. */
export function machineArguments(plan: MachinePlan): readonly [string, ...string[]] {
  const forwards = plan.forwardedPorts.map((port) => `,hostfwd=tcp:127.0.0.1:0-:${port}`).join('');
  return [
    programFor(plan.architecture),
    ...['-name', value(plan.name)],
    ...['-nodefaults', '-no-user-config', '-display', 'none'],
    ...platformArguments(plan),
    ...['-smp', String(plan.cpus), '-m', String(plan.memoryMiB), '-object', memoryObject(plan)],
    ...['-rtc', 'base=utc'],
    ...bootArguments(plan.boot),
    // Whatever happens to the host, such a machine is made anew: nothing waits for its disk.
    ...['-drive', `file=${value(plan.disk)},if=virtio,format=qcow2,cache=unsafe,discard=unmap`],
    ...['-drive', `file=${value(plan.seed)},if=virtio,format=raw,readonly=on`],
    ...['-netdev', `user,id=net0${forwards}`],
    ...['-device', 'virtio-net-pci,netdev=net0,romfile='],
    ...['-device', 'virtio-rng-pci'],
    ...['-chardev', `file,id=serial0,path=${value(plan.serialLog)},append=on`, '-serial', 'chardev:serial0'],
    ...(plan.clockSocket === undefined ? [] : consoleArguments(plan.clockSocket)),
    ...(plan.secondNetwork === undefined ? [] : secondCard(plan.secondNetwork)),
    ...['-qmp', `unix:${value(plan.qmpSocket)},server=on,wait=off`],
    ...['-pidfile', plan.pidFile, '-daemonize'],
    ...(plan.snapshot === undefined ? [] : ['-loadvm', plan.snapshot]),
    ...(plan.isIncoming === true ? ['-incoming', 'defer'] : []),
  ];
}

/** After the other devices, whose places on the bus are then the same with it and without. */
function consoleArguments(socket: string): string[] {
  return [
    ...['-chardev', `socket,id=clock0,path=${value(socket)},server=on,wait=off`],
    ...['-device', 'virtio-serial-pci,id=consoles', '-device', 'virtconsole,bus=consoles.0,chardev=clock0'],
  ];
}

/** Last of all devices, for the same reason. */
function secondCard(network: SecondNetwork): string[] {
  const end =
    network.kind === 'bridge'
      ? `bridge,id=net1,br=${value(network.bridge)}`
      : `stream,id=net1,server=off,addr.type=unix,addr.path=${value(network.path)}`;
  return ['-netdev', end, '-device', `virtio-net-pci,netdev=net1,mac=${network.mac},romfile=`];
}

/** By one name, whatever it is: a saved state goes on in any of them. */
const MEMORY = 'ram';

function memoryObject({ memory, memoryMiB }: MachinePlan): string {
  const common = `id=${MEMORY},size=${memoryMiB}M`;
  switch (memory.kind) {
    case 'own':
      return `memory-backend-ram,${common}`;
    case 'shared':
      return `memory-backend-memfd,${common},share=on`;
    case 'view':
      return `memory-backend-file,${common},share=off,mem-path=${value(memory.file)}`;
  }
}

const TRANSLATED_CPU = ['max', ...COSTLY_FEATURES.map((name) => `${name}=off`)].join(',');

function platformArguments({ architecture, accelerator }: MachinePlan): string[] {
  // One thread of the host for each processor of the guest; a cache that holds the code of a whole control plane.
  const accel = accelerator === 'tcg' ? 'tcg,thread=multi,tb-size=1024' : accelerator;
  if (architecture === 'amd64') {
    return [
      '-machine',
      `q35,memory-backend=${MEMORY}`,
      '-accel',
      accel,
      '-cpu',
      accelerator === 'tcg' ? TRANSLATED_CPU : 'host',
    ];
  }
  const gic = accelerator === 'kvm' ? 'host' : '3';
  // Pointer authentication as the architecture has it costs half of the time when it is emulated.
  const cpu = accelerator === 'tcg' ? 'max,pauth-impdef=on' : 'host';
  return ['-machine', `virt,gic-version=${gic},memory-backend=${MEMORY}`, '-accel', accel, '-cpu', cpu];
}

function bootArguments(boot: BootSource): string[] {
  if (boot.kind === 'kernel') return ['-kernel', boot.kernel, '-initrd', boot.initrd, '-append', boot.append];
  return boot.code === undefined ? [] : ['-drive', `file=${value(boot.code)},if=pflash,format=raw,readonly=on`];
}

/** A text inside a list of options: commas are doubled. */
function value(text: string): string {
  return text.replaceAll(',', ',,');
}
