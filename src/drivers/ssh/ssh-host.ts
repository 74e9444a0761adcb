import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

import { MkCiError, hostErrorOf, systemErrorCode } from '../../errors.js';
import type { GivenHost } from '../given/index.js';
import {
  createRemoteExec,
  createSshConnection,
  createSshMachine,
  type SshConnection,
} from '../ssh-connection/index.js';
import type { Machine } from '../driver.js';
import type { SshHostAddress } from './ssh-options.js';

/** A host that is known by its key, as it is noted for a machine. */
export interface SshHostRecord extends SshHostAddress {
  readonly key: string | undefined;
  readonly hostKey: string;
  readonly jump: (SshHostAddress & { readonly hostKey: string }) | undefined;
}

const OWN_KEYS = ['id_ed25519', 'id_ecdsa', 'id_rsa'];
/** sshd gives users who are not root a PATH without administration. */
const ENVIRONMENT = { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' };
const LOGIN_MS = 15_000;

/** A connection, made when something is done. @throws {MkCiError} `NET_SSH_AUTH` without a key */
export async function connectTo(record: SshHostRecord, { home }: { readonly home: string }): Promise<SshConnection> {
  const privateKey = await readKey(record, home);
  const { host, port, user, hostKey } = record;
  const target = { host, port, user, hostKey, privateKey };
  if (record.jump === undefined) return createSshConnection({ target, connectMs: LOGIN_MS });
  const via = createSshConnection({ target: { ...record.jump, privateKey }, connectMs: LOGIN_MS });
  return createSshConnection({
    target,
    connectMs: LOGIN_MS,
    dial: async (signal) => await via.forward(host, port, signal),
  });
}

export async function createSshHost(record: SshHostRecord, options: { readonly home: string }): Promise<GivenHost> {
  const connection = await connectTo(record, options);
  const where = `${record.user}@${record.host}:${record.port}`;
  let made: Promise<Machine> | undefined;
  /** Who we are there is asked once. */
  const machine = async (signal: AbortSignal | undefined): Promise<Machine> => {
    made ??= mustBecomeRoot(connection, where, signal).then((asRoot) =>
      createSshMachine({
        name: record.host,
        connection,
        internalAddress: record.host,
        endpointOf: () => undefined,
        remote: { asRoot, env: ENVIRONMENT },
      }),
    );
    made.catch(() => (made = undefined));
    return await made;
  };
  return {
    where,
    reachedAt: record.host,
    exec: async (argv, execOptions) => await (await machine(execOptions?.signal)).exec(argv, execOptions),
    copyTo: async (from, to, signal) => {
      await (await machine(signal)).copyTo(from, to, signal);
    },
    copyFrom: async (from, to, signal) => {
      await (await machine(signal)).copyFrom(from, to, signal);
    },
  };
}

/** @returns whether commands have to go through sudo. @throws {MkCiError} `DRV_SUDO` */
async function mustBecomeRoot(
  connection: SshConnection,
  where: string,
  signal: AbortSignal | undefined,
): Promise<boolean> {
  const { exec } = createRemoteExec(connection, { env: ENVIRONMENT });
  const limit = { timeoutMs: LOGIN_MS, allowFailure: true, signal } as const;
  const who = await exec(['id', '-u'], limit);
  if (who.stdout.trim() === '0') return false;
  const asked = await exec(['sudo', '-n', 'true'], limit);
  if (asked.exitCode === 0) return true;
  throw new MkCiError('DRV_SUDO', { message: `${where}: ${asked.stderr.trim().split('\n').at(-1) ?? ''}` });
}

async function readKey({ key, user, host }: SshHostRecord, home: string): Promise<string> {
  const candidates = key === undefined ? OWN_KEYS.map((name) => join(home, '.ssh', name)) : [key];
  for (const path of candidates) {
    try {
      return await readFile(path, 'utf8');
    } catch (error) {
      if (systemErrorCode(error) !== 'ENOENT') throw hostErrorOf(error, path) ?? error;
    }
  }
  throw new MkCiError('NET_SSH_AUTH', {
    message: `${user}@${host}: there is no key ${candidates.join(', ')}`,
    advice: 'Name the file of a private key without a password with --ssh-key or options.key.',
  });
}
