import { writeFile } from 'node:fs/promises';

import { MkCiError, isMkCiError } from '../../errors.js';
import type { Exec } from '../../exec.js';
import {
  GUEST_ADDRESS,
  GUEST_GATEWAY,
  GUEST_NAMESERVER,
  QEMU_LIMITS,
  parseForwards,
  type AcceleratorChoice,
} from '../qemu/index.js';
import { SSH_PORT, makeOverlay, type FoundVm, type Hypervisor } from '../vm/index.js';
import type { Connection, OpenConnection } from './connection.js';
import { macOf, parseDomain, renderDomain } from './domain-xml.js';
import { createNetworks, type Networks } from './networks.js';
import { INPUT, parseInterfaceAddress, parseNames, parseState, type Virsh } from './virsh.js';

/** Gigabytes of memory are written or read. */
const SNAPSHOT_MS = 300_000;
/** In which libvirt is asked for an address, best first. */
const ADDRESS_SOURCES = ['lease', 'agent', 'arp'] as const;

export interface LibvirtOptions {
  readonly exec: Exec;
  readonly folder: string;
  readonly connection: Connection;
  readonly choice: Pick<AcceleratorChoice, 'choose'>;
  readonly check: Hypervisor['check'];
  readonly hostSubnets?: () => readonly string[];
}

