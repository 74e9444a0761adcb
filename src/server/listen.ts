import type { Server } from 'node:http';

import { createAdaptorServer } from '@hono/node-server';
import type { Hono } from 'hono';

import { MkCiError, systemErrorCode } from '../errors.js';

export interface ListenAddress {
  readonly host: string;
  /** 0 takes a free one. */
  readonly port: number;
}

/** A server that answers; disposing it lets running answers end. */
export interface Listening extends AsyncDisposable {
  /** `http://127.0.0.1:7117/` */
  readonly url: string;
}

/** How long running answers may take once the server is to end. */
const CLOSE_MS = 5_000;

/** @throws {MkCiError} `SRV_LISTEN` for what is not HOST:PORT */
export function parseListen(text: string): ListenAddress {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([\w.-]+)):(\d{1,5})$/.exec(text);
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3]);
  if (host === undefined || port > 65_535) throw new MkCiError('SRV_LISTEN', { message: text });
  return { host, port };
}

/** @throws {MkCiError} `SRV_PORT_TAKEN`, `SRV_LISTEN`, `HOST_PERMISSION` */
export async function listen(app: Hono, { host, port }: ListenAddress): Promise<Listening> {
  const server = createAdaptorServer({ fetch: app.fetch }) as Server;
  // Slow senders hold a connection, not the server.
  server.headersTimeout = 15_000;
  server.requestTimeout = 300_000;
  server.keepAliveTimeout = 5_000;
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error) => {
      reject(listenError(error, host, port));
    });
    server.listen(port, host, resolve);
  });
  const address = server.address();
  const actual = typeof address === 'object' && address !== null ? address.port : port;
  return {
    url: `http://${host.includes(':') ? `[${host}]` : host}:${String(actual)}/`,
    [Symbol.asyncDispose]: async () => {
      await close(server);
    },
  };
}

async function close(server: Server): Promise<void> {
  const closed = new Promise<void>((resolve) => {
    server.close(() => {
      resolve();
    });
  });
  server.closeIdleConnections();
  const timer = setTimeout(() => {
    server.closeAllConnections();
  }, CLOSE_MS);
  await closed;
  clearTimeout(timer);
}

function listenError(error: Error, host: string, port: number): MkCiError {
  const code = systemErrorCode(error);
  const options = { message: `${host}:${String(port)}`, cause: error };
  if (code === 'EADDRINUSE') return new MkCiError('SRV_PORT_TAKEN', options);
  if (code === 'EACCES') return new MkCiError('HOST_PERMISSION', options);
  return new MkCiError('SRV_LISTEN', options);
}
