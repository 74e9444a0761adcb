import { createHash } from 'node:crypto';

import { COSTLY_FEATURES, type Accelerator } from '../qemu/index.js';
import { consoleOf, type MachineOwner, type VmFiles } from '../vm/index.js';
import { findOwner, renderOwner } from './owner-xml.js';
import { childOf, element, parseXml, xmlText } from './xml.js';

/** Documents of libvirt that describe machines. Pure. @see {@link https://libvirt.org/formatdomain.html} */

export type DomainNetwork =
  /** On a network of libvirt. */
  | { readonly kind: 'network'; readonly name: string; readonly mac: string }
  /** QEMU's own, with ports forwarded from free ones of the loopback. Needs no rights, changes nothing on the host. */
  | { readonly kind: 'user'; readonly ports: readonly number[] };

export interface DomainPlan {
  readonly files: VmFiles;
  /** Folder of the machines of this mk-ci. */
  readonly folder: string;
  readonly accelerator: Accelerator;
  readonly network: DomainNetwork;
  /** User and group the machine runs as, where libvirt would take others that can not read its files. */
  readonly runAs?: { readonly uid: number; readonly gid: number };
}

export function renderDomain({ files, folder, accelerator, network, runAs }: DomainPlan): string {
  const { record } = files;
  const isArm = record.architecture === 'arm64';
  const { boot } = record;
  return element(
    'domain',
    {
      type: accelerator === 'kvm' ? 'kvm' : 'qemu',
      'xmlns:qemu': network.kind === 'user' ? 'http://libvirt.org/schemas/domain/qemu/1.0' : undefined,
    },
    [
      element('name', {}, xmlText(record.name)),
      element('metadata', {}, renderOwner({ folder, network: record.network, labels: record.labels })),
      element('memory', { unit: 'MiB' }, String(record.memoryMiB)),
      element('vcpu', {}, String(record.cpus)),
      element('os', {}, [
        element('type', { arch: isArm ? 'aarch64' : 'x86_64', machine: isArm ? 'virt' : 'q35' }, 'hvm'),
        ...(boot.kind === 'kernel'
          ? [
              element('kernel', {}, xmlText(boot.kernel)),
              element('initrd', {}, xmlText(boot.initrd)),
              element('cmdline', {}, xmlText(boot.append)),
            ]
          : [
              boot.code === undefined ? '' : element('loader', { readonly: 'yes', type: 'pflash' }, xmlText(boot.code)),
              element('boot', { dev: 'hd' }),
            ]),
      ]),
      element('features', {}, [
        element('acpi'),
        ...(isArm ? [element('gic', { version: accelerator === 'kvm' ? 'host' : 3 })] : [element('apic')]),
        // Holds the code of a whole control plane; less of it is thrown away and translated again.
        ...(accelerator === 'kvm' ? [] : [element('tcg', {}, element('tb-cache', { unit: 'MiB' }, '1024'))]),
      ]),
      element(
        'cpu',
        { mode: accelerator === 'kvm' ? 'host-passthrough' : 'maximum' },
        accelerator === 'kvm' || isArm
          ? []
          : COSTLY_FEATURES.map((name) => element('feature', { policy: 'disable', name })),
      ),
      element('clock', { offset: 'utc' }),
      element('on_poweroff', {}, 'destroy'),
      element('on_reboot', {}, 'restart'),
      element('on_crash', {}, 'destroy'),
      renderDevices(files, network),
      // Files of machines belong to their user: libvirt neither changes owners nor runs the machine as somebody else.
      ...(runAs === undefined
        ? []
        : [
            element(
              'seclabel',
              { type: 'static', model: 'dac', relabel: 'no' },
              element('label', {}, `+${runAs.uid}:+${runAs.gid}`),
            ),
          ]),
      ...(network.kind === 'user' ? [renderUserNetwork(network.ports)] : []),
    ],
  );
}

function renderDevices({ record, paths }: VmFiles, network: DomainNetwork): string {
  const disk = (path: string, dev: string, driver: Readonly<Record<string, string>>, extra: string[] = []): string =>
    element('disk', { type: 'file', device: 'disk' }, [
      element('driver', { name: 'qemu', ...driver }),
      element('source', { file: path }),
      element('target', { dev, bus: 'virtio' }),
      ...extra,
    ]);
  const log = element('source', { path: paths.serialLog, append: 'on' });
  const isSerial = consoleOf(record.architecture) === 'ttyS0' ? 'isa-serial' : 'system-serial';
  return element('devices', {}, [
    // Whatever happens to the host, such a machine is made anew: nothing waits for its disk.
    disk(paths.disk, 'vda', { type: 'qcow2', cache: 'unsafe', discard: 'unmap' }),
    disk(paths.seed, 'vdb', { type: 'raw' }, [element('readonly')]),
    element('controller', { type: 'usb', model: 'none' }),
    ...(network.kind === 'network'
      ? [
          element('interface', { type: 'network' }, [
            element('mac', { address: network.mac }),
            element('source', { network: network.name }),
            element('model', { type: 'virtio' }),
          ]),
        ]
      : []),
    element('serial', { type: 'file' }, [log, element('target', { type: isSerial, port: 0 })]),
    element('console', { type: 'file' }, [log, element('target', { type: 'serial', port: 0 })]),
    element('channel', { type: 'unix' }, element('target', { type: 'virtio', name: 'org.qemu.guest_agent.0' })),
    element('rng', { model: 'virtio' }, element('backend', { model: 'random' }, '/dev/urandom')),
    element('memballoon', { model: 'none' }),
  ]);
}

/** Where libvirt puts no device of its own on these machine types. */
const NETWORK_SLOT = '0x10';

function renderUserNetwork(ports: readonly number[]): string {
  const forwards = ports.map((port) => `,hostfwd=tcp:127.0.0.1:0-:${port}`).join('');
  const args = [
    ...['-netdev', `user,id=mkci0${forwards}`],
    ...['-device', `virtio-net-pci,netdev=mkci0,romfile=,bus=pcie.0,addr=${NETWORK_SLOT}`],
  ];
  return element(
    'qemu:commandline',
    {},
    args.map((value) => element('qemu:arg', { value })),
  );
}

export interface DomainFacts {
  readonly name: string;
  /** Absent on a machine that is not ours. */
  readonly owner?: MachineOwner;
  readonly mac?: string;
}

/** What a domain says of itself. libvirt keeps prefixes; an element of another namespace under our prefix is not ours. */
export function parseDomain(document: string): DomainFacts {
  const domain = parseXml(document);
  const owner = findOwner(domain);
  const mac = childOf(domain, 'devices', 'interface', 'mac')?.attributes['address'];
  return {
    name: childOf(domain, 'name')?.text ?? '',
    ...(owner === undefined ? {} : { owner }),
    ...(mac === undefined ? {} : { mac }),
  };
}

/** Of the range that QEMU's machines use; the same for a machine whenever it is asked for. */
export function macOf(folder: string, name: string): string {
  const bytes = createHash('sha256').update(`${folder}\0${name}`).digest().subarray(0, 3);
  return ['52', '54', '00', ...[...bytes].map((byte) => byte.toString(16).padStart(2, '0'))].join(':');
}
