import { createHash } from 'node:crypto';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';

/** Bytes that a request is answered with. */
export interface CachedBody {
  readonly etag: string;
  readonly body: Uint8Array<ArrayBuffer>;
  /** Made when first asked for. */
  gzipped(): Promise<Uint8Array<ArrayBuffer>>;
}

interface Entry {
  readonly version: string;
  readonly body: CachedBody;
}

export interface ResponseCacheOptions {
  /** Of bodies kept; the least recently used go first. @default 64 MiB */
  readonly maxBytes?: number;
}

/**
 * Answers by address, true as long as the database has not changed: fifty readers of one page cost one read. Requests for
 * what is being made wait for it.
 */
export class ResponseCache {
  readonly #entries = new Map<string, Entry>();
  readonly #running = new Map<string, Promise<CachedBody>>();
  readonly #maxBytes: number;
  #bytes = 0;

  constructor({ maxBytes = 64 * 1024 * 1024 }: ResponseCacheOptions = {}) {
    this.#maxBytes = maxBytes;
  }

  /** @param version of the database: an answer made at another one is made again */
  async get(key: string, version: string, make: () => Promise<string>): Promise<CachedBody> {
    const entry = this.#entries.get(key);
    if (entry?.version === version) {
      // Last in the order of a Map: most recently used.
      this.#entries.delete(key);
      this.#entries.set(key, entry);
      return entry.body;
    }
    const job = `${version}\0${key}`;
    const running = this.#running.get(job);
    if (running !== undefined) return await running;
    const started = make()
      .then((text) => {
        const body = cachedBody(text);
        this.#keep(key, { version, body });
        return body;
      })
      .finally(() => this.#running.delete(job));
    this.#running.set(job, started);
    return await started;
  }

  #keep(key: string, entry: Entry): void {
    this.#drop(key);
    if (entry.body.body.byteLength > this.#maxBytes / 4) return;
    this.#entries.set(key, entry);
    this.#bytes += entry.body.body.byteLength;
    for (const oldest of this.#entries.keys()) {
      if (this.#bytes <= this.#maxBytes) break;
      this.#drop(oldest);
    }
  }

  #drop(key: string): void {
    const entry = this.#entries.get(key);
    if (entry === undefined) return;
    this.#entries.delete(key);
    this.#bytes -= entry.body.body.byteLength;
  }
}

const compress = promisify(gzip);

/** The same text has the same tag, whatever the database did in between. */
export function cachedBody(text: string): CachedBody {
  const body = new TextEncoder().encode(text);
  let gzipped: Promise<Uint8Array<ArrayBuffer>> | undefined;
  return {
    etag: `"${createHash('sha256').update(body).digest('base64url').slice(0, 27)}"`,
    body,
    gzipped: () => (gzipped ??= compress(body, { level: 1 }).then((packed) => new Uint8Array(packed))),
  };
}

/** Whether `If-None-Match` names the tag; weak tags and lists too. */
export function isFresh(ifNoneMatch: string | undefined, etag: string): boolean {
  if (ifNoneMatch === undefined) return false;
  if (ifNoneMatch.trim() === '*') return true;
  return ifNoneMatch.split(',').some((tag) => tag.trim().replace(/^W\//, '') === etag);
}
