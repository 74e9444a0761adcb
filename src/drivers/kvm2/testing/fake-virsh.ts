import { randomUUID } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';

import type { TestServer } from '../../ssh-connection/testing/server.js';
import { startFakeGuest } from '../../vm/testing/fake-guest.js';
import { installFakeTools, type FakeAnswer, type FakeTools } from '../../vm/testing/fake-tools.js';
import { childOf, childrenOf, parseXml, type XmlElement } from '../xml.js';

interface Domain {
  readonly uuid: string;
  readonly document: string;
  state: string;
  guest?: TestServer;
  readonly snapshots: Set<string>;
}

/**
 * `virsh` and a libvirt behind it, for tests. What it says was recorded from virsh 9.0.0 with QEMU 7.2.22 (Debian 12) on
 * 2026-11-21, by `scripts/with-libvirtd.sh` with the same commands.
 */
export interface FakeLibvirt extends AsyncDisposable {
  readonly tools: FakeTools;
  readonly domains: Map<string, Domain>;
  readonly networks: ReadonlyMap<string, { document: string; isActive: boolean }>;
  /** What connections say in place of answering. */
  refuses: Readonly<Record<string, string>>;
  /** The guest does not act on the power button. */
  ignoresPowerButton: boolean;
  /** Makes a machine that is not ours. */
  addForeign: (name: string, document: string) => void;
}

const VERSION = `Compiled against library: libvirt 9.0.0
Using library: libvirt 9.0.0
Using API: QEMU 9.0.0
Running hypervisor: QEMU 7.2.22
`;

