import { randomBytes } from 'node:crypto';
import {
  lstat,
  mkdir,
  mkdtemp,
  open,
  readFile,
  readdir,
  rename,
  rm,
  stat,
  writeFile,
  type FileHandle,
} from 'node:fs/promises';
import { homedir, tmpdir } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';

import { MkCiError, hostErrorOf, systemErrorCode } from './errors.js';
import {
  formatIdentity,
  identifySelf,
  isAlive,
  parseIdentity,
  placeOfProcesses,
  type ProcessIdentity,
} from './process.js';

/** Where mk-ci keeps things between calls. */
export interface Folders {
  /** Bundles, node images, templates: can be deleted at any time and is made again. */
  readonly cache: string;
  /** Clusters, journal, port leases: deleting it while clusters run leaves work for `gc`. */
  readonly state: string;
}

/**
 * Folders by the XDG base directory rules; `MK_CI_HOME` puts both below one folder.
 *
 * @see {@link https://specifications.freedesktop.org/basedir-spec/latest/} for the rules
 */
export function foldersOf(env: Readonly<Record<string, string | undefined>>): Folders {
  if (env['MK_CI_HOME']) return { cache: join(env['MK_CI_HOME'], 'cache'), state: join(env['MK_CI_HOME'], 'state') };
  const home = env['HOME'] || homedir();
  return {
    cache: join(env['XDG_CACHE_HOME'] || join(home, '.cache'), 'mk-ci'),
    state: join(env['XDG_STATE_HOME'] || join(home, '.local', 'state'), 'mk-ci'),
  };
}

/**
 * Makes a folder and those above it; one that is there is left as it is.
 *
 * Not `mkdir` with `recursive`: below a folder that holds no folders of ours, such as `/proc`, Node tries for ever.
 *
 * @throws {MkCiError} `HOST_DISK_FULL`, `HOST_PERMISSION`, also where a file is in the way or no folder can be
 */
export async function makeFolder(path: string, options: { readonly mode?: number } = {}): Promise<void> {
  try {
    await makeFolders(resolve(path), options.mode ?? 0o777);
  } catch (error) {
    throw hostErrorOf(error, path) ?? (systemErrorCode(error) === 'ENOENT' ? noFolderThere(path, error) : error);
  }
}

/** Others may make the same folders, or take them away, at the same time: that is worth a second try, not more. */
async function makeFolders(path: string, mode: number): Promise<void> {
  const parent = dirname(path);
  for (let tries = 1; ; tries += 1) {
    try {
      await mkdir(path, { mode });
      return;
    } catch (error) {
      const info = await stat(path).catch(() => undefined);
      if (info?.isDirectory() === true) return;
      if (info !== undefined) throw Object.assign(new Error(`${path} is not a folder`), { code: 'ENOTDIR' });
      if (systemErrorCode(error) !== 'ENOENT' || parent === path || tries === 3) throw error;
    }
    await makeFolders(parent, mode);
  }
}

function noFolderThere(path: string, cause: unknown): MkCiError {
  return new MkCiError('HOST_PERMISSION', {
    message: `${path} (no folder can be made there)`,
    advice: 'Choose another folder with --out or MK_CI_HOME.',
    cause,
  });
}

/** End of the name of a file that is not written to any more although its permissions allow it: copies may share it. */
export const NEVER_WRITTEN = '.fixed';

const BLOCK_BYTES = 64 * 1024;
const READ_BYTES = 16 * BLOCK_BYTES;
const ZEROS = Buffer.alloc(BLOCK_BYTES);

/**
 * Reads a file in blocks of 64 KiB and passes over those that are all zeros: where the others are written to the same offsets of
 * a new file, holes stay holes.
 *
 * @param use is given each block before the next one is read, into the same memory
 * @returns length of the file in bytes
 */
export async function forEachFilledBlock(
  source: FileHandle,
  use: (block: Buffer, offset: number) => Promise<void>,
): Promise<number> {
  const buffer = Buffer.allocUnsafe(READ_BYTES);
  let bytes = 0;
  for (;;) {
    const { bytesRead } = await source.read(buffer, 0, READ_BYTES, bytes);
    if (bytesRead === 0) return bytes;
    for (let start = 0; start < bytesRead; start += BLOCK_BYTES) {
      const block = buffer.subarray(start, Math.min(start + BLOCK_BYTES, bytesRead));
      if (!block.equals(ZEROS.subarray(0, block.length))) await use(block, bytes + start);
    }
    bytes += bytesRead;
  }
}

/**
 * Writes a file so that a reader sees the old content or the new one, never a part: a temporary file beside it, synced
 * and renamed.
 *
 * @throws {MkCiError} `HOST_DISK_FULL`, `HOST_PERMISSION`; nothing is left behind
 */
