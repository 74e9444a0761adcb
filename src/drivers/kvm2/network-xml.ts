import { createHash } from 'node:crypto';

import type { MachineOwner } from '../vm/index.js';
import { findOwner, renderOwner } from './owner-xml.js';
import { childOf, childrenOf, element, parseXml, xmlText } from './xml.js';

/** Documents of libvirt that describe networks. Pure. @see {@link https://libvirt.org/formatnetwork.html} */

export interface NetworkPlan {
  readonly name: string;
  readonly bridge: string;
  /** `a.b.c.0/24`; the host has the first address. */
  readonly subnet: string;
  /** The machine for which it is made: until that has an address in it nothing else says whose the network is. */
  readonly owner: NetworkOwner;
}

export interface NetworkOwner extends MachineOwner {
  /** Of the machine. */
  readonly name: string;
}

/** A machine's fixed address. */
export interface NetworkHost {
  readonly mac: string;
  readonly name: string;
  readonly address: string;
}

/** Names of the network for a word: of ours always the same, and within 15 characters for the kernel's device. */
export function networkNames(folder: string, word: string): { readonly name: string; readonly bridge: string } {
  const hash = createHash('sha256').update(`${folder}\0${word}`).digest('hex');
  return { name: `mk-ci-${hash.slice(0, 12)}`, bridge: `mkci-${hash.slice(0, 8)}` };
}

export function renderNetwork({ name, bridge, subnet, owner }: NetworkPlan): string {
  const address = (last: number): string => addressIn(subnet, last);
  return element('network', {}, [
    element('name', {}, xmlText(name)),
    element('metadata', {}, renderOwner(owner, owner.name)),
    element('forward', { mode: 'nat' }),
    element('bridge', { name: bridge, stp: 'on', delay: 0 }),
    element(
      'ip',
      { address: address(1), netmask: '255.255.255.0' },
      element('dhcp', {}, element('range', { start: address(2), end: address(254) })),
    ),
  ]);
}

export function renderHost({ mac, name, address }: NetworkHost): string {
  return element('host', { mac, name, ip: address });
}

export interface NetworkFacts {
  readonly name: string;
  /** Such as `192.168.70.1/24`; of other networks there may be several or none. */
  readonly addresses: readonly string[];
  readonly hosts: readonly NetworkHost[];
  /** Absent on a network that is not ours, and on those of mk-ci 0.1. */
  readonly owner?: NetworkOwner;
}

export function parseNetwork(document: string): NetworkFacts {
  const network = parseXml(document);
  const ips = childrenOf(network, 'ip').filter(({ attributes }) => (attributes['family'] ?? 'ipv4') === 'ipv4');
  const owner = findOwner(network);
  return {
    name: childOf(network, 'name')?.text ?? '',
    ...(owner === undefined ? {} : { owner: { ...owner, name: owner.name ?? '' } }),
    addresses: ips.flatMap(({ attributes: { address, netmask, prefix } }) => {
      const bits = prefix ?? (netmask === undefined ? undefined : String(bitsOf(netmask)));
      return address === undefined || bits === undefined ? [] : [`${address}/${bits}`];
    }),
    hosts: ips
      .flatMap((ip) => childrenOf(childOf(ip, 'dhcp'), 'host'))
      .map(({ attributes: { mac = '', name = '', ip: address = '' } }) => ({ mac, name, address })),
  };
}

/** Ones at the front of a mask such as `255.255.255.0`. */
function bitsOf(netmask: string): number {
  return netmask
    .split('.')
    .map((byte) => Number(byte).toString(2).padStart(8, '0'))
    .join('')
    .replace(/0.*$/, '').length;
}

/** An address of a /24. */
export function addressIn(subnet: string, last: number): string {
  return `${subnet.split('.').slice(0, 3).join('.')}.${last}`;
}

/** Addresses of a network that no machine has, in the order in which they are given out; those of one before are last. */
export function freeAddresses({ addresses, hosts }: NetworkFacts, mac: string): string[] {
  const own = addresses[0]?.split('/')[0] ?? '';
  const taken = new Set([own, ...hosts.filter((host) => host.mac !== mac).map(({ address }) => address)]);
  return Array.from({ length: 245 }, (_, index) => addressIn(own, 10 + index)).filter((address) => !taken.has(address));
}