export async function createFakeLibvirt(options: { readonly asPrograms?: boolean } = {}): Promise<FakeLibvirt> {
  const domains = new Map<string, Domain>();
  const networks = new Map<string, { document: string; isActive: boolean }>();
  const error = (...lines: readonly string[]): FakeAnswer => ({
    exitCode: 1,
    stderr: lines.map((line) => `error: ${line}\n`).join(''),
  });
  const wrongState = (verb: string, name: string, why: string): FakeAnswer =>
    error(`Failed to ${verb} domain '${name}'`, `Requested operation is not valid: domain is ${why}`);

  const halt = async (domain: Domain): Promise<void> => {
    domain.state = 'shut off (destroyed)';
    const { guest } = domain;
    delete domain.guest;
    await guest?.[Symbol.asyncDispose]();
  };
  const boot = async (domain: Domain, reason: string): Promise<void> => {
    const root = parseXml(domain.document);
    const disks = childrenOf(childOf(root, 'devices'), 'disk');
    const seed = disks.find((disk) => childOf(disk, 'target')?.attributes['dev'] === 'vdb');
    const path = childOf(seed, 'source')?.attributes['file'] ?? '';
    domain.guest ??= await startFakeGuest(path);
    domain.state = `running (${reason})`;
  };
  const resolve = (name: string): Domain | undefined =>
    domains.get(name) ?? [...domains.values()].find(({ uuid }) => uuid === name);

  const ofDomain = async (verb: string, name: string, rest: readonly string[]): Promise<FakeAnswer> => {
    const domain = resolve(name);
    if (domain === undefined) return error(`failed to get domain '${name}'`);
    const isOff = domain.state.startsWith('shut off');
    const [snapshot = ''] = rest;
    switch (verb) {
      case 'domuuid':
        return { stdout: `${domain.uuid}\n\n` };
      case 'dumpxml':
        return { stdout: `${domain.document}\n\n` };
      case 'domstate':
        return { stdout: `${domain.state}\n\n` };
      case 'start':
        if (!isOff) return error('Domain is already active');
        await boot(domain, 'booted');
        return {};
      case 'destroy':
      case 'shutdown':
        if (isOff) return wrongState(verb, name, 'not running');
        if (verb === 'destroy' || !fake.ignoresPowerButton) await halt(domain);
        return {};
      case 'suspend':
        domain.state = 'paused (user)';
        return {};
      case 'resume':
        if (domain.state.startsWith('running')) return wrongState(verb, name, 'already running');
        domain.state = 'running (unpaused)';
        return {};
      case 'undefine':
        domains.delete(parseXml(domain.document).children.find((child) => child.name === 'name')?.text ?? name);
        return {};
      case 'qemu-monitor-command':
        return {
          stdout: `Hub -1 (mkci0):\r\n  Protocol[State]    FD  Source Address  Port   Dest. Address  Port RecvQ SendQ\r\n  TCP[HOST_FORWARD]  11       127.0.0.1 ${domain.guest?.target.port ?? 0}       10.0.2.15    22     0     0\r\n\n`,
        };
      case 'snapshot-create-as':
        domain.snapshots.add(snapshot);
        return {};
      case 'snapshot-list':
        return { stdout: [...domain.snapshots].map((one) => `${one}\n`).join('') + '\n' };
      case 'snapshot-revert':
      case 'snapshot-delete':
        if (!domain.snapshots.has(snapshot)) {
          return error(`Domain snapshot not found: no domain snapshot with matching name '${snapshot}'`);
        }
        if (verb === 'snapshot-delete') domain.snapshots.delete(snapshot);
        else await boot(domain, 'from snapshot');
        return {};
      default:
        return error(`unknown command: '${verb}'`);
    }
  };

  const ofNetwork = async (verb: string, name: string, rest: readonly string[]): Promise<FakeAnswer> => {
    if (verb === 'net-list') {
      const listed = [...networks].filter(([, { isActive }]) => isActive || name === '--all');
      return { stdout: [...listed.map(([one]) => one), ''].join('\n') + '\n' };
    }
    if (verb === 'net-define') {
      const document = await readFile(name, 'utf8');
      const defined = childOf(parseXml(document), 'name')?.text ?? '';
      if (networks.has(defined)) {
        return error(
          `Failed to define network from ${name}`,
          `operation failed: network '${defined}' already exists with uuid 5b2d0ed9-9f5b-4f6c-a5f5-0d7c8a3f3e11`,
        );
      }
      networks.set(defined, { document, isActive: false });
      return {};
    }
    const network = networks.get(name);
    if (network === undefined) {
      return error(`failed to get network '${name}'`, `Network not found: no network with matching name '${name}'`);
    }
    if (verb === 'net-dumpxml') return { stdout: `${network.document}\n\n` };
    if (verb === 'net-start') {
      const bridgeIp = addressOf(network.document);
      const clash = [...networks.values()].some((one) => one.isActive && addressOf(one.document) === bridgeIp);
      if (clash) {
        return error(
          `Failed to start network ${name}`,
          'internal error: Network is already in use by interface virbr7',
        );
      }
      network.isActive = true;
    }
    if (verb === 'net-destroy') network.isActive = false;
    if (verb === 'net-undefine') networks.delete(name);
    if (verb === 'net-update') {
      const [action, , entry = ''] = rest;
      const ip = parseXml(entry).attributes['ip'] ?? '';
      if (action === 'add' && network.document.includes(`ip="${ip}"`)) {
        return error(
          `Failed to update network ${name}`,
          `Requested operation is not valid: there is an existing dhcp host entry in network '${name}' that matches "<host ip='${ip}'/>"`,
        );
      }
      network.document =
        action === 'add' ? network.document.replace('</dhcp>', `${entry}</dhcp>`) : network.document.replace(entry, '');
    }
    return {};
  };

  const virsh = async (args: readonly string[]): Promise<FakeAnswer> => {
    const [, , uri = '', verb = '', name = '', ...rest] = args;
    const refused = fake.refuses[uri];
    if (refused !== undefined) return error('failed to connect to the hypervisor', refused);
    if (verb === 'version') return { stdout: VERSION };
    if (verb === 'list') return { stdout: [...domains.values()].map(({ uuid }) => `${uuid}\n`).join('') + '\n' };
    if (verb === 'domifaddr') return { stdout: '\n' };
    if (verb === 'define') {
      const document = await readFile(name, 'utf8');
      fake.addForeign(childOf(parseXml(document), 'name')?.text ?? '', document);
      return {};
    }
    return verb.startsWith('net-') ? await ofNetwork(verb, name, rest) : await ofDomain(verb, name, rest);
  };

  const tools = await installFakeTools(
    {
      virsh: async ({ args }) => await virsh(args),
      'qemu-img': async ({ args }) => {
        if (args[0] === 'create') await writeFile(args.find((arg) => arg.endsWith('.qcow2')) ?? '', '');
        return { stdout: args.includes('--version') ? 'qemu-img version 7.2.22\n' : '' };
      },
    },
    options,
  );
  const fake: FakeLibvirt = {
    tools,
    domains,
    networks,
    refuses: {},
    ignoresPowerButton: false,
    addForeign: (name, document) => {
      domains.set(name, { uuid: randomUUID(), document, state: 'shut off (unknown)', snapshots: new Set() });
    },
    [Symbol.asyncDispose]: async () => {
      for (const domain of domains.values()) await halt(domain);
      await tools[Symbol.asyncDispose]();
    },
  };
  return fake;
}

function addressOf(document: string): string | undefined {
  const ip: XmlElement | undefined = childOf(parseXml(document), 'ip');
  return ip?.attributes['address'];
}
