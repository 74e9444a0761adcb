import { readFile } from 'node:fs/promises';
import type { IncomingMessage } from 'node:http';
import { Agent, request, type RequestOptions } from 'node:https';

import { MkCiError, messageOf } from '../errors.js';

/** What the API server answered. */
export interface ApiAnswer {
  readonly status: number;
  readonly body: string;
}

/** Requests to one API server over kept connections. Small on purpose: starting a cluster must not load a whole client. */
export interface ApiClient extends Disposable {
  readonly server: string;
  /**
   * @param path such as `/readyz`
   * @param body sent as JSON
   * @throws {MkCiError} `NET_UNREACHABLE` when there was no answer; answers of any status are values
   */
  request(method: 'GET' | 'POST' | 'DELETE', path: string, options: ApiRequestOptions): Promise<ApiAnswer>;
  /**
   * The body as it comes, for as long as the server sends: logs that are followed.
   *
   * @throws {MkCiError} `NET_UNREACHABLE` when there was no answer, `K8S_API_ERROR` for one that is not 200
   */
  stream(path: string, signal: AbortSignal): AsyncIterable<Buffer>;
}

export interface ApiRequestOptions {
  readonly signal: AbortSignal;
  readonly body?: unknown;
  /** @default 5000 */
  readonly timeoutMs?: number;
}

/** Connection settings as `node:https` takes them; certificates as PEM text. */
export type ApiCredentials = Pick<RequestOptions, 'ca' | 'cert' | 'key' | 'servername' | 'rejectUnauthorized'> & {
  readonly headers?: Readonly<Record<string, string>>;
};

export function createApiClient(server: string, credentials: ApiCredentials): ApiClient {
  const { headers, ...tls } = credentials;
  const agent = new Agent({ keepAlive: true, maxSockets: 6, ...tls });
  return {
    server,
    request: async (method, path, { signal, body, timeoutMs = 5000 }) => {
      signal.throwIfAborted();
      const payload = body === undefined ? undefined : JSON.stringify(body);
      return await new Promise<ApiAnswer>((resolve, reject) => {
        const fail = (error: unknown): void => {
          reject(
            signal.aborted
              ? (signal.reason as Error)
              : new MkCiError('NET_UNREACHABLE', { message: `${server}: ${messageOf(error)}`, cause: error }),
          );
        };
        const call = request(
          new URL(path, server),
          {
            agent,
            method,
            signal,
            timeout: timeoutMs,
            headers: {
              ...headers,
              accept: 'application/json',
              // The length in words: without it Node.js sends the body of a DELETE so that no server takes it for one.
              ...(payload === undefined
                ? {}
                : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(payload) }),
            },
          },
          (response) => {
            const pieces: Buffer[] = [];
            response.on('data', (piece: Buffer) => pieces.push(piece));
            response.once('error', fail);
            response.once('end', () => {
              resolve({ status: response.statusCode ?? 0, body: Buffer.concat(pieces).toString('utf8') });
            });
          },
        );
        call.once('timeout', () => call.destroy(new Error(`no answer in ${timeoutMs} ms`)));
        call.once('error', fail);
        call.end(payload);
      });
    },
    stream: async function* (path, signal) {
      signal.throwIfAborted();
      const answer = await new Promise<IncomingMessage>((resolve, reject) => {
        // A connection of its own: one that is held for hours must not block the others.
        const call = request(new URL(path, server), { ...tls, agent: false, signal, headers: { ...headers } }, resolve);
        call.once('error', (error) => {
          reject(new MkCiError('NET_UNREACHABLE', { message: `${server}: ${messageOf(error)}`, cause: error }));
        });
        call.end();
      });
      try {
        if (answer.statusCode !== 200) {
          throw new MkCiError('K8S_API_ERROR', {
            message: `${path.split('?')[0] ?? path}: HTTP ${answer.statusCode ?? 0}`,
          });
        }
        for await (const piece of answer) yield piece as Buffer;
      } finally {
        answer.destroy();
      }
    },
    [Symbol.dispose]: () => {
      agent.destroy();
    },
  };
}

/** Client with a certificate from files. */
export async function createCertificateClient(
  server: string,
  files: { readonly ca: string; readonly certificate: string; readonly key: string },
): Promise<ApiClient> {
  const [ca, cert, key] = await Promise.all([
    readFile(files.ca, 'utf8'),
    readFile(files.certificate, 'utf8'),
    readFile(files.key, 'utf8'),
  ]);
  return createApiClient(server, { ca, cert, key });
}
