import { access, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { isMkCiError } from '../../errors.js';
import type { MachineState } from '../driver.js';
import { SSH_PORT, formatOwner, type VmFiles } from '../vm/index.js';
import type { Run, ToolTraits } from './tool-hypervisor.js';

/**
 * VMware Workstation and Fusion over `vmrun` and a `.vmx` file.
 *
 * Formats: "Using vmrun to Control Virtual Machines" (https://docs.vmware.com/en/VMware-Fusion/13/com.vmware.fusion.using.doc) for
 * `list`, `listSnapshots` and `getGuestIPAddress`; `hashicorp/packer-plugin-vmware:builder/vmware` for keys of the file.
 */

const VMX = 'machine.vmx';
/** `vmrun` does not tell a paused machine from one that runs. */
const PAUSED = 'paused';

export interface VmwareOptions {
  readonly folder: string;
  readonly platform: NodeJS.Platform;
  /** @default 22 */
  readonly sshPort?: number;
}

export function vmwareTraits({ folder, platform, sshPort = SSH_PORT }: VmwareOptions): ToolTraits {
  const product = platform === 'darwin' ? 'fusion' : 'ws';
  const vmxOf = (name: string): string => join(folder, name, VMX);
  const vmrun = async (run: Run, args: readonly string[], signal?: AbortSignal, done?: RegExp): Promise<string> =>
    await run(['vmrun', '-T', product, ...args], { signal, ...(done === undefined ? {} : { done }) });
  const unmark = async (name: string): Promise<void> => {
    await rm(join(folder, name, PAUSED), { force: true });
  };
  const start = async (run: Run, name: string, signal: AbortSignal): Promise<void> => {
    await unmark(name);
    await vmrun(run, ['start', vmxOf(name), 'nogui'], signal);
  };
  return {
    driver: 'vmware',
    versionCommand: ['vmrun'],
    // Without a command it says how it is used, its version first, and fails.
    parseVersion: (said) => /vmrun version (\d+(?:\.\d+)*)/.exec(said)?.[1],
    minMajor: 1,
    install: 'Install VMware Workstation or Fusion, and put vmrun into PATH.',
    url: 'https://www.vmware.com/products/desktop-hypervisor/workstation-and-fusion',
    ailments: [],
    isIsolated: false,
    network: 'dhcp',
    diskFormats: ['vmdk'],
    list: async (run, signal) => {
      const running = new Set(parseRunning(await vmrun(run, ['list'], signal)));
      const names = await readdir(folder).catch(() => []);
      const found = await Promise.all(
        names.map(async (name) => {
          const text = await readFile(vmxOf(name), 'utf8').catch(() => undefined);
          if (text === undefined) return undefined;
          const isPaused = await exists(join(folder, name, PAUSED));
          const state: MachineState = !running.has(vmxOf(name)) ? 'stopped' : isPaused ? 'paused' : 'running';
          return { name, state, notes: parseVmx(text).get('annotation') ?? '' };
        }),
      );
      return found.filter((machine) => machine !== undefined);
    },
    define: async (run, { record, paths, image }, signal) => {
      const disk = join(paths.folder, 'disk.vmdk');
      // -t 0: one file that grows.
      if (!(await exists(disk))) await run(['vmware-vdiskmanager', '-r', image, '-t', '0', disk], { signal });
      const owner = formatOwner({ folder, network: record.network, labels: record.labels });
      await writeFile(join(paths.folder, VMX), renderVmx({ record, paths }, owner), { mode: 0o600 });
    },
    start: async (run, { record }, signal) => {
      await start(run, record.name, signal);
    },
    pressPowerButton: async (run, { record }, signal) => {
      // It waits for the guest. Whatever comes of it, the state of the machine is looked at.
      await vmrun(run, ['stop', vmxOf(record.name), 'soft'], signal, /(?:)/);
    },
    kill: async (run, name) => {
      await unmark(name);
      await vmrun(run, ['stop', vmxOf(name), 'hard'], undefined, /is not powered on/);
    },
    pause: async (run, name, signal) => {
      await vmrun(run, ['pause', vmxOf(name)], signal);
      await writeFile(join(folder, name, PAUSED), '');
    },
    resume: async (run, name, signal) => {
      await vmrun(run, ['unpause', vmxOf(name)], signal);
      await unmark(name);
    },
    reach: async (run, { record }, signal) => {
      const said = await vmrun(run, ['getGuestIPAddress', vmxOf(record.name)], signal).catch((error: unknown) => {
        if (isMkCiError(error, 'DRV_FAILED')) return ''; // the tools in the guest do not run yet
        throw error;
      });
      const host = /^\s*(\d{1,3}(?:\.\d{1,3}){3})\s*$/.exec(said)?.[1];
      return host === undefined
        ? undefined
        : { ssh: { host, port: sshPort }, internalAddress: host, endpointOf: (port) => ({ host, port }) };
    },
    remove: async (run, name) => {
      await vmrun(run, ['deleteVM', vmxOf(name)]);
    },
    snapshots: {
      save: async (run, name, snapshot, signal) => {
        await vmrun(run, ['snapshot', vmxOf(name), snapshot], signal);
      },
      restore: async (run, name, snapshot, signal) => {
        await vmrun(run, ['revertToSnapshot', vmxOf(name), snapshot], signal);
        await start(run, name, signal);
      },
      list: async (run, name, signal) => parseListed(await vmrun(run, ['listSnapshots', vmxOf(name)], signal)),
      delete: async (run, name, snapshot, signal) => {
        await vmrun(run, ['deleteSnapshot', vmxOf(name), snapshot], signal);
      },
    },
  };
}

/** `Total running VMs: 1` and a path a line. Pure. */
export function parseRunning(text: string): string[] {
  return parseListed(text);
}

/** A total, then one a line. Pure. */
function parseListed(text: string): string[] {
  return text
    .split(/\r?\n/)
    .slice(1)
    .filter((line) => line.trim() !== '');
}

function renderVmx({ record, paths }: VmFiles, owner: string): string {
  const isArm = record.architecture === 'arm64';
  const keys = {
    '.encoding': 'UTF-8',
    'config.version': '8',
    'virtualHW.version': isArm ? '20' : '14',
    displayName: record.name,
    annotation: owner,
    guestOS: isArm ? 'arm-other5xlinux-64' : 'other4xlinux-64',
    firmware: isArm ? 'efi' : 'bios',
    numvcpus: String(record.cpus),
    memsize: String(record.memoryMiB),
    'pciBridge0.present': 'TRUE',
    'sata0.present': 'TRUE',
    'sata0:0.present': 'TRUE',
    'sata0:0.fileName': 'disk.vmdk',
    'sata0:1.present': 'TRUE',
    'sata0:1.deviceType': 'cdrom-image',
    'sata0:1.fileName': paths.seed,
    'ethernet0.present': 'TRUE',
    'ethernet0.connectionType': 'nat',
    'ethernet0.virtualDev': isArm ? 'e1000e' : 'vmxnet3',
    'ethernet0.addressType': 'generated',
    'serial0.present': 'TRUE',
    'serial0.fileType': 'file',
    'serial0.fileName': paths.serialLog,
    // Questions would wait for somebody at a screen.
    'msg.autoAnswer': 'TRUE',
    'uuid.action': 'create',
  };
  return Object.entries(keys)
    .map(
      ([key, value]) =>
        `${key} = "${value.replace(/["|\n\r]/g, (char) => `|${char.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`)}"\n`,
    )
    .join('');
}

/** `key = "value"`, one a line; `|22` stands for a character by its number. Pure. */
export function parseVmx(text: string): ReadonlyMap<string, string> {
  return new Map(
    [...text.matchAll(/^\s*([^\s=#]+)\s*=\s*"(.*)"\s*$/gm)].map(([, key = '', value = '']) => [
      key,
      value.replace(/\|([0-9a-f]{2})/gi, (_, code: string) => String.fromCharCode(Number.parseInt(code, 16))),
    ]),
  );
}

async function exists(path: string): Promise<boolean> {
  return await access(path).then(
    () => true,
    () => false,
  );
}
