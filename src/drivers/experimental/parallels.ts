import { access, cp, readFile } from 'node:fs/promises';
import { join } from 'node:path';

import { z } from 'zod';

import { MkCiError } from '../../errors.js';
import type { MachineState } from '../driver.js';
import { SSH_PORT, formatOwner } from '../vm/index.js';
import { addressIn, parseParallelsLeases } from './leases.js';
import type { Run, ToolTraits } from './tool-hypervisor.js';

/**
 * Parallels Desktop (Pro or Business) over `prlctl`, whose answers come as JSON.
 *
 * Formats: https://docs.parallels.com/parallels-desktop-developers-guide/command-line-interface-utility ; which fields there are and
 * where the leases lie: `Parallels/vagrant-parallels:lib/vagrant-parallels/driver/base.rb` (`read_settings`, `read_guest_ip`).
 */

const PROGRAM = 'prlctl';
const LEASES = '/Library/Preferences/Parallels/parallels_dhcp_leases';

const machineSchema = z.array(
  z.object({
    Name: z.string(),
    State: z.string(),
    Description: z.string().optional(),
    Hardware: z.record(z.string(), z.unknown()).optional(),
  }),
);
const adapterSchema = z.object({ mac: z.string() });
const snapshotsSchema = z.record(z.string(), z.object({ name: z.string() }));

export interface ParallelsOptions {
  readonly folder: string;
  readonly leasesFile?: string;
  /** @default 22 */
  readonly sshPort?: number;
}

export function parallelsTraits({ folder, leasesFile = LEASES, sshPort = SSH_PORT }: ParallelsOptions): ToolTraits {
  const prlctl = async (run: Run, args: readonly string[], signal?: AbortSignal, done?: RegExp): Promise<string> =>
    await run([PROGRAM, ...args], { signal, ...(done === undefined ? {} : { done }) });
  const idOf = async (run: Run, name: string, snapshot: string, signal: AbortSignal): Promise<string> => {
    const kept = parse(snapshotsSchema, await prlctl(run, ['snapshot-list', name, '--json'], signal), {});
    const id = Object.entries(kept).find(([, { name: own }]) => own === snapshot)?.[0];
    if (id === undefined) throw new MkCiError('K8S_SNAPSHOT_NOT_FOUND', { message: `${snapshot} of ${name}` });
    return id;
  };
  return {
    driver: 'parallels',
    versionCommand: [PROGRAM, '--version'],
    parseVersion: (said) => /prlctl version (\d+\.\d+\.\d+)/.exec(said)?.[1],
    minMajor: 11,
    install: 'Install Parallels Desktop, Pro or Business edition.',
    url: 'https://www.parallels.com/products/desktop/pro/',
    ailments: [
      {
        pattern: /license|not available in this edition/i,
        reason: 'LICENSE',
        fix: 'Use the Pro or Business edition: others have no command line.',
      },
    ],
    isIsolated: false,
    network: 'dhcp',
    diskFormats: ['parallels'],
    list: async (run, signal) => {
      const said = await prlctl(run, ['list', '--all', '--info', '--json'], signal);
      return parse(machineSchema, said, []).map(({ Name, State, Description = '' }) => ({
        name: Name,
        state: stateOf(State),
        notes: Description,
      }));
    },
    define: async (run, { record, paths, image }, signal) => {
      const { name } = record;
      const disk = join(paths.folder, 'disk.hdd');
      const hasDisk = await access(disk).then(
        () => true,
        () => false,
      );
      if (!hasDisk) await cp(image, disk, { recursive: true });
      const owner = formatOwner({ folder, network: record.network, labels: record.labels });
      const steps: readonly (readonly string[])[] = [
        ['create', name, '--ostype', 'linux', '--no-hdd', '--dst', paths.folder],
        ['set', name, '--description', owner],
        ['set', name, '--cpus', String(record.cpus), '--memsize', String(record.memoryMiB)],
        ['set', name, '--device-add', 'hdd', '--image', disk, '--iface', 'sata'],
        ['set', name, '--device-set', 'cdrom0', '--image', paths.seed, '--connect'],
        ['set', name, '--device-add', 'serial', '--output', paths.serialLog],
        ['set', name, '--startup-view', 'headless', '--on-shutdown', 'close', '--autostart', 'off'],
      ];
      for (const step of steps) await prlctl(run, step, signal);
    },
    start: async (run, { record }, signal) => {
      await prlctl(run, ['start', record.name], signal, /already (?:running|started)/i);
    },
    pressPowerButton: async (run, { record }, signal) => {
      await prlctl(run, ['stop', record.name, '--acpi'], signal, /(?:)/);
    },
    kill: async (run, name) => {
      await prlctl(run, ['stop', name, '--kill'], undefined, /not running|already stopped/i);
    },
    pause: async (run, name, signal) => {
      await prlctl(run, ['pause', name], signal);
    },
    resume: async (run, name, signal) => {
      await prlctl(run, ['resume', name], signal);
    },
    reach: async (run, { record }, signal) => {
      const said = await prlctl(run, ['list', record.name, '--info', '--json'], signal);
      const adapter = adapterSchema.safeParse(parse(machineSchema, said, [])[0]?.Hardware?.['net0']);
      const leases = parseParallelsLeases(await readFile(leasesFile, 'utf8').catch(() => ''));
      const mac = adapter.data?.mac.replace(/[^0-9a-f]/gi, '').replace(/(..)(?=.)/g, '$1:');
      const host = mac === undefined ? undefined : addressIn(leases, { mac });
      return host === undefined
        ? undefined
        : { ssh: { host, port: sshPort }, internalAddress: host, endpointOf: (port) => ({ host, port }) };
    },
    remove: async (run, name) => {
      await prlctl(run, ['delete', name]);
    },
    snapshots: {
      save: async (run, name, snapshot, signal) => {
        await prlctl(run, ['snapshot', name, '--name', snapshot], signal);
      },
      restore: async (run, name, snapshot, signal) => {
        await prlctl(run, ['snapshot-switch', name, '--id', await idOf(run, name, snapshot, signal)], signal);
        await prlctl(run, ['start', name], signal, /already (?:running|started)/i);
      },
      list: async (run, name, signal) => {
        const said = await prlctl(run, ['snapshot-list', name, '--json'], signal);
        return Object.values(parse(snapshotsSchema, said, {})).map(({ name: own }) => own);
      },
      delete: async (run, name, snapshot, signal) => {
        await prlctl(run, ['snapshot-delete', name, '--id', await idOf(run, name, snapshot, signal)], signal);
      },
    },
  };
}

function parse<T>(schema: z.ZodType<T>, said: string, none: T): T {
  try {
    return said.trim() === '' ? none : schema.parse(JSON.parse(said));
  } catch (error) {
    throw new MkCiError('DRV_FAILED', { message: 'prlctl says what can not be read', cause: error });
  }
}

function stateOf(state: string): MachineState {
  if (['stopped', 'suspended'].includes(state)) return 'stopped';
  if (state === 'paused') return 'paused';
  return state === 'invalid' ? 'broken' : 'running';
}
