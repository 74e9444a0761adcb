import { EnvHttpProxyAgent, fetch, type Dispatcher, type Response } from 'undici';

import { messageOf, systemErrorCode } from '../../errors.js';

/** What went wrong with a request, sorted by what to do about it. */
export class HttpFailure extends Error {
  override readonly name = 'HttpFailure';
  /**
   * `unreachable`: nobody answers at that address, asking again soon is useless. `refused`: the server answered, and no
   * (404, 403 …). `broken`: the connection broke off or the server is in trouble; worth another try.
   */
  readonly kind: 'unreachable' | 'refused' | 'broken';
  readonly status: number | undefined;

  constructor(kind: HttpFailure['kind'], message: string, options: { status?: number; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.kind = kind;
    this.status = options.status;
  }
}

export interface HttpClient extends AsyncDisposable {
  /**
   * GET. The body of the answer must be read or cancelled.
   *
   * @throws {HttpFailure} for everything but 2xx; the signal's reason when aborted
   */
  get(url: string, options: { signal: AbortSignal; headers?: Readonly<Record<string, string>> }): Promise<Response>;
  /** GET of a short text. @throws {HttpFailure} also when it is longer than `maxBytes` (1 MiB) */
  getText(url: string, options: { signal: AbortSignal; maxBytes?: number }): Promise<string>;
}

export interface HttpClientOptions {
  /** `HTTPS_PROXY`, `HTTP_PROXY`, `NO_PROXY` and their lower-case forms are obeyed. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** @default 5000 */
  readonly connectTimeoutMs?: number;
  /** Longest silence of a server, before and within an answer. @default 30000 */
  readonly silenceMs?: number;
  readonly userAgent?: string;
}

/** Codes that mean: no such host, nobody listens, no way there. */
const UNREACHABLE = new Set([
  'ENOTFOUND',
  'EAI_AGAIN',
  'ECONNREFUSED',
  'ENETUNREACH',
  'EHOSTUNREACH',
  'EADDRNOTAVAIL',
  'UND_ERR_CONNECT_TIMEOUT',
  'CERT_HAS_EXPIRED',
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'ERR_TLS_CERT_ALTNAME_INVALID',
]);

export function createHttpClient(options: HttpClientOptions): HttpClient {
  const { env, connectTimeoutMs = 5000, silenceMs = 30_000, userAgent = 'mk-ci' } = options;
  // Made at the first request: most calls find everything in the cache.
  let dispatcher: Dispatcher | undefined;
  const agent = (): Dispatcher =>
    (dispatcher ??= new EnvHttpProxyAgent({
      httpProxy: env['http_proxy'] ?? env['HTTP_PROXY'] ?? '',
      httpsProxy: env['https_proxy'] ?? env['HTTPS_PROXY'] ?? '',
      noProxy: env['no_proxy'] ?? env['NO_PROXY'] ?? '',
      connect: { timeout: connectTimeoutMs },
      headersTimeout: silenceMs,
      bodyTimeout: silenceMs,
    }));

  const get: HttpClient['get'] = async (url, { signal, headers }) => {
    const { address, authorization } = splitCredentials(url);
    let response: Response;
    // The agent's own limits do not hold for a proxy that takes the connection and then says nothing.
    const limit = new AbortController();
    const limitMs = connectTimeoutMs + silenceMs + 2000;
    const timer = setTimeout(() => {
      limit.abort(new HttpFailure('unreachable', `no answer within ${(limitMs / 1000).toFixed(1)} s`));
    }, limitMs);
    try {
      response = await fetch(address, {
        dispatcher: agent(),
        signal: AbortSignal.any([signal, limit.signal]),
        headers: {
          'user-agent': userAgent,
          // A compressed answer could neither be continued nor compared in size.
          'accept-encoding': 'identity',
          ...(authorization === undefined ? {} : { authorization }),
          ...headers,
        },
      });
    } catch (error) {
      signal.throwIfAborted();
      throw failureOf(limit.signal.aborted ? limit.signal.reason : error);
    } finally {
      clearTimeout(timer);
    }
    if (response.ok) return response;
    await response.body?.cancel();
    const retryable = response.status === 408 || response.status === 429 || response.status >= 500;
    throw new HttpFailure(
      retryable ? 'broken' : 'refused',
      `HTTP ${response.status}${response.statusText === '' ? '' : ` ${response.statusText}`}`,
      { status: response.status },
    );
  };

  return {
    get,
    getText: async (url, { signal, maxBytes = 1024 * 1024 }) => {
      const response = await get(url, { signal });
      const pieces: Uint8Array[] = [];
      let bytes = 0;
      try {
        for await (const piece of bodyOf(response)) {
          bytes += piece.length;
          if (bytes > maxBytes) throw new HttpFailure('refused', `answer is longer than ${maxBytes} bytes`);
          pieces.push(piece);
        }
      } catch (error) {
        signal.throwIfAborted();
        throw failureOf(error);
      }
      return Buffer.concat(pieces).toString('utf8');
    },
    [Symbol.asyncDispose]: async () => {
      await dispatcher?.destroy();
    },
  };
}

/** The bytes of an answer as they come; none when it has no body. */
export async function* bodyOf(response: Response): AsyncGenerator<Uint8Array, void, undefined> {
  const body: AsyncIterable<Uint8Array> | null = response.body;
  if (body !== null) yield* body;
}

/** Sorts an error of the network layer; `fetch` hides it as the cause of a TypeError. */
export function failureOf(error: unknown): HttpFailure {
  if (error instanceof HttpFailure) return error;
  let at: unknown = error;
  for (let depth = 0; depth < 5 && at instanceof Error; depth += 1) {
    const code = systemErrorCode(at) ?? firstCode(at);
    if (code !== undefined) {
      const kind = UNREACHABLE.has(code) ? 'unreachable' : 'broken';
      return new HttpFailure(kind, explain(code, at), { cause: error });
    }
    if (at.cause === undefined) break;
    at = at.cause;
  }
  return new HttpFailure('broken', messageOf(at), { cause: error });
}

/** Several addresses of one host fail together as an AggregateError. */
function firstCode(error: Error): string | undefined {
  return error instanceof AggregateError
    ? error.errors.map(systemErrorCode).find((code) => code !== undefined)
    : undefined;
}

function explain(code: string, error: Error): string {
  switch (code) {
    case 'ENOTFOUND':
      return 'no such host (ENOTFOUND)';
    case 'EAI_AGAIN':
      return 'host name can not be resolved (EAI_AGAIN)';
    case 'ECONNREFUSED':
      return 'connection refused (ECONNREFUSED)';
    case 'UND_ERR_CONNECT_TIMEOUT':
      return 'no connection in time (UND_ERR_CONNECT_TIMEOUT)';
    case 'UND_ERR_HEADERS_TIMEOUT':
    case 'UND_ERR_BODY_TIMEOUT':
      return `the server fell silent (${code})`;
    case 'UND_ERR_SOCKET':
    case 'ECONNRESET':
      return `the connection broke off (${code})`;
    default:
      return `${messageOf(error)} (${code})`;
  }
}

/** Takes user and password out of an address: they belong into a header, and into no message. */
export function splitCredentials(url: string): { address: string; authorization?: string } {
  const parsed = new URL(url);
  if (parsed.username === '' && parsed.password === '') return { address: url };
  const user = `${decodeURIComponent(parsed.username)}:${decodeURIComponent(parsed.password)}`;
  parsed.username = '';
  parsed.password = '';
  return { address: parsed.href, authorization: `Basic ${Buffer.from(user).toString('base64')}` };
}
