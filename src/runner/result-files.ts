import { createReadStream } from 'node:fs';
import { open, readdir, stat } from 'node:fs/promises';
import { join, relative, sep } from 'node:path';

import { globPattern } from '../results/input/index.js';
import type { Emit, Format } from '../results/reader.js';
import { createOutputReader, type Formats } from './output-reader.js';

/** Formats of files that suites write beside their output; text formats are not guessed from files. */
const FILE_FORMATS: readonly Format[] = [
  'junit',
  'ctrf',
  'vitest-json',
  'jest-json',
  'mocha-json',
  'playwright-json',
  'go-json',
  'xunit',
  'nunit',
  'trx',
];
const MAX_FILES = 1000;

export interface ResultFileOptions {
  /** Folder of the attempt's artifacts. */
  readonly folder: string;
  /** Globs below it; without them, every `.xml`, `.json` and `.trx` file whose content is a known format. */
  readonly patterns?: readonly string[];
  /** Format of the files named by patterns. */
  readonly format: Format | 'auto';
  readonly formats: Formats;
  readonly emit: Emit;
  readonly timedOut: boolean;
  /** Folder that paths of test files are made relative to. */
  readonly baseFolder: string;
}

/**
 * Reads the result files that a suite left.
 *
 * @returns the files read, below the folder, with their formats; files of no known format are passed over
 */
export async function readResultFiles(
  options: ResultFileOptions,
): Promise<readonly { readonly path: string; readonly format: Format }[]> {
  const patterns = options.patterns?.map((pattern) => globPattern(pattern.replace(/^\.\//, '')));
  const all = await listFiles(options.folder);
  const wanted = all
    .filter((path) =>
      patterns === undefined ? /\.(xml|json|jsonl|trx)$/i.test(path) : patterns.some((pattern) => pattern.test(path)),
    )
    .slice(0, MAX_FILES);
  const read: { path: string; format: Format }[] = [];
  for (const path of wanted) {
    const full = join(options.folder, ...path.split('/'));
    const format = await formatOf(full, options);
    if (format === undefined) continue;
    const reader = await createOutputReader({
      formats: options.formats,
      format,
      emit: options.emit,
      baseFolder: options.baseFolder,
    });
    for await (const piece of createReadStream(full) as AsyncIterable<Buffer>) await reader.write(piece);
    await reader.end({ timedOut: options.timedOut });
    read.push({ path, format });
  }
  return read;
}

async function formatOf(path: string, options: ResultFileOptions): Promise<Format | undefined> {
  if (options.format !== 'auto' && options.patterns !== undefined) return options.format;
  const file = await open(path);
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(64 * 1024), 0, 64 * 1024, 0);
    const found = options.formats.detect(buffer.toString('utf8', 0, bytesRead))?.format;
    if (options.format !== 'auto') return found === options.format ? found : undefined;
    return found !== undefined && FILE_FORMATS.includes(found) ? found : undefined;
  } finally {
    await file.close();
  }
}

async function listFiles(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const files: string[] = [];
  for (const entry of entries) {
    const path = join(entry.parentPath, entry.name);
    const isFile = entry.isFile() || (entry.isSymbolicLink() && (await isRegularFile(path)));
    if (isFile) files.push(relative(folder, path).split(sep).join('/'));
  }
  return files.sort();
}

async function isRegularFile(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isFile();
  } catch {
    return false; // a link to nothing
  }
}
