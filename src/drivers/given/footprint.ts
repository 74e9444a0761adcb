import { isAbsolute, join } from 'node:path';
import { readFile } from 'node:fs/promises';

import { z } from 'zod';

import { MkCiError, isMkCiError } from '../../errors.js';
import type { MachineImages } from '../driver.js';

/** What a given host gets, and all that will be different on it for as long as it is used. Whoever makes a kit says it; drivers only carry it out. */

/** Folder on the host with our files, the originals of what was replaced, and the notes by which all of it is undone. */
export const HOST_FOLDER = '/var/lib/mk-ci-host';
export const PAYLOAD_FOLDER = `${HOST_FOLDER}/payload`;

/** Paths are used in scripts as they are. */
export const pathSchema = z
  .string()
  .regex(/^(\/[A-Za-z0-9@+:_-][A-Za-z0-9._@+:-]*|\/\.[A-Za-z0-9_-][A-Za-z0-9._-]*)+$/)
  .refine((text) => !text.split('/').includes('..'));
const word = z.string().regex(/^[A-Za-z0-9._@+:=/# -]+$/);

export const footprintSchema = z.strictObject({
  /** Files and folders that get another content as a whole: originals are kept aside. */
  paths: z.array(pathSchema),
  /** Files and folders that go if they were not there before, and otherwise are left to their owner. */
  additions: z.array(pathSchema),
  /** Folders that go if they were not there before and nothing is in them. */
  emptyFolders: z.array(pathSchema).default([]),
  /** Files in which lines that end in the marker come and go. */
  lines: z.array(z.strictObject({ path: pathSchema, marker: word })),
  /** Stopped in this order. */
  units: z.array(word),
  /** Texts of which one is in the command line of each process that outlives its unit; its children go with it. */
  processes: z.array(word),
  /** Mount points at or below these go, when they were not there before. */
  mounts: z.array(pathSchema),
  /** Beginnings of names of network interfaces that go, when they were not there before. */
  interfaces: z.array(word),
  /** `10.99.0.1/32 dev lo`. Gone when it was not there before. */
  addresses: z.array(word),
  /** Words in rules and chains of iptables that go. */
  rules: z.array(word),
  /** `ip kube-proxy`. */
  nftTables: z.array(word),
  /** Names of folders in the trees of cgroups that go. */
  cgroups: z.array(word),
  /** Files below `/proc/sys`, such as `net/ipv4/ip_forward`, whose values come back. */
  sysctls: z.array(z.string().regex(/^[a-z0-9_]+(\/[a-z0-9_]+)+$/)),
  /** TCP ports that have to be free. */
  ports: z.array(z.int().min(1).max(65535)),
  /** Units that may not run, and files that may not be there: signs that somebody else has a cluster or a runtime there. */
  conflicts: z.strictObject({ units: z.array(word), paths: z.array(pathSchema) }),
});
export type Footprint = z.infer<typeof footprintSchema>;

export const KIT_FILE = 'kit.json';

export const kitSchema = z.strictObject({
  format: z.literal('mk-ci-host-kit/1'),
  /** Names the content. */
  key: z.string().regex(/^[0-9a-f]{16}$/),
  arch: z.enum(['amd64', 'arm64']),
  payloadBytes: z.int(),
  /** Links to files of the payload, by path on the host. */
  links: z.record(pathSchema, word),
  /** Files of the payload that are copied, by path on the host: folders that others write into, too. */
  copies: z.record(pathSchema, word),
  footprint: footprintSchema,
});

/** A folder of this host with {@link KIT_FILE} and the files below `payload`. */
export interface Kit extends z.infer<typeof kitSchema> {
  readonly payload: string;
}

/** @throws {MkCiError} `DRV_FAILED` for a folder that is none */
export async function readKit(folder: string): Promise<Kit> {
  try {
    if (!isAbsolute(folder)) throw new TypeError('not an absolute path');
    const kit = kitSchema.parse(JSON.parse(await readFile(join(folder, KIT_FILE), 'utf8')));
    return { ...kit, payload: join(folder, 'payload') };
  } catch (error) {
    throw new MkCiError('DRV_FAILED', {
      message: `${folder} holds nothing that can be put on a host`,
      advice:
        'Leave nodeImage and MK_CI_NODE_IMAGE out, or name a folder of host-kits in the cache: mk-ci makes what given hosts need.',
      cause: error,
    });
  }
}

/** Kits as what machines are made from, by their folders. */
export const KIT_IMAGES: MachineImages = {
  identify: async (reference, signal) => {
    signal.throwIfAborted();
    try {
      return (await readKit(reference)).key;
    } catch (error) {
      if (isMkCiError(error, 'DRV_FAILED')) return undefined;
      throw error;
    }
  },
};

/** All paths of a host that a kit changes, once each, parents before what is in them. Pure. */
export function pathsOf({ footprint, links, copies }: Pick<Kit, 'footprint' | 'links' | 'copies'>): string[] {
  const all = [...new Set([...footprint.paths, ...Object.keys(links), ...Object.keys(copies)])].sort();
  return all.filter((one) => !all.some((other) => one.startsWith(`${other}/`)));
}

/** What would be different on a host, in words, for whoever has to agree. Pure. */
export function describeChanges(kit: Pick<Kit, 'footprint' | 'links' | 'copies' | 'payloadBytes'>): string[] {
  const { footprint } = kit;
  return [
    `${HOST_FOLDER}: ${(kit.payloadBytes / 1e9).toFixed(1)} GB of programs and images, and the originals of what is replaced`,
    `replaced until the cluster is deleted: ${pathsOf(kit).join(' ')}`,
    `added: ${[...footprint.additions, ...footprint.emptyFolders].join(' ')}`,
    `lines marked in: ${footprint.lines.map((one) => one.path).join(' ')}`,
    `units of systemd: ${footprint.units.join(' ')}`,
    `ports: ${footprint.ports.join(' ')}`,
    `rules of iptables with: ${footprint.rules.join(' ')}; interfaces: ${footprint.interfaces.join(' ')}; addresses: ${footprint.addresses.join(' ')}`,
    `settings of the kernel: ${footprint.sysctls.map((one) => one.replaceAll('/', '.')).join(' ')}`,
  ];
}