/** Machines of libvirt, through `virsh`. */
export function createLibvirt(options: LibvirtOptions): Hypervisor {
  const { exec, folder, connection, choice, check } = options;
  const virshOf = async (signal?: AbortSignal): Promise<Virsh> => (await connection.open(signal)).virsh;
  const networksOf = async (signal?: AbortSignal): Promise<Networks | undefined> => {
    const { virsh, networking } = await connection.open(signal);
    if (networking === 'user') return undefined;
    const { hostSubnets } = options;
    return createNetworks({ virsh, folder, ...(hostSubnets === undefined ? {} : { hostSubnets }) });
  };

  /** Where there is no libvirt there are no machines of it. */
  const openIfThere = async (signal?: AbortSignal): Promise<OpenConnection | undefined> => {
    try {
      return await connection.open(signal);
    } catch (error) {
      if (isMkCiError(error, 'HOST_MISSING_TOOL') || isMkCiError(error, 'DRV_UNUSABLE')) return undefined;
      throw error;
    }
  };
  /** Of a domain that is ours. */
  const inspect = async (domain: string, signal?: AbortSignal): Promise<FoundVm | undefined> => {
    const virsh = await virshOf(signal);
    const document = await virsh.ask(['dumpxml', domain], { signal });
    if (document === undefined) return undefined;
    const { name, owner } = parseDomain(document);
    if (owner?.folder !== folder) return undefined;
    const state = await virsh.ask(['domstate', domain, '--reason'], { signal });
    return state === undefined ? undefined : { name, state: parseState(state), labels: owner.labels };
  };
  const find: Hypervisor['find'] = async (name, signal) => {
    const found = await inspect(name, signal);
    return found?.name === name ? found : undefined; // a number is taken for the id of another
  };
  const act = async (
    args: readonly string[],
    done: RegExp,
    signal?: AbortSignal,
    timeoutMs?: number,
  ): Promise<void> => {
    const virsh = await virshOf(signal);
    await virsh.run(args, { signal, ...(timeoutMs === undefined ? {} : { timeoutMs }) }).catch((error: unknown) => {
      if (!isMkCiError(error, 'DRV_FAILED') || !done.test(error.message)) throw error;
    });
  };

  return {
    check,
    limits: async (signal) => QEMU_LIMITS[await choice.choose(signal)],
    isIsolated: async (signal) => (await connection.open(signal)).networking === 'user',
    reserveAddress: async (spec, signal) => {
      const networks = await networksOf(signal);
      if (networks === undefined) {
        return { address: GUEST_ADDRESS, prefix: 24, gateway: GUEST_GATEWAY, nameserver: GUEST_NAMESERVER };
      }
      const { name, labels, subnets } = spec;
      const machine = { mac: macOf(folder, name), name, labels, ...(subnets === undefined ? {} : { subnets }) };
      const { address, gateway } = await networks.reserve(spec.network ?? name, machine, signal);
      return { address, prefix: 24, gateway, nameserver: gateway };
    },
    makeDisk: async (disk, { image, spec, signal }) => {
      await makeOverlay(disk, { exec, image, spec, signal });
    },
    define: async (files, signal) => {
      const { record, paths } = files;
      const { virsh, networking, runAs } = await connection.open(signal);
      if ((await virsh.ask(['domuuid', record.name], { signal })) !== undefined) {
        const message = `libvirt has a machine ${record.name} that is not of this mk-ci`;
        throw new MkCiError('DRV_MACHINE_EXISTS', { message });
      }
      const mac = macOf(folder, record.name);
      const reserved = await (await networksOf(signal))?.find(record.network, mac, signal);
      if (networking === 'nat' && reserved === undefined) {
        throw new MkCiError('DRV_FAILED', {
          message: `the network of ${record.name} is gone`,
          advice: 'Delete the cluster and make it again: its address was in that network.',
        });
      }
      // Made by its owner: what libvirt makes only root can read.
      await writeFile(paths.serialLog, '', { flag: 'a', mode: 0o600 });
      const plan = {
        files,
        folder,
        accelerator: await choice.choose(signal),
        network:
          reserved === undefined
            ? { kind: 'user' as const, ports: record.forwardedPorts }
            : { kind: 'network' as const, name: reserved.network, mac },
        ...(runAs === undefined ? {} : { runAs }),
      };
      await virsh.run(['define', INPUT, '--validate'], { signal, input: renderDomain(plan) });
    },
    start: async ({ record }, signal) => {
      const { name, labels, network } = record;
      // After a restart of the host its network may not run.
      await (await networksOf(signal))?.reserve(network, { mac: macOf(folder, name), name, labels }, signal);
      await act(['start', record.name], /already active|already running/, signal);
    },
    pressPowerButton: async ({ record }, signal) => {
      await act(['shutdown', record.name, '--mode', 'acpi'], /not running/, signal);
    },
    kill: async (name) => {
      if ((await openIfThere()) === undefined) return;
      if ((await find(name)) !== undefined) await act(['destroy', name], /not running|failed to get domain/);
    },
    pause: async (name, signal) => {
      await act(['suspend', name], /^$/, signal);
    },
    resume: async (name, signal) => {
      await act(['resume', name], /already running/, signal);
    },
    find,
    list: async (signal) => {
      const virsh = (await openIfThere(signal))?.virsh;
      if (virsh === undefined) return [];
      const domains = parseNames(await virsh.run(['list', '--all', '--uuid'], { signal }));
      const found = await Promise.all(domains.map(async (uuid) => await inspect(uuid, signal)));
      const machines = found.filter((machine) => machine !== undefined);
      // Ones that were never defined: who was to make them was killed, and left an address or a network.
      const holders = (await (await networksOf(signal))?.holders(signal)) ?? [];
      const names = new Set(machines.map(({ name }) => name));
      const unmade = holders.filter(({ name }) => !names.has(name));
      return [...machines, ...unmade.map(({ name, labels }) => ({ name, labels, state: 'stopped' as const }))];
    },
    reach: async ({ record: { name, network } }, signal) => {
      const { virsh, networking } = await connection.open(signal);
      if (networking === 'user') {
        const said = await virsh.ask(['qemu-monitor-command', name, '--hmp', 'info usernet'], { signal });
        const ports = parseForwards(said ?? '');
        const at = (port: number | undefined) => (port === undefined ? undefined : { host: '127.0.0.1', port });
        const ssh = at(ports.get(SSH_PORT));
        return ssh && { ssh, internalAddress: GUEST_ADDRESS, endpointOf: (port) => at(ports.get(port)) };
      }
      const mac = macOf(folder, name);
      const host =
        (await addressOf(virsh, name, mac, signal)) ??
        (await (await networksOf(signal))?.find(network, mac, signal))?.address;
      if (host === undefined) return undefined;
      return { ssh: { host, port: SSH_PORT }, internalAddress: host, endpointOf: (port) => ({ host, port }) };
    },
    remove: async (name) => {
      const virsh = (await openIfThere())?.virsh;
      if (virsh === undefined) return;
      if ((await find(name)) !== undefined) {
        await virsh.ask(['undefine', name, '--nvram', '--managed-save', '--snapshots-metadata']);
      }
      await (await networksOf())?.release({ mac: macOf(folder, name), name });
    },
    snapshots: {
      save: async (name, snapshot, signal) => {
        const args = ['snapshot-create-as', name, snapshot, '--atomic'];
        await (await virshOf(signal)).run(args, { signal, timeoutMs: SNAPSHOT_MS });
      },
      restore: async (name, snapshot, signal) => {
        const args = ['snapshot-revert', name, snapshot, '--running'];
        await (await virshOf(signal)).run(args, { signal, timeoutMs: SNAPSHOT_MS });
      },
      list: async (name, signal) =>
        parseNames(await (await virshOf(signal)).run(['snapshot-list', name, '--name'], { signal })),
      delete: async (name, snapshot, signal) => {
        await (await virshOf(signal)).run(['snapshot-delete', name, snapshot], { signal, timeoutMs: SNAPSHOT_MS });
      },
    },
  };
}

/** What libvirt knows of the address of a machine. A guest may have asked for another than the one that is kept for it. */
async function addressOf(virsh: Virsh, name: string, mac: string, signal: AbortSignal): Promise<string | undefined> {
  for (const source of ADDRESS_SOURCES) {
    const said = await virsh.run(['domifaddr', name, '--source', source], { signal }).catch((error: unknown) => {
      if (isMkCiError(error, 'DRV_FAILED')) return ''; // no agent in the guest, or it does not run yet
      throw error;
    });
    const address = parseInterfaceAddress(said, mac);
    if (address !== undefined) return address;
  }
  return undefined;
}
