import { open, readdir } from 'node:fs/promises';
import { join, relative, sep } from 'node:path';
import { StringDecoder } from 'node:string_decoder';

import { systemErrorCode } from '../errors.js';
import type { Report, ReportLog } from './report.js';

const PIECE_BYTES = 1 << 16;

/**
 * Reads the logs that a run saved of its clusters (`clusters/<environment>/…`) into a report, each in its own tab.
 * Files that are empty or hold NUL bytes near their start (databases, archives) are left out.
 *
 * @param clustersDir the `clusters` folder of a run; it may be absent
 * @returns how many logs were taken
 */
export async function addClusterLogs(report: Report, clustersDir: string, signal?: AbortSignal): Promise<number> {
  let taken = 0;
  for (const environment of await namesIn(clustersDir)) {
    for await (const file of filesBelow(join(clustersDir, environment))) {
      signal?.throwIfAborted();
      const title = relative(join(clustersDir, environment), file).split(sep).join('/');
      if (await addFile(report, { environment, title, file }, signal)) taken += 1;
    }
  }
  return taken;
}

async function namesIn(folder: string): Promise<string[]> {
  try {
    const entries = await readdir(folder, { withFileTypes: true });
    return entries
      .filter((entry) => entry.isDirectory())
      .map(({ name }) => name)
      .sort();
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT' || systemErrorCode(error) === 'ENOTDIR') return [];
    throw error;
  }
}

/** Regular files below a folder, sorted; links are not followed. */
async function* filesBelow(folder: string): AsyncGenerator<string> {
  const entries = await readdir(folder, { withFileTypes: true });
  for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
    if (entry.isDirectory()) yield* filesBelow(join(folder, entry.name));
    else if (entry.isFile()) yield join(folder, entry.name);
  }
}

async function addFile(
  report: Report,
  { environment, title, file }: { readonly environment: string; readonly title: string; readonly file: string },
  signal: AbortSignal | undefined,
): Promise<boolean> {
  const handle = await open(file, 'r');
  try {
    const buffer = Buffer.alloc(PIECE_BYTES);
    let log: ReportLog | undefined;
    const decoder = new StringDecoder('utf8');
    let atLineStart = true;
    for (;;) {
      signal?.throwIfAborted();
      const { bytesRead } = await handle.read(buffer, 0, PIECE_BYTES);
      if (bytesRead === 0) break;
      const bytes = buffer.subarray(0, bytesRead);
      if (log === undefined && bytes.subarray(0, 4096).includes(0)) return false;
      log ??= report.clusterLog({ environment, title });
      const lines = decoder.write(bytes).split('\n');
      const rest = lines.pop() ?? '';
      for (const line of lines) log.line(line.endsWith('\r') ? line.slice(0, -1) : line);
      if (rest !== '') log.partialLine(rest);
      atLineStart = rest === '' && (lines.length > 0 || atLineStart);
      await log.drain();
    }
    if (log === undefined) return false;
    const tail = decoder.end();
    if (!atLineStart || tail !== '') log.line(tail);
    await log.end();
    return true;
  } finally {
    await handle.close();
  }
}
