import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

import { MkCiError, hostErrorOf, systemErrorCode } from '../../errors.js';
import type { GivenHost } from '../given/index.js';
import {
  createRemoteExec,
  createSshConnection,
  createSshMachine,
  describePrivateKey,
  type SshConnection,
  type SshLogin,
  type SshMachine,
} from '../ssh-connection/index.js';
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
/** For a short command, beyond the login. */
const COMMAND_MS = 15_000;

/** Who logs in. */
export interface SshUser {
  /** Keys are in `.ssh` below it. */
  readonly home: string;
  /** Socket of an agent that may have the keys. */
  readonly agentSocket?: string | undefined;
  /** Of the key, where it has one. */
  readonly passphrase?: string | undefined;
  /** Until a host that says nothing is given up. @default 15000 */
  readonly loginMs?: number;
}

/** A connection, made when something is done. @throws {MkCiError} `NET_SSH_AUTH` without a key that can be used */
export async function connectTo(record: SshHostRecord, user: SshUser): Promise<SshConnection> {
  const login = await findLogin(record, user);
  const { host, port, hostKey } = record;
  const target = { host, port, user: record.user, hostKey, ...login };
  const connectMs = user.loginMs ?? LOGIN_MS;
  if (record.jump === undefined) return createSshConnection({ target, connectMs });
  const via = createSshConnection({ target: { ...record.jump, ...login }, connectMs });
  return createSshConnection({
    target,
    connectMs,
    dial: async (signal) => await via.forward(host, port, signal),
  });
}

export async function createSshHost(record: SshHostRecord, user: SshUser): Promise<GivenHost> {
  const connection = await connectTo(record, user);
  const where = `${record.user}@${record.host}:${record.port}`;
  let made: Promise<SshMachine> | undefined;
  /** Who we are there is asked once. */
  const machine = async (signal: AbortSignal | undefined): Promise<SshMachine> => {
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
    session: async (argv, sessionOptions) =>
      await (await machine(sessionOptions?.signal)).session(argv, sessionOptions),
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
  // The login has a limit of its own, which is the shorter one: a host that says nothing is not one without sudo.
  const limit = { timeoutMs: LOGIN_MS + COMMAND_MS, allowFailure: true, signal } as const;
  const who = await exec(['id', '-u'], limit);
  if (who.timedOut) throw new MkCiError('NET_UNREACHABLE', { message: `${where}: no answer in time` });
  if (who.stdout.trim() === '0') return false;
  const asked = await exec(['sudo', '-n', 'true'], limit);
  if (asked.exitCode === 0) return true;
  throw new MkCiError('DRV_SUDO', { message: `${where}: ${asked.stderr.trim().split('\n').at(-1) ?? ''}` });
}

/** The key, the agent that has it where it can not be read, or whatever an agent has where no key is named and none is there. */
async function findLogin({ key, user, host }: SshHostRecord, who: SshUser): Promise<SshLogin> {
  const candidates = key === undefined ? OWN_KEYS.map((name) => join(who.home, '.ssh', name)) : [key];
  const { agentSocket: socket, passphrase } = who;
  for (const path of candidates) {
    const privateKey = await readFile(path, 'utf8').catch((error: unknown) => {
      if (systemErrorCode(error) === 'ENOENT') return undefined;
      throw hostErrorOf(error, path) ?? error;
    });
    if (privateKey === undefined) continue;
    const { isEncrypted, publicKey } = describePrivateKey(privateKey);
    if (!isEncrypted) return { privateKey };
    if (passphrase !== undefined) return { privateKey, passphrase };
    if (socket !== undefined) return { agent: { socket, ...(publicKey === undefined ? {} : { publicKey }) } };
    throw new MkCiError('NET_SSH_AUTH', {
      message: `${user}@${host}: the key ${path} is encrypted, and there is neither an agent nor a passphrase`,
      advice: `Add it to an agent (eval "$(ssh-agent)"; ssh-add ${path}), set MK_CI_SSH_PASSPHRASE, or name another key.`,
    });
  }
  if (key === undefined && socket !== undefined) return { agent: { socket } };
  throw new MkCiError('NET_SSH_AUTH', {
    message: `${user}@${host}: there is no key ${candidates.join(', ')}`,
    advice: 'Name the file of a private key with --ssh-key or options.key, or add one to an agent.',
  });
}
