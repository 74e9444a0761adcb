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

interface Entry<T> {
  readonly version: string;
  readonly value: T;
  readonly bytes: number;
}

export interface VersionedCacheOptions<T> {
  /** Of what is kept; the least recently used go first. @default 64 MiB */
  readonly maxBytes?: number;
  readonly bytesOf: (value: T) => number;
}

/**
 * What was read, by address, true as long as what it was read from has the same version: fifty readers of one page cost one
 * read. Requests for what is being made wait for it.
 */
export class VersionedCache<T> {
  readonly #entries = new Map<string, Entry<T>>();
  readonly #running = new Map<string, Promise<T>>();
  readonly #maxBytes: number;
  readonly #bytesOf: (value: T) => number;
  #bytes = 0;

  constructor({ maxBytes = 64 * 1024 * 1024, bytesOf }: VersionedCacheOptions<T>) {
    this.#maxBytes = maxBytes;
    this.#bytesOf = bytesOf;
  }

  /** @param version as it was before this is asked: what was made at another one is made again */
  async get(key: string, version: string, make: () => Promise<T>): Promise<T> {
    const entry = this.#entries.get(key);
    if (entry?.version === version) {
      // Last in the order of a Map: most recently used.
      this.#entries.delete(key);
      this.#entries.set(key, entry);
      return entry.value;
    }
    const job = `${version}\0${key}`;
    const running = this.#running.get(job);
    if (running !== undefined) return await running;
    const started = make()
      .then((value) => {
        this.#keep(key, { version, value, bytes: this.#bytesOf(value) });
        return value;
      })
      .finally(() => this.#running.delete(job));
    this.#running.set(job, started);
    return await started;
  }

  #keep(key: string, entry: Entry<T>): void {
    this.#drop(key);
    if (entry.bytes > this.#maxBytes / 4) return;
    this.#entries.set(key, entry);
    this.#bytes += entry.bytes;
    for (const oldest of this.#entries.keys()) {
      if (this.#bytes <= this.#maxBytes) break;
      this.#drop(oldest);
    }
  }

  #drop(key: string): void {
    const entry = this.#entries.get(key);
    if (entry === undefined) return;
    this.#entries.delete(key);
    this.#bytes -= entry.bytes;
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
