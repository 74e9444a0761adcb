import { isAbsolute, join } from 'node:path';

import { z } from 'zod';

import { MkCiError } from '../../errors.js';
import type { DriverOptions } from '../driver.js';
import { parseDriverOptions } from '../driver-options.js';

/** Which host, and how one logs in there: the options of an environment for the driver ssh. */

export interface SshHostAddress {
  readonly host: string;
  readonly port: number;
  readonly user: string;
}

export interface SshSettings extends SshHostAddress {
  /** File with the private key; `undefined` for the first of the user's own. */
  readonly key: string | undefined;
  /** `ssh-ed25519 AAAA…`; `accept-new` notes the first one that is shown; `undefined` has to be known already. */
  readonly hostKey: string | undefined;
  /** Host through which the connection goes, with the same key file. */
  readonly jump: (SshHostAddress & { readonly hostKey: string | undefined }) | undefined;
}

export const SSH_OPTIONS = ['host', 'port', 'user', 'key', 'hostKey', 'jump', 'jumpHostKey'] as const;

const ADDRESS = /^(?:([A-Za-z0-9_][A-Za-z0-9._-]*)@)?(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9][A-Za-z0-9.-]*)(?::(\d{1,5}))?$/;
const address = z.string().regex(ADDRESS, { error: 'such as ci@192.0.2.7:22' });
const hostKey = z.string().regex(/^(accept-new|(ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp\d+) [A-Za-z0-9+/=]{40,}( .*)?)$/, {
  error: 'a public key such as ssh-ed25519 AAAA…, or accept-new',
});

const optionsSchema = z.object({
  host: address,
  port: z.int().min(1).max(65535).optional(),
  user: z
    .string()
    .regex(/^[A-Za-z0-9_][A-Za-z0-9._-]*$/)
    .optional(),
  key: z.string().min(1).optional(),
  hostKey: hostKey.optional(),
  jump: address.optional(),
  jumpHostKey: hostKey.optional(),
});

/** @throws {MkCiError} `CFG_INVALID` with all that is not right */
export function readSshOptions(options: DriverOptions, { home }: { readonly home: string }): SshSettings {
  const data = parseDriverOptions(optionsSchema, options, {
    driver: 'ssh',
    advice: 'Correct the options of the environment, or the flags that begin with --ssh.',
  });
  const target = parseAddress(data.host);
  return {
    host: target.host,
    port: data.port ?? target.port ?? 22,
    user: data.user ?? target.user ?? 'root',
    key: data.key === undefined ? undefined : absolute(data.key, home),
    hostKey: data.hostKey,
    jump: data.jump === undefined ? undefined : { ...withDefaults(parseAddress(data.jump)), hostKey: data.jumpHostKey },
  };
}

function withDefaults({ host, port = 22, user = 'root' }: ReturnType<typeof parseAddress>): SshHostAddress {
  return { host, port, user };
}

function parseAddress(text: string): { host: string; port: number | undefined; user: string | undefined } {
  const match = ADDRESS.exec(text);
  return {
    user: match?.[1],
    host: (match?.[2] ?? '').replace(/^\[|\]$/g, ''),
    port: match?.[3] === undefined ? undefined : Number(match[3]),
  };
}

function absolute(path: string, home: string): string {
  if (path.startsWith('~/')) return join(home, path.slice(2));
  if (isAbsolute(path)) return path;
  throw new MkCiError('CFG_INVALID', {
    message: `driver ssh: options.key: ${path} is not an absolute path`,
    advice: 'Begin it with / or ~/.',
  });
}
