import { createHash, randomBytes } from 'node:crypto';
import { access, open, readFile, readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';

import { hostErrorOf, systemErrorCode } from '../errors.js';
import { makeFolder } from '../files.js';
import {
  formatIdentity,
  identifySelf,
  isAlive,
  parseIdentity,
  placeOfProcesses,
  type ProcessIdentity,
} from '../process.js';
import type { Ownership } from './ownership.js';

/**
 * Write-ahead journal of everything on this host that can outlive the process that made it.
 *
 * The intent is written before the act and taken away after the removal, so at any moment the journal names at least what
 * exists, and at most one thing more per worker. One small file a thing, written beside and renamed: a `kill -9` leaves
 * the whole entry or none, writers never wait for each other, and there is nothing to compact. The price, a file and a
 * rename per thing, is some tenths of a millisecond.
 */
export interface Journal {
  /** Notes that `thing` is about to be made. */
  intend(thing: JournalThing, ownership: Ownership): Promise<JournalEntry>;
  /**
   * Changes an entry: the process id once it is known; `owner: undefined` once a cluster is up and shall outlive the
   * command that started it. An entry that is gone stays gone.
   *
   * @returns the entry as it is now
   */
  update(entry: JournalEntry, change: JournalChange): Promise<JournalEntry>;
  /** The thing is gone. Succeeds when it was noted before. */
  done(id: string): Promise<void>;
  /** Everything noted and not done, oldest first. */
  list(): Promise<JournalContent>;
  /** Removes files that processes had begun to write when they were killed: nothing was made of what they would have noted. */
  sweep(): Promise<void>;
}

/** What is noted. `resource` is anything a driver makes: container, volume, network, virtual machine, snapshot. */
export type JournalThing =
  | { readonly kind: 'cluster-folder'; readonly path: string }
  | { readonly kind: 'process'; readonly command: string; readonly identity?: ProcessIdentity }
  | { readonly kind: 'port-lease'; readonly port: number }
  | { readonly kind: 'resource'; readonly driver: string; readonly type: string; readonly name: string };

export interface JournalEntry {
  readonly version: 1;
  readonly id: string;
  readonly createdAt: string;
  /** Where process numbers mean something: see {@link placeOfProcesses}. */
  readonly place: string;
  readonly thing: JournalThing;
  readonly ownership: Ownership;
}

export interface JournalChange {
  readonly thing?: JournalThing;
  /** Keys given here replace those of the entry; `undefined` takes one away. */
  readonly ownership?: { readonly [Key in keyof Ownership]?: Ownership[Key] | undefined };
}

export interface JournalContent {
  readonly entries: readonly JournalEntry[];
  /** Files that can not be read as entries: of a newer mk-ci, or torn by a power cut. */
  readonly broken: readonly string[];
}

export interface JournalOptions {
  readonly folder: string;
  /** @default () => new Date() */
  readonly now?: () => Date;
}

export function createJournal({ folder, now = () => new Date() }: JournalOptions): Journal {
  const pathOf = (id: string): string => join(folder, `${id}.json`);
  return {
    intend: async (thing, ownership) => {
      const createdAt = now().toISOString();
      // Names sort by time, so that what was made first is listed first.
      const id = `${createdAt.replace(/\D/g, '')}-${randomBytes(5).toString('hex')}`;
      const entry: JournalEntry = { version: 1, id, createdAt, place: placeOfProcesses(), thing, ownership };
      await writeEntry(folder, pathOf(id), entry);
      return entry;
    },
    update: async (entry, { thing = entry.thing, ownership = {} }) => {
      const merged = Object.entries({ ...entry.ownership, ...ownership }).filter(([, value]) => value !== undefined);
      const changed: JournalEntry = { ...entry, thing, ownership: Object.fromEntries(merged) };
      if (await exists(pathOf(entry.id))) await writeEntry(folder, pathOf(entry.id), changed);
      return changed;
    },
    done: async (id) => {
      await rm(pathOf(id), { force: true });
    },
    list: async () => await readJournal(folder),
    sweep: async () => {
      for (const name of await readdir(folder).catch(emptyWhenAbsent)) {
        const writer = writerOf(name);
        if (writer !== undefined && !isAlive(writer)) await rm(join(folder, name), { force: true });
      }
    },
  };
}

/** End of the name of a file that this process is writing. Of the place only so much that another one has another. */
export function unfinishedSuffix(writer: ProcessIdentity = identifySelf()): string {
  const words = [
    placeDigest(),
    randomBytes(4).toString('hex'),
    Buffer.from(formatIdentity(writer)).toString('base64url'),
  ];
  return `.${words.join('.')}.tmp`;
}

/** @returns `undefined` for finished files, and for those of another place, whose processes can not be looked for here */
function writerOf(name: string): ProcessIdentity | undefined {
  const [, place, identity = ''] = /\.json\.([0-9a-f]{8})\.[0-9a-f]{8}\.([\w-]+)\.tmp$/.exec(name) ?? [];
  return place === placeDigest() ? parseIdentity(Buffer.from(identity, 'base64url').toString()) : undefined;
}

function placeDigest(): string {
  return createHash('sha256').update(placeOfProcesses()).digest('hex').slice(0, 8);
}

async function readJournal(folder: string): Promise<JournalContent> {
  // The schema library is loaded only by those who read: starting a cluster just writes.
  const { parseJournalEntry } = await import('./journal-entry.js');
  const names = (await readdir(folder).catch(emptyWhenAbsent)).filter((name) => name.endsWith('.json')).sort();
  const entries: JournalEntry[] = [];
  const broken: string[] = [];
  for (const name of names) {
    const path = join(folder, name);
    const text = await readFile(path, 'utf8').catch((error: unknown) => {
      if (systemErrorCode(error) === 'ENOENT') return undefined; // done meanwhile
      throw hostErrorOf(error, path) ?? error;
    });
    if (text === undefined) continue;
    const entry = parseJournalEntry(text);
    if (entry === undefined) broken.push(path);
    else entries.push(entry);
  }
  return { entries, broken };
}

async function writeEntry(folder: string, path: string, entry: JournalEntry): Promise<void> {
  const temporary = `${path}${unfinishedSuffix()}`;
  try {
    await makeFolder(folder);
    const file = await open(temporary, 'wx', 0o600);
    try {
      await file.writeFile(`${JSON.stringify(entry)}\n`);
      // Processes and port leases do not survive a power cut, so their entries need not either.
      if (entry.thing.kind !== 'process' && entry.thing.kind !== 'port-lease') await file.datasync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw hostErrorOf(error, path) ?? error;
  }
}

async function exists(path: string): Promise<boolean> {
  return await access(path).then(
    () => true,
    () => false,
  );
}

function emptyWhenAbsent(error: unknown): string[] {
  if (systemErrorCode(error) === 'ENOENT') return [];
  throw error;
}
