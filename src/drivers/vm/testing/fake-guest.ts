import { readFile } from 'node:fs/promises';

import { startTestServer, type TestServer } from '../../ssh-connection/testing/server.js';

/** The guest of a machine, for tests: a shell of this host behind ssh, with the keys that the machine's seed gives it. */
export async function startFakeGuest(
  seed: string,
  listen?: { readonly host: string; readonly port: number },
): Promise<TestServer> {
  const text = await readFile(seed, 'latin1');
  const hostKey = /-----BEGIN OPENSSH PRIVATE KEY-----\n[^\\]*?-----END OPENSSH PRIVATE KEY-----/.exec(text)?.[0] ?? '';
  const userKey = /ssh-ed25519 \S+ mk-ci/.exec(text)?.[0] ?? '';
  return await startTestServer({
    hostKeys: { privateKey: `${hostKey}\n`, publicKey: '' },
    userKeys: { privateKey: '', publicKey: userKey },
    // A guest sets its own clock and size, not those of this host.
    replace: (command) => (/ (?:date|resize2fs) /.test(command) ? 'true' : command),
    ...(listen === undefined ? {} : { listen }),
  });
}
