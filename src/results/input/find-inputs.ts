import { createReadStream } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { join, sep } from 'node:path';

import { MkCiError, hostErrorOf, systemErrorCode } from '../../errors.js';
import { globBase, globPattern, isGlob } from './glob.js';

/** Something to read, named as the user named it. */
export interface FoundInput {
  /** Path, or `-` for standard input. */
  readonly path: string;
  /** A run folder: `path` is the folder, its record is read. */
  readonly isRun: boolean;
  /** Found in a folder and not named: what it is not is not an error. */
  readonly isOptional: boolean;
  open(): AsyncIterable<Uint8Array>;
}

export interface FindInputsOptions {
  readonly stdin: AsyncIterable<Uint8Array>;
  /** Most files taken from one folder or glob. @default 10000 */
  readonly maxFiles?: number;
}

/**
 * What the words on the command line mean: `-` standard input, a file, a folder with the record of a run, any other
 * folder (all files in it, hidden ones left out), a glob with `*`, `**`, `?`, `[…]`, `{a,b}`.
 *
 * @returns one list for each word, or the error that the word gave
 */
export async function findInputs(
  words: readonly string[],
  options: FindInputsOptions,
): Promise<readonly (FoundInput | { readonly path: string; readonly error: MkCiError })[]> {
  const found: (FoundInput | { readonly path: string; readonly error: MkCiError })[] = [];
  for (const word of words) {
    try {
      found.push(...(await findOne(word, options)));
    } catch (error) {
      if (!(error instanceof MkCiError)) throw error;
      found.push({ path: word, error });
    }
  }
  return found;
}

async function findOne(word: string, { stdin, maxFiles = 10_000 }: FindInputsOptions): Promise<FoundInput[]> {
  if (word === '-') return [{ path: '-', isRun: false, isOptional: false, open: () => stdin }];
  const kind = await kindOf(word);
  if (kind === 'file') return [fileInput(word, false)];
  if (kind === 'folder') {
    const inputs = await filesBelow(word, () => true, maxFiles);
    if (inputs.length === 0) throw new MkCiError('CLI_NO_INPUT', { message: `${word} holds no file` });
    return inputs;
  }
  if (!isGlob(word)) throw new MkCiError('CLI_NO_INPUT', { message: word });
  const pattern = globPattern(word);
  const inputs = await filesBelow(globBase(word), (path) => pattern.test(path), maxFiles);
  if (inputs.length === 0) throw new MkCiError('CLI_NO_INPUT', { message: `nothing matches ${word}` });
  return inputs.map((input) => ({ ...input, isOptional: false }));
}

function fileInput(path: string, isOptional: boolean): FoundInput {
  return { path, isRun: false, isOptional, open: () => readFileBytes(path) };
}

async function* readFileBytes(path: string): AsyncGenerator<Uint8Array> {
  try {
    yield* createReadStream(path, { highWaterMark: 256 * 1024 }) as AsyncIterable<Buffer>;
  } catch (error) {
    throw hostErrorOf(error, path) ?? new MkCiError('CLI_NO_INPUT', { message: path, cause: error });
  }
}

async function kindOf(path: string): Promise<'file' | 'folder' | undefined> {
  try {
    return (await stat(path)).isDirectory() ? 'folder' : 'file';
  } catch (error) {
    const code = systemErrorCode(error);
    if (code === 'ENOENT' || code === 'ENOTDIR' || code === 'ENAMETOOLONG') return undefined;
    throw hostErrorOf(error, path) ?? new MkCiError('CLI_NO_INPUT', { message: path, cause: error });
  }
}

/** Files below a folder in the order of their names; a folder that holds a run is one input. */
async function filesBelow(root: string, isWanted: (path: string) => boolean, max: number): Promise<FoundInput[]> {
  const inputs: FoundInput[] = [];
  const walk = async (folder: string, depth: number): Promise<void> => {
    const entries = await list(folder);
    if (entries.some((entry) => entry.isFile() && entry.name === 'events.jsonl')) {
      const record = join(folder, 'events.jsonl');
      if (isWanted(folder) || isWanted(record)) {
        inputs.push({ path: folder, isRun: true, isOptional: false, open: () => readFileBytes(record) });
        return;
      }
    }
    for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
      if (entry.name.startsWith('.') || entry.name === 'node_modules') continue;
      const path = folder === '.' ? entry.name : join(folder, entry.name);
      // Links to folders are not followed: they may lead back here.
      if (entry.isDirectory()) {
        if (depth < 32) await walk(path, depth + 1);
      } else if ((entry.isFile() || (entry.isSymbolicLink() && (await kindOf(path)) === 'file')) && isWanted(path)) {
        if (inputs.length >= max) {
          throw new MkCiError('RES_TOO_LARGE', { message: `${root} holds more than ${String(max)} files` });
        }
        inputs.push(fileInput(path, true));
      }
    }
  };
  await walk(root, 0);
  return inputs;
}

async function list(folder: string) {
  try {
    return await readdir(folder === '' ? sep : folder, { withFileTypes: true });
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return [];
    throw hostErrorOf(error, folder) ?? new MkCiError('CLI_NO_INPUT', { message: folder, cause: error });
  }
}
