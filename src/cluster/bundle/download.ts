import { createHash, randomBytes, type Hash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { open, readFile, rename, rm, stat, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';

import pRetry, { AbortError } from 'p-retry';
import type { Response } from 'undici';
import { z } from 'zod';

import { hostErrorOf, MkCiError, systemErrorCode } from '../../errors.js';
import { writeFileAtomically, makeFolder } from '../../files.js';
import { bodyOf, failureOf, HttpFailure, splitCredentials, type HttpClient } from './http.js';

export interface DownloadOptions {
  readonly http: HttpClient;
  /** Folder of this process; the file is made in it. */
  readonly workFolder: string;
  /** Where an earlier process left what it had of this address. */
  readonly partialFolder: string;
  /** Published sum, 64 hexadecimal digits. */
  readonly sha256: string;
  readonly signal: AbortSignal;
  readonly onProgress?: (progress: { readonly bytes: number; readonly totalBytes?: number }) => void;
  /** Told what is tried again and why. */
  readonly onRetry?: (message: string) => void;
  /** Tries after the first one that got nothing further; a try that got more bytes is free. @default 4 */
  readonly retries?: number;
  /** Pause before the first further try; it doubles. @default 500 */
  readonly retryPauseMs?: number;
}

/** What is known of a partial file: without a validator it could be continued with the bytes of another file. */
const partialSchema = z.object({ validator: z.string().min(1), totalBytes: z.number().int().positive().optional() });
type Partial = z.infer<typeof partialSchema>;

/** State of one download over its tries. */
interface Progress {
  bytes: number;
  hash: Hash;
  partial: Partial | undefined;
}

/**
 * Downloads one file: streamed, hashed while it is written, continued where it broke off (`Range` with `If-Range`), in
 * this process and in the next one.
 *
 * @returns path of the complete file, whose sum fits, in the work folder
 * @throws {HttpFailure} when the server can not be reached or refuses, or the tries are used up
 * @throws {MkCiError} `BND_CHECKSUM` when the sum does not fit, also after a second download from the start;
 *   `HOST_DISK_FULL`, `HOST_PERMISSION`
 */
export async function download(url: string, options: DownloadOptions): Promise<{ path: string; sizeBytes: number }> {
  const { workFolder, partialFolder, sha256, signal } = options;
  // By what is wanted, not by where it is had; a server that has another file under its validator starts anew.
  const kept = join(partialFolder, `${sha256}.part`);
  // Two programs with the same content must not share a file.
  const path = join(workFolder, `${sha256}.${randomBytes(4).toString('hex')}.part`);
  try {
    await takeOver(kept, path);
    for (let round = 1; ; round += 1) {
      const progress = await openProgress(path, signal);
      const continued = progress.bytes > 0;
      await fetchToEnd(url, path, progress, options);
      if (progress.hash.digest('hex') === sha256) {
        const done = path.slice(0, -'.part'.length);
        await rename(path, done);
        await rm(`${path}.json`, { force: true });
        return { path: done, sizeBytes: progress.bytes };
      }
      await rm(path, { force: true });
      await rm(`${path}.json`, { force: true });
      if (round === 2) {
        throw new MkCiError('BND_CHECKSUM', {
          message: `${withoutCredentials(url)} does not have the published sha256 ${sha256}`,
        });
      }
      options.onRetry?.(`sum does not fit${continued ? ' (continued file)' : ''}, downloading it again from the start`);
    }
  } catch (error) {
    if (!signal.aborted && (error instanceof MkCiError || hostErrorOf(error, workFolder) !== undefined)) {
      await rm(path, { force: true }); // on a full disk every byte is wanted back
      await rm(`${path}.json`, { force: true });
      throw hostErrorOf(error, workFolder) ?? error;
    }
    // What is there is of use to the next try, of this process or of another.
    await makeFolder(partialFolder).catch(() => undefined);
    await takeOver(path, kept).catch(() => undefined);
    signal.throwIfAborted();
    throw error;
  }
}

/** Renaming is the claim: of two processes that want to continue one file, one gets it and the other starts anew. */
async function takeOver(from: string, to: string): Promise<void> {
  try {
    await rename(`${from}.json`, `${to}.json`);
    await rename(from, to);
  } catch (error) {
    if (systemErrorCode(error) !== 'ENOENT') throw error;
  }
}

async function openProgress(path: string, signal: AbortSignal): Promise<Progress> {
  const hash = createHash('sha256');
  const nothing: Progress = { bytes: 0, hash, partial: undefined };
  try {
    const partial = partialSchema.parse(JSON.parse(await readFile(`${path}.json`, 'utf8')));
    const { size } = await stat(path);
    if (partial.totalBytes !== undefined && size > partial.totalBytes) return nothing;
    for await (const piece of createReadStream(path, { signal })) hash.update(piece as Buffer);
    return { bytes: size, hash, partial };
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof z.ZodError || error instanceof SyntaxError || systemErrorCode(error) === 'ENOENT')
      return nothing;
    throw error;
  }
}

async function fetchToEnd(url: string, path: string, progress: Progress, options: DownloadOptions): Promise<void> {
  const { signal, retries = 4, retryPauseMs = 500, onRetry } = options;
  const file = await open(path, progress.bytes === 0 ? 'w' : 'r+');
  let before = progress.bytes;
  try {
    await pRetry(() => fetchOnce(url, path, file, progress, options), {
      retries,
      minTimeout: retryPauseMs,
      maxTimeout: 10_000,
      signal,
      shouldConsumeRetry: () => {
        const gotFurther = progress.bytes > before;
        before = progress.bytes;
        return !gotFurther;
      },
      onFailedAttempt: ({ error, retriesLeft }) => {
        if (retriesLeft > 0) onRetry?.(error.message);
      },
    });
    await file.sync();
  } finally {
    await file.close();
  }
}

/** One request and its answer, written behind what is there. */
async function fetchOnce(
  url: string,
  path: string,
  file: FileHandle,
  progress: Progress,
  { http, signal, onProgress }: DownloadOptions,
): Promise<void> {
  let response: Response;
  try {
    const validator = progress.bytes > 0 ? progress.partial?.validator : undefined;
    response = await http.get(url, {
      signal,
      headers: validator === undefined ? {} : { range: `bytes=${progress.bytes}-`, 'if-range': validator },
    });
  } catch (error) {
    if (error instanceof HttpFailure && error.status === 416) {
      await restart(file, progress); // what we have is longer than the file is now
      throw error;
    }
    if (error instanceof HttpFailure && error.kind !== 'broken') throw new AbortError(error);
    throw error;
  }
  const start = response.status === 206 ? rangeStart(response.headers.get('content-range')) : 0;
  if (start !== progress.bytes) await restart(file, progress);
  if (start !== 0 && progress.bytes === 0) {
    await response.body?.cancel();
    throw new HttpFailure('broken', 'the server sent another range than asked for');
  }
  const length = Number(response.headers.get('content-length') ?? Number.NaN);
  const totalBytes = Number.isSafeInteger(length) && length > 0 ? progress.bytes + length : undefined;
  const validator = validatorOf(response);
  progress.partial =
    validator === undefined ? undefined : { validator, ...(totalBytes === undefined ? {} : { totalBytes }) };
  if (progress.partial === undefined) await rm(`${path}.json`, { force: true });
  else await writeFileAtomically(`${path}.json`, JSON.stringify(progress.partial));

  try {
    for await (const piece of bodyOf(response)) {
      await file.write(piece, 0, piece.length, progress.bytes);
      progress.hash.update(piece);
      progress.bytes += piece.length;
      onProgress?.({ bytes: progress.bytes, ...(totalBytes === undefined ? {} : { totalBytes }) });
    }
    if (totalBytes !== undefined && progress.bytes < totalBytes) {
      throw new HttpFailure('broken', `the answer ended after ${progress.bytes} of ${totalBytes} bytes`);
    }
  } catch (error) {
    signal.throwIfAborted();
    const host = hostErrorOf(error, path);
    if (host !== undefined) throw new AbortError(host);
    if (progress.partial === undefined) await restart(file, progress);
    throw failureOf(error);
  }
}

async function restart(file: FileHandle, progress: Progress): Promise<void> {
  await file.truncate(0);
  progress.bytes = 0;
  progress.hash = createHash('sha256');
}

/** First byte of `bytes 100-199/200`; -1 when the header is missing or of another form. */
export function rangeStart(header: string | null): number {
  const match = /^bytes (\d+)-\d+\/(?:\d+|\*)$/.exec(header?.trim() ?? '');
  return match === null ? -1 : Number(match[1]);
}

/** A strong ETag, else the time of the last change: what `If-Range` takes. */
function validatorOf(response: Response): string | undefined {
  const tag = response.headers.get('etag');
  if (tag !== null && tag.startsWith('"')) return tag;
  return response.headers.get('last-modified') ?? undefined;
}

export function withoutCredentials(url: string): string {
  return splitCredentials(url).address;
}
