import { networkInterfaces } from 'node:os';

import { MkCiError, isMkCiError } from '../../errors.js';
import type { Labels } from '../../process.js';
import { candidateSubnets } from '../container/index.js';
import {
  addressIn,
  freeAddresses,
  networkNames,
  parseNetwork,
  renderHost,
  renderNetwork,
  type NetworkFacts,
  type NetworkHost,
} from './network-xml.js';
import { INPUT, parseNames, type Virsh } from './virsh.js';

/**
 * Networks of libvirt, one for each network word, with a fixed address for each machine. An address that is given back was the
 * last of its network: then the network goes too. Nothing else says which machines a network has.
 */

/** Others make networks and take addresses at the same time. */
const TRIES = 8;

export interface NetworksOptions {
  readonly virsh: Virsh;
  readonly folder: string;
  /** Subnets of this host, `a.b.c.d/n`. @default those of its devices */
  readonly hostSubnets?: () => readonly string[];
}

export interface ReservedAddress {
  readonly network: string;
  readonly address: string;
  readonly gateway: string;
}

/** A machine that is to have an address; its labels and the subnets to keep out of are for the network if it is made now. */
export interface NetworkMachine extends Omit<NetworkHost, 'address'> {
  readonly labels: Labels;
  readonly subnets?: readonly string[];
}

export interface Networks {
  /** The same again for a machine that has one. */
  reserve(word: string, machine: NetworkMachine, signal: AbortSignal): Promise<ReservedAddress>;
  find(word: string, mac: string, signal?: AbortSignal): Promise<ReservedAddress | undefined>;
  /** Machines that have an address, or a network made for one, whether they are there or not. */
  holders(signal?: AbortSignal): Promise<readonly { readonly name: string; readonly labels: Labels }[]>;
  /** Gives back what a machine had, in whatever network of ours. */
  release(host: Omit<NetworkHost, 'address'>): Promise<void>;
}

export function createNetworks(options: NetworksOptions): Networks {
  const { virsh, folder, hostSubnets = subnetsOfHost } = options;

  const read = async (name: string, signal?: AbortSignal): Promise<NetworkFacts | undefined> => {
    const document = await virsh.ask(['net-dumpxml', name], { signal });
    return document === undefined ? undefined : parseNetwork(document);
  };
  const readAll = async (signal?: AbortSignal): Promise<NetworkFacts[]> => {
    const names = parseNames(await virsh.run(['net-list', '--all', '--name'], { signal }));
    const found = await Promise.all(names.map(async (name) => await read(name, signal)));
    return found.filter((facts) => facts !== undefined);
  };
  /** Starts a network that does not run. One that somebody else has just started does. */
  const start = async (name: string, signal: AbortSignal): Promise<void> => {
    const active = parseNames(await virsh.run(['net-list', '--name'], { signal }));
    if (active.includes(name)) return;
    await virsh.run(['net-start', name], { signal }).catch((error: unknown) => {
      if (!says(error, /already active/)) throw error;
    });
  };
  const make = async (
    word: string,
    { name, labels, subnets = [] }: NetworkMachine,
    tryNumber: number,
    signal: AbortSignal,
  ): Promise<void> => {
    const names = networkNames(folder, word);
    const taken = [...hostSubnets(), ...(await readAll(signal)).flatMap(({ addresses }) => addresses), ...subnets];
    const subnet = candidateSubnets(names.name, taken)[tryNumber];
    if (subnet === undefined) throw new MkCiError('HOST_RESOURCES', { message: 'no subnet is free on this host' });
    const owner = { folder, network: word, name, labels };
    await virsh.run(['net-define', INPUT], { signal, input: renderNetwork({ ...names, subnet, owner }) });
    try {
      await start(names.name, signal);
    } catch (error) {
      await virsh.ask(['net-undefine', names.name]);
      throw error;
    }
  };
  const reservedIn = (facts: NetworkFacts, mac: string): ReservedAddress | undefined => {
    const host = facts.hosts.find((candidate) => candidate.mac === mac);
    const [own = ''] = facts.addresses;
    return host && { network: facts.name, address: host.address, gateway: addressIn(own, 1) };
  };

  return {
    find: async (word, mac, signal) => {
      const facts = await read(networkNames(folder, word).name, signal);
      return facts && reservedIn(facts, mac);
    },
    reserve: async (word, machine, signal) => {
      const { name } = networkNames(folder, word);
      let last: unknown;
      for (let tryNumber = 0; tryNumber < TRIES; tryNumber += 1) {
        const facts = await read(name, signal);
        if (facts === undefined) {
          await make(word, machine, tryNumber, signal).catch((error: unknown) => {
            if (!says(error, /already (?:exists|in use)|in use by/i)) throw error;
            last = error;
          });
          continue;
        }
        await start(name, signal);
        const have = reservedIn(facts, machine.mac);
        if (have !== undefined) return have;
        const address = freeAddresses(facts, machine.mac)[0];
        if (address === undefined) break;
        const entry = renderHost({ mac: machine.mac, name: machine.name, address });
        try {
          await virsh.run(['net-update', name, 'add', 'ip-dhcp-host', entry, '--live', '--config'], { signal });
        } catch (error) {
          if (!says(error, /existing dhcp host entry|not found|not running|not active/i)) throw error;
          last = error; // somebody else took the address, or the last machine of the network has just gone
        }
      }
      throw new MkCiError('DRV_FAILED', { message: `no address in ${name} for ${machine.name}`, cause: last });
    },
    holders: async (signal) =>
      (await readAll(signal)).flatMap(({ hosts, owner }) => {
        if (owner?.folder !== folder) return [];
        const names = hosts.length === 0 ? [owner.name] : hosts.map(({ name }) => name);
        return names.map((name) => ({ name, labels: owner.labels }));
      }),
    release: async ({ mac, name: machine }) => {
      for (const { name, hosts, owner } of await readAll()) {
        const own = hosts.find((host) => host.mac === mac);
        // Made for it by a process that was killed before it gave it an address.
        const isEmpty = hosts.length === 0 && owner?.folder === folder && owner.name === machine;
        if ((own === undefined && !isEmpty) || !name.startsWith('mk-ci-')) continue;
        if (own === undefined || hosts.length === 1) {
          await virsh.ask(['net-destroy', name]).catch((error: unknown) => {
            if (!says(error, /not active/i)) throw error;
          });
          await virsh.ask(['net-undefine', name]);
        } else {
          await virsh.ask(['net-update', name, 'delete', 'ip-dhcp-host', renderHost(own), '--live', '--config']);
        }
      }
    },
  };
}

function says(error: unknown, pattern: RegExp): boolean {
  return isMkCiError(error, 'DRV_FAILED') && pattern.test(error.message);
}

function subnetsOfHost(): string[] {
  return Object.values(networkInterfaces()).flatMap((addresses) =>
    (addresses ?? []).flatMap(({ family, cidr }) => (family === 'IPv4' && cidr !== null ? [cidr] : [])),
  );
}
