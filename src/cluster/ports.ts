import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { open, readdir, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';

import { MkCiError, hostErrorOf, systemErrorCode } from '../errors.js';
import { makeFolder } from '../files.js';
import { isAlive, type ProcessIdentity } from '../process.js';

/**
 * Ports of loopback, lent to one process at a time among all mk-ci processes that share a folder.
 *
 * A lease is an empty file whose name says everything: `<port>~<pid>~<start time>~<lease id>`. To lease a port, a process
 * first makes its own file and then looks for others of the same port; when it sees one of a living owner it takes its own
 * away and tries the next port. Of two that come at the same time at least one sees the other, because both write before
 * they look. Nothing is ever rewritten and no name is used twice, so removing the file of a dead owner can not hit
 * anybody's live lease, at whatever moment it happens, and there is no content that a crash could tear.
 */
export interface PortLease {
  readonly port: number;
  /** Gives the port back. Idempotent. */
  release(): Promise<void>;
  /** Makes another process the owner: the lease lives as long as that one. */
  transfer(owner: ProcessIdentity): Promise<void>;
}

export interface PortOptions {
  /** Folder of the lease files, shared by all mk-ci processes of the user. */
  readonly folder: string;
  /** The lease is void when this process ends. */
  readonly owner: ProcessIdentity;
  /** Tried first, in this order: the ports a stopped cluster had. */
  readonly prefer?: readonly number[];
  /** Never given out, such as a port that was found taken after it had been leased. */
  readonly avoid?: readonly number[];
  /** Address on which a port must be free. @default '127.0.0.1' */
  readonly address?: string;
  /** Ports to choose from. @default those of {@link choosePortRange} for this host */
  readonly range?: PortRange;
  /** Where in the range to begin, 0…1. @default Math.random */
  readonly random?: () => number;
}

/** Both ends are part of it. */
export interface PortRange {
  readonly first: number;
  readonly last: number;
}

/** A lease as seen in the folder. */
export interface PortLeaseFile {
  readonly path: string;
  readonly port: number;
  readonly owner: ProcessIdentity;
  /** The same in both files while a lease passes from one owner to the next. */
  readonly id: string;
}

/**
 * Leases `count` different ports on which this host lets us listen now.
 *
 * @returns leases in no order; all or none
 * @throws {MkCiError} `HOST_NO_PORT` when the range is exhausted; `HOST_PERMISSION`, `HOST_DISK_FULL` for the folder
 */
export async function leasePorts(count: number, options: PortOptions): Promise<PortLease[]> {
  const { folder, owner, prefer = [], address = '127.0.0.1', random = Math.random } = options;
  const range = options.range ?? choosePortRange(readEphemeralRange());
  const avoid = new Set(options.avoid);
  const leases: PortLease[] = [];
  try {
    await makeFolder(folder);
    for (const port of candidates(range, prefer, random())) {
      if (leases.length === count) break;
      if (avoid.has(port)) continue;
      avoid.add(port);
      const lease = await tryLease(port, folder, owner, address);
      if (lease !== undefined) leases.push(lease);
    }
    if (leases.length < count) {
      throw new MkCiError('HOST_NO_PORT', {
        message: `${count} wanted, ${leases.length} found in ${range.first}-${range.last}`,
        details: { folder },
      });
    }
    return leases;
  } catch (error) {
    await Promise.all(leases.map((lease) => lease.release()));
    throw hostErrorOf(error, folder) ?? error;
  }
}

/** Another port in place of one that somebody outside mk-ci took after it was leased. The old lease is given back. */
export async function replacePort(lease: PortLease, options: PortOptions): Promise<PortLease> {
  const [other] = await leasePorts(1, { ...options, avoid: [...(options.avoid ?? []), lease.port] });
  await lease.release();
  if (other === undefined) throw new MkCiError('HOST_NO_PORT');
  return other;
}

/** All leases in the folder, those of dead owners too; files of other names are skipped, no folder means none. */
export async function listPortLeases(folder: string): Promise<PortLeaseFile[]> {
  const names = await readdir(folder).catch((error: unknown) => {
    if (systemErrorCode(error) === 'ENOENT') return [];
    throw hostErrorOf(error, folder) ?? error;
  });
  return names.flatMap((name) => parseLeaseName(folder, name) ?? []);
}

/**
 * Where to look for ports: 10,000 of them outside the range from which the kernel takes local ports of outgoing
 * connections, or any outgoing connection could take a leased port before its owner listens. NodePorts (30000-32767) and
 * ports below 10000, where people start their own servers, are left alone too.
 *
 * @param ephemeral the kernel's range, `undefined` when unknown
 */
export function choosePortRange(ephemeral: PortRange | undefined): PortRange {
  const wishes: readonly PortRange[] = [
    { first: 20000, last: 29999 },
    { first: 10000, last: 19999 },
    { first: 55000, last: 64999 },
  ];
  const isClear = (wish: PortRange): boolean =>
    ephemeral === undefined || wish.last < ephemeral.first || wish.first > ephemeral.last;
  return wishes.find(isClear) ?? { first: 20000, last: 29999 };
}

/** Content of `/proc/sys/net/ipv4/ip_local_port_range`: two numbers. */
export function parseEphemeralRange(text: string): PortRange | undefined {
  const match = /^\s*(\d+)\s+(\d+)\s*$/.exec(text);
  return match === null ? undefined : { first: Number(match[1]), last: Number(match[2]) };
}

function readEphemeralRange(): PortRange | undefined {
  try {
    return parseEphemeralRange(readFileSync('/proc/sys/net/ipv4/ip_local_port_range', 'utf8'));
  } catch {
    return undefined; // not Linux, or hidden
  }
}

function* candidates({ first, last }: PortRange, prefer: readonly number[], start: number): Generator<number> {
  yield* prefer;
  const size = last - first + 1;
  const offset = Math.floor(start * size);
  for (let step = 0; step < size; step += 1) yield first + ((offset + step) % size);
}

async function tryLease(
  port: number,
  folder: string,
  owner: ProcessIdentity,
  address: string,
): Promise<PortLease | undefined> {
  const isLeased = async (id?: string): Promise<boolean> => {
    const others = (await listPortLeases(folder)).filter((lease) => lease.port === port && lease.id !== id);
    const dead = others.filter((lease) => !isAlive(lease.owner));
    await Promise.all(dead.map((lease) => rm(lease.path, { force: true })));
    return dead.length < others.length;
  };
  if (await isLeased()) return undefined;
  const id = randomBytes(6).toString('hex');
  const path = await makeLeaseFile(folder, { port, owner, id });
  // The port itself is touched only by the one that holds the lease: a probe by anybody else could take it for an
  // instant from a component that is just about to listen.
  if (!(await isLeased(id)) && (await canListen(port, address))) return heldLease(folder, port, id, path);
  await rm(path, { force: true });
  return undefined;
}

function heldLease(folder: string, port: number, id: string, path: string): PortLease {
  let held = path;
  return {
    port,
    release: async () => {
      await rm(held, { force: true });
    },
    transfer: async (owner) => {
      const next = await makeLeaseFile(folder, { port, owner, id });
      const previous = held;
      held = next;
      if (previous !== next) await rm(previous, { force: true });
    },
  };
}

async function makeLeaseFile(folder: string, lease: Omit<PortLeaseFile, 'path'>): Promise<string> {
  const path = join(folder, [lease.port, lease.owner.pid, lease.owner.startedAt, lease.id].join('~'));
  const file = await open(path, 'a');
  await file.close();
  return path;
}

function parseLeaseName(folder: string, name: string): PortLeaseFile | undefined {
  const match = /^(\d+)~(\d+)~([^~]*)~([0-9a-f]+)$/.exec(name);
  if (match === null) return undefined;
  const [, port, pid, startedAt = '', id = ''] = match;
  return { path: join(folder, name), port: Number(port), owner: { pid: Number(pid), startedAt }, id };
}

/** Whether listening works now. A listener on the wildcard address counts as taken too. */
async function canListen(port: number, address: string): Promise<boolean> {
  const server = createServer();
  return await new Promise<boolean>((resolve) => {
    server.once('error', () => {
      resolve(false);
    });
    server.listen({ port, host: address, exclusive: true }, () => {
      server.close(() => {
        resolve(true);
      });
    });
  });
}
