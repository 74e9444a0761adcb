import { execFile, execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { chownSync, existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

import { waitFor } from '../../src/wait.js';

const run = promisify(execFile);
const ROOT = '/usr/lib/postgresql';

/** Folder of PostgreSQL's programs as Debian installs them, the newest; `undefined` when there is none. */
export function findPostgres(): string | undefined {
  if (!existsSync(ROOT)) return undefined;
  return readdirSync(ROOT)
    .sort((left, right) => Number(right) - Number(left))
    .map((version) => join(ROOT, version, 'bin'))
    .find((folder) => existsSync(join(folder, 'initdb')) && existsSync(join(folder, 'postgres')));
}

/**
 * A server with its own data in a temporary folder, on a free port of loopback and on a socket of that folder. Started by
 * root it runs as user `postgres`, because PostgreSQL refuses root.
 */
export class PostgresServer implements AsyncDisposable {
  readonly #bin: string;
  readonly #folder: string;
  readonly #owner: { readonly uid?: number; readonly gid?: number };
  readonly #port: number;
  #server: ChildProcess | undefined;
  #output = '';

  private constructor(bin: string, folder: string, owner: { uid?: number; gid?: number }, port: number) {
    this.#bin = bin;
    this.#folder = folder;
    this.#owner = owner;
    this.#port = port;
  }

  static async start(bin: string): Promise<PostgresServer> {
    const folder = mkdtempSync(join(tmpdir(), 'mk-ci-postgres-'));
    const owner = ownerOf();
    if (owner.uid !== undefined) chownSync(folder, owner.uid, owner.gid ?? owner.uid);
    const server = new PostgresServer(bin, folder, owner, await freePort());
    try {
      await run(join(bin, 'initdb'), ['-D', join(folder, 'data'), '-U', 'mkci', '-A', 'trust', '-E', 'UTF8', '-N'], {
        ...owner,
        cwd: folder,
        env: { LC_ALL: 'C', PATH: process.env['PATH'] },
      });
      await server.begin();
      return server;
    } catch (error) {
      await server[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** URL of a database over TCP, or over the server's socket. */
  url(database = 'postgres', { socket = false } = {}): string {
    return socket
      ? `postgres://mkci@localhost:${this.#port}/${database}?host=${encodeURIComponent(this.#folder)}`
      : `postgres://mkci@127.0.0.1:${this.#port}/${database}`;
  }

  /** Starts the server again with the data it has; resolves when it answers. */
  async begin(): Promise<void> {
    const settings = ['fsync=on', 'max_connections=20', 'shared_buffers=32MB'].flatMap((setting) => ['-c', setting]);
    const child = spawn(
      join(this.#bin, 'postgres'),
      ['-D', join(this.#folder, 'data'), '-k', this.#folder, '-h', '127.0.0.1', '-p', String(this.#port), ...settings],
      { ...this.#owner, cwd: this.#folder, stdio: ['ignore', 'ignore', 'pipe'] },
    );
    this.#server = child;
    child.stderr.on('data', (piece: Buffer) => (this.#output += piece.toString()));
    await waitFor(
      async () => {
        if (child.exitCode !== null) throw new Error(`postgres ended:\n${this.#output}`);
        const ready = await run(join(this.#bin, 'pg_isready'), ['-h', '127.0.0.1', '-p', String(this.#port)]).then(
          () => true,
          () => false,
        );
        return ready ? { done: true, value: undefined } : { done: false, seen: this.#output.slice(-500) };
      },
      { what: 'PostgreSQL to answer', deadlineMs: 120_000 },
    );
  }

  /**
   * Ends the server: `SIGQUIT` at once as after a crash (the log is replayed at the next start), `SIGINT` as an operator
   * would. Clients lose their connections in both.
   */
  async end(signal: 'SIGQUIT' | 'SIGINT' = 'SIGINT'): Promise<void> {
    const child = this.#server;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const closed = new Promise((resolve) => child.once('close', resolve));
    child.kill(signal);
    await closed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.end('SIGQUIT');
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

function ownerOf(): { uid?: number; gid?: number } {
  if (process.getuid?.() !== 0) return {};
  const id = (flag: string): number => Number(execFileSync('id', [flag, 'postgres'], { encoding: 'utf8' }));
  return { uid: id('-u'), gid: id('-g') };
}

async function freePort(): Promise<number> {
  const probe = createServer();
  await new Promise<void>((resolve) => probe.listen(0, '127.0.0.1', resolve));
  const { port } = probe.address() as AddressInfo;
  await new Promise((resolve) => probe.close(resolve));
  return port;
}
