import { rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { once } from 'node:events';

import ssh2, { type ParsedKey } from 'ssh2';

/** Made by ssh-keygen of OpenSSH 9.2 on 2026-11-22 for tests, with one round of bcrypt; used nowhere else. */
export const ENCRYPTED_KEY = {
  passphrase: 'open sesame',
  publicKey: 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEgysBanaBTHoFBzuirdJIiYA80q3oQYMC50W27OKeds test',
  privateKey: [
    '-----BEGIN OPENSSH PRIVATE KEY-----',
    'b3BlbnNzaC1rZXktdjEAAAAACmFlczI1Ni1jdHIAAAAGYmNyeXB0AAAAGAAAABDgZWs+cu',
    '/L/MeeBx6gQiQUAAAAAQAAAAEAAAAzAAAAC3NzaC1lZDI1NTE5AAAAIEgysBanaBTHoFBz',
    'uirdJIiYA80q3oQYMC50W27OKedsAAAAkGSnqlgXEJnq9O/nR97K2YkWqHm8KH6heqQTNw',
    'D/0/OxQ3m1olmMe+Fh6k/LPE8lyRoccQux20GPGdXOVTy3mGbMUiMfPXrRQozqgpPNwQPR',
    '8KWRmeMC6z+BkI4VhdJ0uYMf6XtB0t/zk5DxmB9ky4Ov1EMtJwaOolY+lkRjtR39cf8zAp',
    'pjQO8Gf3AyZLhfRg==',
    '-----END OPENSSH PRIVATE KEY-----',
    '',
  ].join('\n'),
};

/** An agent of ssh with these keys, at a socket. */
export async function startFakeAgent(
  socket: string,
  keys: readonly ParsedKey[],
): Promise<AsyncDisposable & { readonly asked: ParsedKey[] }> {
  const asked: ParsedKey[] = [];
  const server = createServer((connection) => {
    const protocol = new ssh2.AgentProtocol(false);
    protocol.on('identities', (request) => {
      protocol.getIdentitiesReply(request, [...keys]);
    });
    protocol.on('sign', (request, wanted, data) => {
      const key = keys.find((one) => one.getPublicSSH().equals(wanted.getPublicSSH()));
      if (key === undefined) {
        protocol.failureReply(request);
        return;
      }
      asked.push(key);
      protocol.signReply(request, key.sign(data));
    });
    connection.on('error', () => undefined);
    connection.pipe(protocol).pipe(connection);
  });
  server.listen(socket);
  await once(server, 'listening');
  return {
    asked,
    [Symbol.asyncDispose]: async () => {
      await new Promise((resolve) => server.close(resolve));
      await rm(socket, { force: true });
    },
  };
}
