import { createHash, timingSafeEqual } from 'node:crypto';

import { Hono, type Context } from 'hono';
import { z } from 'zod';

import { isMkCiError, MkCiError, type ErrorCode } from '../errors.js';
import type { ChartStore } from '../flake/charts/index.js';
import type { FlakeStore, RecordMeta, WriteSummary } from '../flake/index.js';
import type { Logger } from '../log.js';
import type { PageAssets } from '../report/index.js';
import type { RunResult } from '../results/index.js';
import { READ_ROUTES } from './api.js';
import { openApiDocument } from './openapi.js';
import { ingestQuery, type IngestQuery } from './query.js';
import { limitedBody } from './limited-body.js';
import { joinParts } from './page-parts.js';
import type { ReadPool } from './read-pool.js';
import { cachedBody, isFresh, VersionedCache, type CachedBody } from './response-cache.js';
import { formatRoute, routeOfGopogh } from './shared/route.js';
import { renderShell } from './shell.js';

export interface DashboardOptions {
  readonly store: ChartStore & Pick<FlakeStore, 'dataVersion'>;
  readonly assets: PageAssets;
  readonly toolVersion: string;
  readonly log: Logger;
  /** Reads an address somewhere else, with what is queried; in this thread when absent. */
  readonly read?: ReadPool['read'];
  /** Absent: the server takes nothing in. */
  readonly writes?: WriteOptions;
  /** Adds addresses of its own, such as the webhook of GitHub. */
  readonly extend?: (app: Hono) => void;
}

export interface WriteOptions {
  readonly token: string;
  readonly store: Pick<FlakeStore, 'recordRun'>;
  /** Turns a body into a run. @throws {MkCiError} `RES_…`, `RUN_NO_TESTS` for what is no test output */
  readonly readRun: (
    body: AsyncIterable<Uint8Array>,
    query: IngestQuery,
    signal: AbortSignal,
  ) => Promise<{ readonly run: RunResult; readonly meta: RecordMeta }>;
  /** Largest body, after unpacking. @default 64 MiB */
  readonly maxBytes?: number;
  /** Uploads read at the same time; more are asked to come again. @default 4 */
  readonly maxUploads?: number;
}

const DEFAULT_MAX_BYTES = 64 * 1024 * 1024;

/** Statuses of answers; every other error is 500 and told to the log only. */
const STATUS_OF: Partial<Record<ErrorCode, 400 | 401 | 403 | 404 | 413 | 503 | 507>> = {
  SRV_BAD_REQUEST: 400,
  SRV_UNAUTHORIZED: 401,
  SRV_READ_ONLY: 403,
  DB_NOT_FOUND: 404,
  SRV_TOO_LARGE: 413,
  SRV_OVERLOADED: 503,
  DB_BUSY: 503,
  DB_OPEN: 503,
  HOST_DISK_FULL: 507,
};

/**
 * The dashboard: pages, JSON API, badges, and with a token the intake of results. Holds no state but a cache of answers;
 * `app.request()` tests it without a socket.
 */
export function createDashboard(options: DashboardOptions): Hono {
  const { store, assets, toolVersion, log, writes } = options;
  const app = new Hono();
  const bodies = new VersionedCache<CachedBody>({ bytesOf: ({ body }) => body.byteLength });
  const texts = new VersionedCache<string>({ bytesOf: (text) => text.length });
  const versions = new VersionReader(store);
  const shell = renderShell({ mode: 'live', toolVersion }, assets);
  const page = cachedBody(shell.html);
  const document = cachedBody(`${JSON.stringify(openApiDocument(toolVersion), null, 2)}\n`);

  app.use(async (context, next) => {
    await next();
    const { headers } = context.res;
    headers.set('x-content-type-options', 'nosniff');
    headers.set('referrer-policy', 'no-referrer');
    headers.set('x-frame-options', 'DENY');
    // Badges stand in pages of other hosts; nothing else does.
    const isBadge = context.req.path === '/badge.svg';
    headers.set('cross-origin-resource-policy', isBadge ? 'cross-origin' : 'same-origin');
    if (!headers.has('content-security-policy')) {
      headers.set('content-security-policy', "default-src 'none'; style-src 'unsafe-inline'; sandbox");
    }
  });

  app.get('/', async (context) => {
    const old = routeOfGopogh(new URL(context.req.url).search);
    if (old !== undefined) return context.redirect(`/${formatRoute(old)}`, 302);
    context.header('content-security-policy', shell.contentPolicy);
    return await answer(context, page, 'text/html; charset=utf-8');
  });
  app.get('/api/openapi.json', async (context) => await answer(context, document, 'application/json'));
  app.get('/healthz', async (context) => {
    await store.dataVersion();
    return context.json({ status: 'ok', version: toolVersion });
  });

  for (const route of READ_ROUTES) {
    app.get(route.path, async (context) => {
      const query = queryOf(context, route.query);
      const key = `${route.path}?${new URLSearchParams(Object.entries(query).map(([name, value]): [string, string] => [name, String(value)])).toString()}`;
      // Versions before what is read: an answer may be newer than it says, never older.
      const parts = await Promise.all(
        route.parts.map(async (part) => ({ part, version: await versions.of(part.environment?.(query)) })),
      );
      const body = await bodies.get(key, parts.map(({ version }) => version).join(' '), async () => {
        const read = parts.map(async ({ part, version }, index) => {
          const make = async () => await (options.read?.(route.path, query, index) ?? part.read(store, query));
          // A single part is the body, which is kept.
          return parts.length === 1 ? await make() : await texts.get(`${key} ${index}`, version, make);
        });
        return cachedBody(joinParts(await Promise.all(read)));
      });
      return await answer(context, body, route.contentType);
    });
  }

  let uploads = 0;
  app.post('/api/runs', async (context) => {
    if (writes === undefined) throw new MkCiError('SRV_READ_ONLY');
    if (!isToken(context.req.header('authorization'), writes.token)) throw new MkCiError('SRV_UNAUTHORIZED');
    const query = queryOf(context, ingestQuery);
    if (uploads >= (writes.maxUploads ?? 4)) throw new MkCiError('SRV_OVERLOADED');
    uploads += 1;
    try {
      const summary = await ingest(context, query, writes);
      log.info('run taken in', { runs: summary.runs, results: summary.results, known: summary.known });
      return context.json(summary, summary.runs + summary.replaced > 0 ? 201 : 200);
    } finally {
      uploads -= 1;
    }
  });

  options.extend?.(app);

  app.notFound((context) =>
    problem(context, 404, 'DB_NOT_FOUND', 'There is no such address', 'See /api/openapi.json.'),
  );
  app.onError((error, context) => {
    if (isMkCiError(error)) {
      const status = STATUS_OF[error.code] ?? (/^(?:RES_|RUN_NO_TESTS)/.test(error.code) ? 422 : 500);
      if (status === 401) context.header('www-authenticate', 'Bearer realm="mk-ci"');
      if (status === 503) context.header('retry-after', '2');
      // What went wrong inside is for the log: it may name paths.
      if (status < 500 || status === 503) return problem(context, status, error.code, error.message, error.advice);
      log.error('request failed', { path: context.req.path, code: error.code, message: error.message });
      return problem(
        context,
        status,
        error.code,
        'The server could not answer',
        'Ask those who run it; its log says more.',
      );
    }
    log.error('request failed', { path: context.req.path, message: error.message });
    return problem(
      context,
      500,
      'CLI_INTERNAL',
      'The server could not answer',
      'Ask those who run it; its log says more.',
    );
  });
  return app;
}

