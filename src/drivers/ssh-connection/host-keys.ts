import { createHash, createHmac } from 'node:crypto';
import { connect as connectSocket } from 'node:net';

import { MkCiError, messageOf } from '../../errors.js';
import type { Line } from './connection.js';
import { wireFormOf } from './keys.js';

/** Which key a host has to show. */

interface Address {
  readonly host: string;
  readonly port: number;
}

/** The kinds in the order in which one is chosen where a host has several. */
const KINDS = ['ssh-ed25519', 'ecdsa-sha2-nistp256', 'ecdsa-sha2-nistp384', 'ecdsa-sha2-nistp521', 'ssh-rsa'];

/**
 * Keys of a host in a file of OpenSSH, the best kind first. Keys that sign other keys are left out, and so is all of a host
 * with a revoked one. Pure.
 *
 * @see {@link https://man.openbsd.org/sshd.8#SSH_KNOWN_HOSTS_FILE_FORMAT}
 */
export function findKnownKeys(text: string, address: Address): string[] {
  const found: string[] = [];
  for (const line of text.split('\n')) {
    const words = line.trim().split(/\s+/);
    const marker = words[0]?.startsWith('@') === true ? words.shift() : undefined;
    const [hosts = '', kind = '', key = ''] = words;
    if (hosts.startsWith('#') || !matches(hosts, address)) continue;
    if (marker === '@revoked') return [];
    if (marker === undefined && KINDS.includes(kind) && wireFormOf(`${kind} ${key}`) !== undefined)
      found.push(`${kind} ${key}`);
  }
  return found.sort((left, right) => rankOf(left) - rankOf(right));
}

const rankOf = (key: string): number => KINDS.indexOf(key.split(' ', 1)[0] ?? '');

function nameOf({ host, port }: Address): string {
  return port === 22 ? host : `[${host}]:${port}`;
}

function matches(hosts: string, address: Address): boolean {
  const name = nameOf(address);
  const hashed = /^\|1\|([^|]+)\|(.+)$/.exec(hosts);
  if (hashed === null) return hosts.split(',').includes(name);
  const hash = createHmac('sha1', Buffer.from(hashed[1] ?? '', 'base64')).update(name);
  return hash.digest('base64') === hashed[2];
}

/** A line for {@link findKnownKeys}. */
export function renderKnownHost(address: Address, key: string): string {
  return `${nameOf(address)} ${key}\n`;
}

/** As `ssh-keygen -l` shows it: `SHA256:…`. */
export function fingerprintOf(key: string): string {
  const hash = createHash('sha256').update(wireFormOf(key) ?? Buffer.alloc(0));
  return `SHA256:${hash.digest('base64').replace(/=+$/, '')}`;
}

/**
 * Asks a host for its key, and logs in nowhere. What it shows may be somebody else's: it is worth only what a comparison says.
 *
 * @param line a way to the host other than a socket of this one
 * @throws {MkCiError} `NET_UNREACHABLE`
 */
export async function askHostKey(
  address: Address,
  {
    signal,
    line,
    timeoutMs = 15_000,
  }: { readonly signal: AbortSignal; readonly line?: Line; readonly timeoutMs?: number },
): Promise<string> {
  signal.throwIfAborted();
  const { default: ssh2 } = await import('ssh2');
  const client = new ssh2.Client();
  const socket = line?.stream ?? connectSocket({ ...address, noDelay: true });
  const limit = AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]);
  const fail = (why: string, cause?: unknown): MkCiError =>
    new MkCiError('NET_UNREACHABLE', {
      message: `ssh ${address.host}:${address.port}: ${why}`,
      ...(cause === undefined ? {} : { cause }),
    });
  try {
    return await new Promise<string>((resolve, reject) => {
      limit.addEventListener('abort', () => {
        reject(signal.aborted && signal.reason instanceof Error ? signal.reason : fail('no answer in time'));
      });
      client.on('error', (error) => {
        reject(fail(messageOf(error), error));
      });
      client.on('close', () => {
        reject(fail('the connection was closed'));
      });
      client.connect({
        sock: socket,
        username: 'mk-ci',
        readyTimeout: timeoutMs,
        hostVerifier: (key: Buffer) => {
          const kind = key.toString('latin1', 4, 4 + key.readUInt32BE(0));
          resolve(`${kind} ${key.toString('base64')}`);
          return false;
        },
      });
    });
  } finally {
    client.end();
    if (line === undefined) socket.destroy();
    else line.destroy();
  }
}
