import { access } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';

import type { MachineState } from '../driver.js';
import { SSH_PORT, formatOwner } from '../vm/index.js';
import type { Run, ToolMachine, ToolTraits } from './tool-hypervisor.js';

/**
 * VirtualBox over `VBoxManage`.
 *
 * Formats: its manual, chapter 8 (`showvminfo --machinereadable`, `list vms`, `snapshot … list --machinereadable`), and how
 * `hashicorp/vagrant:plugins/providers/virtualbox/driver/version_7_0.rb` and `version_5_0.rb` read them.
 */

const PROGRAM = 'VBoxManage';
const OWNER_KEY = 'mk-ci/owner';
/** What its NAT gives the only guest behind it. */
const NETWORK = { address: '10.0.2.15', prefix: 24, gateway: '10.0.2.2', nameserver: '10.0.2.3' } as const;

export interface VirtualboxOptions {
  readonly folder: string;
  /** @default one that is free now */
  readonly freePort?: () => Promise<number>;
}

export function virtualboxTraits({ folder, freePort = findFreePort }: VirtualboxOptions): ToolTraits {
  const facts = async (run: Run, name: string, signal?: AbortSignal): Promise<ReadonlyMap<string, string>> =>
    parseMachineReadable(await run([PROGRAM, 'showvminfo', name, '--machinereadable'], { signal }));
  const kill = async (run: Run, name: string): Promise<void> => {
    await run([PROGRAM, 'controlvm', name, 'poweroff'], { done: /is not currently running/ });
  };
  const startVm = async (run: Run, name: string, signal: AbortSignal): Promise<void> => {
    await run([PROGRAM, 'startvm', name, '--type', 'headless'], { signal, done: /already locked by a session/ });
  };
  return {
    driver: 'virtualbox',
    versionCommand: [PROGRAM, '--version'],
    // A warning about its kernel module comes before the version, and nothing runs then.
    parseVersion: (said) => /^(\d+\.\d+\.\d+)(?:r\d+|_\S+)?\s*$/.exec(said.trim())?.[1],
    minMajor: 6,
    install: 'Install VirtualBox 6 or later, with its kernel module.',
    url: 'https://www.virtualbox.org/wiki/Downloads',
    ailments: [
      {
        pattern: /kernel module is not loaded|vboxdrv|VBoxSVC/i,
        reason: 'MODULE',
        fix: 'Run sudo /sbin/vboxconfig, or allow its system extension on macOS.',
      },
    ],
    isIsolated: true,
    network: NETWORK,
    diskFormats: ['raw', 'qcow2', 'vdi', 'vmdk', 'vpc'],
    list: async (run, signal) => {
      const machines: ToolMachine[] = [];
      for (const { name, id } of parseVmList(await run([PROGRAM, 'list', 'vms'], { signal }))) {
        // It may be gone meanwhile.
        const gone = { signal, done: /VBOX_E_OBJECT_NOT_FOUND/ };
        const notes = await run([PROGRAM, 'getextradata', id, OWNER_KEY], gone);
        const info = parseMachineReadable(await run([PROGRAM, 'showvminfo', id, '--machinereadable'], gone));
        machines.push({ name, state: stateOf(info.get('VMState') ?? ''), notes });
      }
      return machines;
    },
    define: async (run, { record, paths, image }, signal) => {
      const { name } = record;
      const disk = join(paths.folder, 'disk.vdi');
      const hasDisk = await access(disk).then(
        () => true,
        () => false,
      );
      if (!hasDisk) {
        const isRaw = /\.(?:img|raw)$/.test(image);
        const argv = isRaw ? ['convertfromraw', image, disk] : ['clonemedium', 'disk', image, disk];
        await run([PROGRAM, ...argv, '--format', 'VDI'], { signal });
      }
      const arm = record.architecture === 'arm64' ? ['--platform-architecture', 'arm'] : [];
      const type = record.architecture === 'arm64' ? 'Linux26_arm64' : 'Linux26_64';
      const steps: readonly (readonly string[])[] = [
        ['createvm', '--name', name, '--ostype', type, ...arm, '--basefolder', paths.folder, '--register'],
        // First of all whose it is: what is left after a failure is then found.
        ['setextradata', name, OWNER_KEY, formatOwner({ folder, network: record.network, labels: record.labels })],
        [
          ...['modifyvm', name, '--cpus', String(record.cpus), '--memory', String(record.memoryMiB)],
          ...['--rtcuseutc', 'on', '--ioapic', 'on', '--boot1', 'disk', '--graphicscontroller', 'vmsvga'],
          ...['--nic1', 'nat', '--nictype1', 'virtio', '--cableconnected1', 'on'],
          ...['--uart1', '0x3F8', '4', '--uartmode1', 'file', paths.serialLog],
        ],
        ['storagectl', name, '--name', 'SATA', '--add', 'sata', '--portcount', '2', '--hostiocache', 'on'],
        attach(name, 0, 'hdd', disk),
        attach(name, 1, 'dvddrive', paths.seed),
      ];
      for (const step of steps) await run([PROGRAM, ...step], { signal });
    },
    start: async (run, { record }, signal) => {
      const { name } = record;
      const info = await facts(run, name, signal);
      // A machine with saved memory keeps its rules, and no other can be set.
      if (info.get('VMState') !== 'saved') {
        for (const { rule } of parseForwards(info)) {
          await run([PROGRAM, 'modifyvm', name, '--natpf1', 'delete', rule], { signal });
        }
        for (const port of record.forwardedPorts) {
          const rule = `p${port},tcp,127.0.0.1,${await freePort()},,${port}`;
          await run([PROGRAM, 'modifyvm', name, '--natpf1', rule], { signal });
        }
      }
      await startVm(run, name, signal);
    },
    pressPowerButton: async (run, { record }, signal) => {
      await run([PROGRAM, 'controlvm', record.name, 'acpipowerbutton'], { signal, done: /is not currently running/ });
    },
    kill,
    pause: async (run, name, signal) => {
      await run([PROGRAM, 'controlvm', name, 'pause'], { signal });
    },
    resume: async (run, name, signal) => {
      await run([PROGRAM, 'controlvm', name, 'resume'], { signal });
    },
    reach: async (run, { record }, signal) => {
      const forwards = parseForwards(await facts(run, record.name, signal));
      const at = (guest: number) => {
        const found = forwards.find((forward) => forward.guestPort === guest);
        return found && { host: '127.0.0.1', port: found.hostPort };
      };
      const ssh = at(SSH_PORT);
      return ssh && { ssh, internalAddress: NETWORK.address, endpointOf: at };
    },
    remove: async (run, name) => {
      await run([PROGRAM, 'unregistervm', name, '--delete'], { done: /VBOX_E_OBJECT_NOT_FOUND/ });
    },
    snapshots: {
      save: async (run, name, snapshot, signal) => {
        await run([PROGRAM, 'snapshot', name, 'take', snapshot], { signal });
      },
      restore: async (run, name, snapshot, signal) => {
        await kill(run, name);
        await run([PROGRAM, 'snapshot', name, 'restore', snapshot], { signal });
        await startVm(run, name, signal);
      },
      list: async (run, name, signal) => {
        const none = { signal, done: /does not have any snapshots/ };
        const said = await run([PROGRAM, 'snapshot', name, 'list', '--machinereadable'], none);
        return [...parseMachineReadable(said)]
          .filter(([key]) => /^SnapshotName(?:-[\d-]+)?$/.test(key))
          .map(([, one]) => one);
      },
      delete: async (run, name, snapshot, signal) => {
        await run([PROGRAM, 'snapshot', name, 'delete', snapshot], { signal });
      },
    },
  };
}

