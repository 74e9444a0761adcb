import { spawn } from 'node:child_process';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';

import ssh2, { type Connection } from 'ssh2';

import type { SshTarget } from '../connection.js';
import { wireFormOf, type KeyPair } from '../keys.js';

/** A server for tests that runs commands in a shell of this host. */
export interface TestServer extends AsyncDisposable {
  readonly target: SshTarget;
  /** Every command line so far. */
  readonly commands: string[];
  readonly connections: Connection[];
  /** Terminals that were asked for. */
  readonly terminals: { readonly term: string; readonly cols: number; readonly rows: number }[];
}

export interface TestServerOptions {
  readonly hostKeys: Pick<KeyPair, 'privateKey' | 'publicKey'>;
  readonly userKeys: KeyPair;
  /** What is run in place of a command line. @default the line itself */
  readonly replace?: (command: string) => string;
  /** @default a free port of 127.0.0.1 */
  readonly listen?: { readonly host: string; readonly port: number };
}

export async function startTestServer(options: TestServerOptions): Promise<TestServer> {
  const { hostKeys, userKeys, replace = (command: string) => command, listen } = options;
  const commands: string[] = [];
  const connections: Connection[] = [];
  const terminals: TestServer['terminals'] = [];
  const expected = wireFormOf(userKeys.publicKey);
  const server = new ssh2.Server({ hostKeys: [hostKeys.privateKey] }, (connection) => {
    connections.push(connection);
    connection.on('error', () => undefined);
    connection.on('authentication', (context) => {
      if (context.method === 'publickey' && expected?.equals(context.key.data) === true) context.accept();
      else context.reject(['publickey']);
    });
    connection.on('session', (acceptSession) => {
      const session = acceptSession();
      session.on('pty', (accept, _reject, info) => {
        // The types of ssh2 leave out the kind.
        const { term } = info as typeof info & { readonly term: string };
        terminals.push({ term, cols: info.cols, rows: info.rows });
        accept();
      });
      session.on('exec', (acceptExec, _reject, { command }) => {
        commands.push(command);
        const channel = acceptExec();
        const child = spawn('sh', ['-c', replace(command)], { stdio: ['pipe', 'pipe', 'pipe'] });
        child.stdin.on('error', () => undefined);
        channel.on('error', () => undefined);
        channel.pipe(child.stdin);
        child.stdout.pipe(channel, { end: false });
        child.stderr.pipe(channel.stderr, { end: false });
        child.on('exit', (code, signal) => {
          if (signal === null) channel.exit(code ?? 0);
          else channel.exit(signal.replace('SIG', ''), false, '');
        });
        child.on('close', () => {
          channel.end();
        });
      });
    });
  });
  const host = listen?.host ?? '127.0.0.1';
  server.listen(listen?.port ?? 0, host);
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return {
    target: { host, port, user: 'root', privateKey: userKeys.privateKey, hostKey: hostKeys.publicKey },
    commands,
    connections,
    terminals,
    [Symbol.asyncDispose]: async () => {
      for (const connection of connections) connection.end();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
