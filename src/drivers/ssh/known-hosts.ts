import { readFile } from 'node:fs/promises';
import { dirname } from 'node:path';

import { MkCiError, systemErrorCode } from '../../errors.js';
import { makeFolder, writeFileAtomically } from '../../files.js';
import { askHostKey, findKnownKeys, fingerprintOf, renderKnownHost, type Line } from '../ssh-connection/index.js';
import type { SshHostAddress } from './ssh-options.js';

export interface KnownHosts {
  /**
   * The one key that a host may show: that of the options, else the one that is known. A key that changed is never taken:
   * the known one stays, and the connection fails with it.
   *
   * @throws {MkCiError} `NET_SSH_HOST_UNKNOWN` with the fingerprint of the key that it shows, `NET_UNREACHABLE`
   */
  keyOf(
    address: SshHostAddress,
    options: { readonly wished: string | undefined; readonly dial?: () => Promise<Line>; readonly signal: AbortSignal },
  ): Promise<string>;
}

/**
 * @param ownFile keys that were accepted when they were new; the only file that is written
 * @param userFile those of the user
 */
export function createKnownHosts({
  ownFile,
  userFile,
}: {
  readonly ownFile: string;
  readonly userFile: string;
}): KnownHosts {
  return {
    keyOf: async (address, { wished, dial, signal }) => {
      if (wished !== undefined && wished !== 'accept-new') return wished.split(' ').slice(0, 2).join(' ');
      for (const file of [ownFile, userFile]) {
        const [known] = findKnownKeys(await readText(file), address);
        if (known !== undefined) return known;
      }
      const shown = await askHostKey(address, { signal, ...(dial === undefined ? {} : { line: await dial() }) });
      if (wished !== 'accept-new') {
        throw new MkCiError('NET_SSH_HOST_UNKNOWN', {
          message: `${address.host}:${address.port} shows ${fingerprintOf(shown)}`,
          advice: `Compare it with ssh-keygen -lf on the host, then give hostKey (--ssh-host-key) as '${shown}', or accept-new.`,
        });
      }
      await makeFolder(dirname(ownFile), { mode: 0o700 });
      const text = (await readText(ownFile)) + renderKnownHost(address, shown);
      await writeFileAtomically(ownFile, text, { mode: 0o600 });
      return shown;
    },
  };
}

async function readText(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return '';
    throw error;
  }
}