function attach(name: string, port: number, type: string, medium: string): string[] {
  return [
    ...['storageattach', name, '--storagectl', 'SATA', '--port', String(port), '--device', '0'],
    ...['--type', type, '--medium', medium],
  ];
}

/** `list vms`: `"name" {uuid}`. Pure. */
export function parseVmList(text: string): { readonly name: string; readonly id: string }[] {
  return [...text.matchAll(/^"(.*)" \{([0-9a-f-]+)\}\s*$/gim)].map(([, name = '', id = '']) => ({ name, id }));
}

/** `key="value"` or `key=value`, one a line; values may hold `=` and quotes. Pure. */
export function parseMachineReadable(text: string): ReadonlyMap<string, string> {
  return new Map(
    text.split(/\r?\n/).flatMap((line) => {
      const match = /^"?([^="]+)"?=(?:"(.*)"|(.*))$/.exec(line);
      return match === null ? [] : [[match[1] ?? '', match[2] ?? match[3] ?? ''] as const];
    }),
  );
}

/** `Forwarding(0)="rule,tcp,127.0.0.1,2222,,22"`. Pure. */
export function parseForwards(
  info: ReadonlyMap<string, string>,
): { readonly rule: string; readonly hostPort: number; readonly guestPort: number }[] {
  return [...info].flatMap(([key, value]) => {
    const [rule = '', , , host, , guest] = value.split(',');
    return key.startsWith('Forwarding(') ? [{ rule, hostPort: Number(host), guestPort: Number(guest) }] : [];
  });
}

function stateOf(state: string): MachineState {
  if (['poweroff', 'aborted', 'saved', 'aborted-saved', 'teleported', ''].includes(state)) return 'stopped';
  if (state === 'paused') return 'paused';
  return state === 'gurumeditation' ? 'broken' : 'running';
}

async function findFreePort(): Promise<number> {
  return await new Promise((resolve, reject) => {
    const server = createServer();
    server.on('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => {
        resolve(typeof address === 'object' && address !== null ? address.port : 0);
      });
    });
  });
}