/** Versions of the database and its environments; the list of these is read once for each version of the database. */
class VersionReader {
  readonly #store: DashboardOptions['store'];
  #environments: { readonly data: string; readonly versions: Promise<ReadonlyMap<string, string>> } | undefined;

  constructor(store: DashboardOptions['store']) {
    this.#store = store;
  }

  /** @param environment by name; of the database when absent, or when there is no such environment */
  async of(environment: string | undefined): Promise<string> {
    const data = await this.#store.dataVersion();
    if (environment === undefined) return data;
    if (this.#environments?.data !== data) this.#environments = { data, versions: this.#read() };
    const known = this.#environments;
    try {
      return (await known.versions).get(environment) ?? data;
    } catch (error) {
      if (this.#environments === known) this.#environments = undefined;
      throw error;
    }
  }

  async #read(): Promise<ReadonlyMap<string, string>> {
    const environments = await this.#store.environments();
    return new Map(environments.map(({ name, id, version }) => [name, `${id}.${version}`]));
  }
}

async function ingest(context: Context, query: IngestQuery, writes: WriteOptions): Promise<WriteSummary> {
  const request = context.req.raw;
  const body = limitedBody(request.body, {
    maxBytes: writes.maxBytes ?? DEFAULT_MAX_BYTES,
    length: context.req.header('content-length'),
    encoding: context.req.header('content-encoding'),
  });
  const { run, meta } = await writes.readRun(body, query, request.signal);
  return await writes.store.recordRun(run, meta);
}

async function answer(context: Context, body: CachedBody, contentType: string): Promise<Response> {
  const wantsGzip = /\bgzip\b/.test(context.req.header('accept-encoding') ?? '') && body.body.byteLength > 1_000;
  context.header('etag', body.etag);
  context.header('vary', 'accept-encoding');
  context.header('cache-control', contentType.startsWith('image/') ? 'public, max-age=60' : 'no-cache');
  if (isFresh(context.req.header('if-none-match'), body.etag)) return context.body(null, 304);
  context.header('content-type', contentType);
  if (!wantsGzip) return context.body(body.body);
  context.header('content-encoding', 'gzip');
  return context.body(await body.gzipped());
}

/** @throws {MkCiError} `SRV_BAD_REQUEST` with every parameter that is wrong */
function queryOf<Query extends z.ZodObject>(context: Context, schema: Query): z.output<Query> {
  const given = new URL(context.req.url).searchParams;
  const repeated = [...new Set(given.keys())].filter((name) => given.getAll(name).length > 1);
  if (repeated.length > 0) throw new MkCiError('SRV_BAD_REQUEST', { message: `${repeated.join(', ')} given twice` });
  const parsed = schema.safeParse(Object.fromEntries(given));
  if (parsed.success) return parsed.data;
  const problems = parsed.error.issues.map(({ path, message }) => `${path.map(String).join('.')}: ${message}`);
  throw new MkCiError('SRV_BAD_REQUEST', { message: problems.join('; ').replace(/^: /, '') });
}

/** In the same time whatever is sent: digests are compared, which have one length. */
export function isToken(header: string | undefined, token: string): boolean {
  const given = /^Bearer +(\S+)$/i.exec(header ?? '')?.[1] ?? '';
  const digest = (text: string): Buffer => createHash('sha256').update(text).digest();
  return timingSafeEqual(digest(given), digest(token)) && given !== '';
}

function problem(context: Context, status: number, code: ErrorCode, title: string, detail: string): Response {
  const body = JSON.stringify({ type: 'about:blank', title, status, code, detail });
  return context.newResponse(`${body}\n`, status as 400, {
    'content-type': 'application/problem+json',
    'cache-control': 'no-store',
  });
}
