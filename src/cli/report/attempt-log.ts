import { createReadStream } from 'node:fs';
import { join } from 'node:path';
import { StringDecoder } from 'node:string_decoder';

import { isMkCiError, systemErrorCode } from '../../errors.js';
import { LineCutter } from '../../results/readers/document/lines.js';
import { readInput } from '../../results/input/index.js';
import type { Format, ReadEvent } from '../../results/index.js';

/** Formats in which output and results share one stream; all others come from files, beside output for people. */
const STREAM_FORMATS: readonly Format[] = ['go-json', 'go-text', 'tap'];

export interface AttemptLogOptions {
  /** Format that the attempt's results were read with. */
  readonly format: string | undefined;
  readonly add: (event: ReadEvent) => void;
  /** Waited for after each piece, so that memory stays bounded. */
  readonly drain: () => Promise<void>;
  readonly signal: AbortSignal;
}

/**
 * Reads what an attempt of a suite printed once more, from its folder: standard output by its format, so that lines
 * belong to tests, or as plain lines; then standard error. Files that are not there are left out.
 */
export async function readAttemptLog(folder: string, options: AttemptLogOptions): Promise<void> {
  const format = STREAM_FORMATS.find((known) => known === options.format);
  const stdout = join(folder, 'stdout.log');
  try {
    if (format === undefined) await readPlain(stdout, 'stdout', options);
    else
      await readInput(createReadStream(stdout), {
        format,
        signal: options.signal,
        emit: options.add,
        drain: options.drain,
      });
  } catch (error) {
    // An output that is gone, empty or not of its format leaves the results as they are.
    if (!isUnreadable(error)) throw error;
  }
  try {
    await readPlain(join(folder, 'stderr.log'), 'stderr', options);
  } catch (error) {
    if (!isUnreadable(error)) throw error;
  }
}

async function readPlain(path: string, stream: 'stdout' | 'stderr', options: AttemptLogOptions): Promise<void> {
  const decoder = new StringDecoder('utf8');
  const lines = new LineCutter((text, partial) => {
    options.add({ type: 'output', stream, text, ...(partial ? { partial } : {}) });
  });
  for await (const piece of createReadStream(path) as AsyncIterable<Buffer>) {
    options.signal.throwIfAborted();
    lines.write(decoder.write(piece));
    await options.drain();
  }
  lines.write(decoder.end());
  lines.end();
}

function isUnreadable(error: unknown): boolean {
  return systemErrorCode(error) === 'ENOENT' || (isMkCiError(error) && error.code.startsWith('RES_'));
}
