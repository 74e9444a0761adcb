import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { copyFile, readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { hostErrorOf, MkCiError, systemErrorCode } from '../../errors.js';
import { download, withoutCredentials, type DownloadOptions } from './download.js';
import { hashFile } from './hash-file.js';
import { HttpFailure, type HttpClient } from './http.js';

/** Reading from `http:`, `https:` and `file:` addresses in one way, so that a mirror is a folder or a server alike. */
export interface ContentReader {
  /** @throws {HttpFailure}, for `file:` too: `refused` with status 404 when there is no such file */
  readText(url: string, signal: AbortSignal): Promise<string>;
  /**
   * Brings a file whose sum is known into the work folder.
   *
   * @throws {HttpFailure} as {@link readText}; {MkCiError} `BND_CHECKSUM`, `HOST_DISK_FULL`, `HOST_PERMISSION`
   */
  readFile(url: string, options: FileOptions): Promise<{ path: string; sizeBytes: number }>;
}

export type FileOptions = Omit<DownloadOptions, 'http'>;

export function createContentReader(http: HttpClient): ContentReader {
  return {
    readText: async (url, signal) => {
      if (!url.startsWith('file:')) return await http.getText(url, { signal });
      try {
        return await readFile(fileURLToPath(url), { encoding: 'utf8', signal });
      } catch (error) {
        signal.throwIfAborted();
        throw localFailure(error);
      }
    },
    readFile: async (url, options) => {
      if (!url.startsWith('file:')) return await download(url, { http, ...options });
      return await copyChecked(fileURLToPath(url), options);
    },
  };
}

async function copyChecked(from: string, options: FileOptions): Promise<{ path: string; sizeBytes: number }> {
  const { workFolder, sha256, signal, onProgress } = options;
  const path = join(workFolder, `${basename(from)}-${createHash('sha256').update(from).digest('hex').slice(0, 8)}`);
  try {
    await copyFile(from, path, constants.COPYFILE_FICLONE);
  } catch (error) {
    signal.throwIfAborted();
    const code = systemErrorCode(error);
    if (code === 'ENOENT' || code === 'ENOTDIR' || code === 'EISDIR') throw localFailure(error);
    throw hostErrorOf(error, code === 'EACCES' ? from : path) ?? error;
  }
  // The copy is what will be used, so the copy is what is hashed.
  const found = await hashFile(path, signal);
  if (found.sha256 !== sha256) {
    throw new MkCiError('BND_CHECKSUM', { message: `${from} has sha256 ${found.sha256}, published is ${sha256}` });
  }
  onProgress?.({ bytes: found.sizeBytes, totalBytes: found.sizeBytes });
  return { path, sizeBytes: found.sizeBytes };
}

function localFailure(error: unknown): Error {
  const code = systemErrorCode(error);
  if (code === 'ENOENT' || code === 'ENOTDIR' || code === 'EISDIR') {
    return new HttpFailure('refused', 'no such file', { status: 404, cause: error });
  }
  return new HttpFailure('refused', code ?? String(error), { cause: error });
}

/** An address fit to be shown and kept: without credentials, a `file:` address as path. */
export function displayUrl(url: string): string {
  return url.startsWith('file:') ? fileURLToPath(url) : withoutCredentials(url);
}
