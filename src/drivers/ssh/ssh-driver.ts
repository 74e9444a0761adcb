import { readFile, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';

import { z } from 'zod';

import { MkCiError, hostErrorOf, isMkCiError, systemErrorCode } from '../../errors.js';
import { makeFolder, writeFileAtomically } from '../../files.js';
import type { Architecture, Driver, DriverHealth, DriverOptions, MachineSpec } from '../driver.js';
import {
  KIT_IMAGES,
  NO_CONFLICTS,
  askHost,
  createGivenMachines,
  judgeHost,
  type GivenHost,
  type GivenHosts,
  type HostUse,
} from '../given/index.js';
import { createKnownHosts } from './known-hosts.js';
import { connectTo, createSshHost, type SshHostRecord, type SshUser } from './ssh-host.js';
import { mustReach } from './reach.js';
import { SSH_OPTIONS, readSshOptions } from './ssh-options.js';

export interface SshDriverOptions extends SshUser {
  /** One file for each machine says which host it is; made when needed. */
  readonly machinesFolder: string;
  /** Keys of hosts that were accepted when they were new. */
  readonly knownHostsFile: string;
  /** As Node names it. @default process.arch */
  readonly architecture?: string;
  /** What a check asks for beside what every host must have. @default nothing */
  readonly use?: HostUse | undefined;
  readonly now?: () => Date;
}

const address = { host: z.string(), port: z.int(), user: z.string(), hostKey: z.string() };
const recordSchema = z.object({
  version: z.literal(1),
  ...address,
  key: z.string().optional(),
  jump: z.object(address).optional(),
});

/** Clusters on a host that exists and is reached by ssh. */
export function createSshDriver(options: SshDriverOptions): Driver {
  const { machinesFolder, home, now = () => new Date() } = options;
  const architecture: Architecture = (options.architecture ?? process.arch) === 'arm64' ? 'arm64' : 'amd64';
  const knownHosts = createKnownHosts({
    ownFile: options.knownHostsFile,
    userFile: join(home, '.ssh', 'known_hosts'),
  });
  /** One connection for all calls to a host. */
  const made = new Map<string, Promise<GivenHost>>();

  const hostOf = async (record: SshHostRecord): Promise<GivenHost> => {
    const key = JSON.stringify(record);
    const host = made.get(key) ?? createSshHost(record, options);
    made.set(key, host);
    host.catch(() => made.delete(key));
    return await host;
  };
  const resolve = async (wanted: DriverOptions, signal: AbortSignal): Promise<SshHostRecord> => {
    const settings = readSshOptions(wanted, { home });
    const { host, port, user, key } = settings;
    const target = { host, port, user };
    if (settings.jump === undefined) {
      const hostKey = await knownHosts.keyOf(target, { wished: settings.hostKey, signal });
      return { ...target, key, hostKey, jump: undefined };
    }
    const { hostKey: wished, ...jumpAddress } = settings.jump;
    const jump = { ...jumpAddress, hostKey: await knownHosts.keyOf(jumpAddress, { wished, signal }) };
    const via = await connectTo({ ...jump, key, jump: undefined }, options);
    const hostKey = await knownHosts.keyOf(target, {
      wished: settings.hostKey,
      dial: async () => await via.forward(host, port, signal),
      signal,
    });
    return { ...target, key, hostKey, jump };
  };

  const fileOf = (name: string): string => join(machinesFolder, `${name}.json`);
  const readRecord = async (name: string): Promise<SshHostRecord | undefined> => {
    const text = await readFile(fileOf(name), 'utf8').catch((error: unknown) => {
      if (systemErrorCode(error) === 'ENOENT') return undefined;
      throw hostErrorOf(error, fileOf(name)) ?? error;
    });
    if (text === undefined) return undefined;
    const { version: _version, key, jump, ...target } = recordSchema.parse(JSON.parse(text));
    return { ...target, key, jump };
  };
  const hosts: GivenHosts = {
    names: async () => {
      const files = await readdir(machinesFolder).catch((error: unknown) => {
        if (systemErrorCode(error) === 'ENOENT') return [];
        throw hostErrorOf(error, machinesFolder) ?? error;
      });
      return files.flatMap((file) => /^([a-z0-9-]+)\.json$/.exec(file)?.[1] ?? []);
    },
    find: async (name) => {
      const record = await readRecord(name);
      return record === undefined ? undefined : await hostOf(record);
    },
    note: async (spec: MachineSpec, signal) => {
      const record = await resolve(spec.options ?? {}, signal);
      await mustReach(record, spec.publishedPorts ?? [], signal);
      const have = await readRecord(spec.name);
      if (have !== undefined && (have.host !== record.host || have.port !== record.port)) {
        throw new MkCiError('DRV_MACHINE_EXISTS', {
          message: `${spec.name} is ${have.user}@${have.host}:${have.port} (ssh)`,
        });
      }
      await makeFolder(machinesFolder, { mode: 0o700 });
      const content = JSON.stringify({ version: 1, ...record }, undefined, 2);
      await writeFileAtomically(fileOf(spec.name), `${content}\n`, { mode: 0o600 });
      return await hostOf(record);
    },
    forget: async (name) => {
      await rm(fileOf(name), { force: true });
    },
  };

  const check = async (signal: AbortSignal, wanted: DriverOptions = {}): Promise<DriverHealth> => {
    signal.throwIfAborted();
    if (wanted['host'] === undefined) {
      const fix = 'Name one with --ssh-host, or with options.host of the environment.';
      return { usable: false, problems: [{ reason: 'DRV_SSH_NO_HOST', message: 'no host is named', fix }], facts: {} };
    }
    try {
      const record = await resolve(wanted, signal);
      const host = await hostOf(record);
      const { use = NO_CONFLICTS } = options;
      await mustReach(record, use.reached ?? [], signal);
      return judgeHost(await askHost(host, use, signal), host.where, architecture, use.subnets);
    } catch (error) {
      signal.throwIfAborted();
      if (!isMkCiError(error) || error.code === 'CFG_INVALID') throw error;
      const problem = { reason: error.code, message: error.message, fix: error.advice };
      return { usable: false, problems: [problem], facts: {} };
    }
  };

  return {
    info: {
      name: 'ssh',
      summary: 'a host that is given, reached by ssh, and put back as it was',
      machines: 'given',
      bootstrap: 'kubeadm',
      maxMachines: 1,
      platforms: ['linux', 'darwin', 'win32'],
      architectures: ['amd64', 'arm64'],
      containerRuntimes: ['containerd'],
      experimental: true,
      options: SSH_OPTIONS,
    },
    check,
    images: KIT_IMAGES,
    machines: createGivenMachines({
      driver: 'ssh',
      hosts,
      now,
      confirm: () => undefined, // who names a host, its user and its key has agreed
    }),
  };
}