export async function writeFileAtomically(
  path: string,
  content: string | Uint8Array,
  options: { readonly mode?: number } = {},
): Promise<void> {
  const temporary = join(dirname(path), `.${randomBytes(6).toString('hex')}.tmp`);
  try {
    await makeFolder(dirname(path));
    const file = await open(temporary, 'wx', options.mode ?? 0o644);
    try {
      await file.writeFile(content);
      await file.datasync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw hostErrorOf(error, path) ?? error;
  }
}

/** A folder that is removed, with all in it, when disposed. One that a killed process left is found by `mk-ci gc`. */
export interface TemporaryFolder extends AsyncDisposable {
  readonly path: string;
}

/** Beside what is in a temporary folder: place and process that made it. */
const OWNER_FILE = '.owner';
const TEMPORARY_PREFIX = 'mk-ci-';

export async function createTemporaryFolder(
  prefix = TEMPORARY_PREFIX,
  parent: string = tmpdir(),
): Promise<TemporaryFolder> {
  try {
    await makeFolder(parent);
    const folder = await mkdtemp(join(parent, prefix));
    await writeFile(join(folder, OWNER_FILE), `${placeOfProcesses()}\n${formatIdentity(identifySelf())}\n`);
    const path = join(folder, 'files');
    await mkdir(path);
    return {
      path,
      [Symbol.asyncDispose]: async () => {
        await rm(folder, { recursive: true, force: true, maxRetries: 3 });
      },
    };
  } catch (error) {
    throw hostErrorOf(error, parent) ?? error;
  }
}

/** A temporary folder as its maker has marked it. */
export interface OwnedFolder {
  readonly path: string;
  /** Where the number of its maker means something, see {@link placeOfProcesses}. */
  readonly place: string;
  readonly owner: ProcessIdentity;
}

/** Folders of {@link createTemporaryFolder} that processes of this user made. One that says of nobody is left out. */
export async function listTemporaryFolders(
  parent: string = tmpdir(),
  prefix = TEMPORARY_PREFIX,
): Promise<OwnedFolder[]> {
  const entries = await readdir(parent, { withFileTypes: true });
  const found = await Promise.all(
    entries
      .filter((entry) => entry.isDirectory() && entry.name.startsWith(prefix))
      .map(async ({ name }) => {
        const path = join(parent, name);
        // Gone, not written yet, or of another user who keeps it to himself.
        const status = await lstat(path).catch(() => undefined);
        if (status === undefined || status.uid !== (process.getuid?.() ?? status.uid)) return [];
        const [place = '', identity = ''] = (await readFile(join(path, OWNER_FILE), 'utf8').catch(() => '')).split(
          '\n',
        );
        const owner = parseIdentity(identity);
        return owner === undefined ? [] : [{ path, place, owner }];
      }),
  );
  return found.flat();
}

/**
 * Makes a folder anew, beside first and then in place: whoever looks sees the old one or the whole new one. Of two that
 * do so at once, the last one stays. Cut off between its two moves, the old one is left in the hidden folder beside; once the
 * next one is in place, what dead processes left beside goes.
 *
 * @param write fills the folder it is given, which has the same name
 * @throws {MkCiError} `HOST_DISK_FULL`, `HOST_PERMISSION`, and what `write` throws; then the old folder is as it was
 */
export async function replaceFolder(path: string, write: (temporary: string) => Promise<void>): Promise<void> {
  await using work = await createTemporaryFolder(`.${basename(path)}-`, dirname(path));
  const fresh = join(work.path, basename(path));
  try {
    await mkdir(fresh);
    await write(fresh);
    for (let tries = 1; !(await moveIfFree(fresh, path)); tries += 1)
      await rename(path, join(work.path, `old-${tries}`)).catch(ignoreMissing);
    await removeAbandoned(path);
  } catch (error) {
    throw hostErrorOf(error, path) ?? error;
  }
}

/** Hidden folders of {@link replaceFolder} for the same path whose process has ended. */
async function removeAbandoned(path: string): Promise<void> {
  const prefix = `.${basename(path)}-`;
  for (const folder of await listTemporaryFolders(dirname(path), prefix)) {
    const isOfThisPath = basename(folder.path).length === prefix.length + MKDTEMP_CHARACTERS;
    if (!isOfThisPath || folder.place !== placeOfProcesses() || isAlive(folder.owner)) continue;
    await rm(folder.path, { recursive: true, force: true, maxRetries: 3 });
  }
}

/** Random ones at the end of a name. */
const MKDTEMP_CHARACTERS = 6;

/** @returns false when there is a folder with content under the name */
async function moveIfFree(from: string, to: string): Promise<boolean> {
  try {
    await rename(from, to);
    return true;
  } catch (error) {
    if (['ENOTEMPTY', 'EEXIST'].includes(systemErrorCode(error) ?? '')) return false;
    throw error;
  }
}

function ignoreMissing(error: unknown): void {
  if (systemErrorCode(error) !== 'ENOENT') throw error;
}
