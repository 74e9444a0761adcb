import { readdirSync } from 'node:fs';
import { appendFile, mkdir, readFile, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { createTemporaryFolder, type TemporaryFolder } from '../files.js';
import { formatLabels, parseLabels, placeOfProcesses } from '../process.js';
import { parseJournalEntry } from './journal-entry.js';
import { createJournal, unfinishedSuffix, type Journal } from './journal.js';
import { ownershipLabels, readOwnership, type Ownership } from './ownership.js';

describe('createJournal', () => {
  let temporary: TemporaryFolder;
  let journal: Journal;
  let folder: string;

  beforeEach(async () => {
    temporary = await createTemporaryFolder();
    folder = join(temporary.path, 'journal');
    journal = createJournal({ folder, now: () => new Date('2026-08-24T10:00:00Z') });
  });
  afterEach(async () => {
    await temporary[Symbol.asyncDispose]();
  });

  it('lists what was intended until it is done', async () => {
    const port = await journal.intend({ kind: 'port-lease', port: 20_001 }, { cluster: 'a', runId: 'r1' });
    const made = await journal.intend({ kind: 'resource', driver: 'docker', type: 'volume', name: 'v' }, {});
    expect((await journal.list()).entries).toHaveLength(2);
    await journal.done(port.id);
    await journal.done(port.id);
    expect((await journal.list()).entries).toEqual([made]);
    expect(made).toMatchObject({ createdAt: '2026-08-24T10:00:00.000Z', place: placeOfProcesses() });
  });

  it('adds the process id once it is known and takes the owner away once the thing shall stay', async () => {
    const owner = { pid: 7, startedAt: '1@b' };
    const intended = await journal.intend({ kind: 'process', command: 'etcd' }, { cluster: 'a', owner });
    const identity = { pid: 8, startedAt: '2@b' };
    const started = await journal.update(intended, { thing: { kind: 'process', command: 'etcd', identity } });
    await journal.update(started, { ownership: { owner: undefined, expiresAt: '2026-08-25T00:00:00Z' } });
    expect((await journal.list()).entries).toMatchObject([
      {
        id: intended.id,
        thing: { identity },
        ownership: { cluster: 'a', expiresAt: '2026-08-25T00:00:00Z' },
      },
    ]);
    expect((await journal.list()).entries[0]!.ownership.owner).toBeUndefined();
  });

  it('does not bring back an entry that was done meanwhile', async () => {
    const entry = await journal.intend({ kind: 'process', command: 'etcd' }, {});
    await journal.done(entry.id);
    await journal.update(entry, { ownership: { cluster: 'a' } });
    expect((await journal.list()).entries).toEqual([]);
  });

  it('keeps every entry of many writers at once', async () => {
    const writers = Array.from({ length: 8 }, () => createJournal({ folder }));
    const entries = await Promise.all(
      writers.flatMap((writer) =>
        Array.from({ length: 10 }, (_, port) => writer.intend({ kind: 'port-lease', port }, {})),
      ),
    );
    await Promise.all(entries.filter((_, index) => index % 2 === 0).map((entry) => journal.done(entry.id)));
    expect((await journal.list()).entries).toHaveLength(40);
  });

  it('is empty without a folder', async () => {
    expect(await journal.list()).toEqual({ entries: [], broken: [] });
  });

  it('reports files that are no entries and reads the others', async () => {
    const entry = await journal.intend({ kind: 'cluster-folder', path: '/tmp/x' }, {});
    const torn = await journal.intend({ kind: 'cluster-folder', path: '/tmp/y' }, {});
    await truncate(join(folder, `${torn.id}.json`), 20);
    await writeFile(join(folder, 'other.json'), '{"version":2}');
    await writeFile(join(folder, `${entry.id}.json.1234.tmp`), '{"ver');
    await mkdir(join(folder, 'sub'));
    const { entries, broken } = await journal.list();
    expect(entries).toEqual([entry]);
    expect(broken).toEqual([join(folder, `${torn.id}.json`), join(folder, 'other.json')].sort());
  });

  it('leaves nothing half-written when the folder can not be used', async () => {
    await writeFile(folder, 'a file where the folder should be');
    await expect(journal.intend({ kind: 'port-lease', port: 1 }, {})).rejects.toThrow(/EEXIST|ENOTDIR/);
    expect(readdirSync(temporary.path)).toEqual(['journal']);
  });

  it('sweeps away what killed writers had begun, and leaves finished entries, living writers and other places alone', async () => {
    const { id } = await journal.intend({ kind: 'port-lease', port: 1 }, { runId: 'r1' });
    const dead = unfinishedSuffix({ pid: 4_194_303, startedAt: '1@00000000' });
    const elsewhere = dead.replace(/^\.\w{8}/, '.00000000');
    for (const suffix of [dead, elsewhere, unfinishedSuffix(), '.0badcafe.tmp']) {
      await writeFile(join(folder, `x.json${suffix}`), '{"version"');
    }
    await journal.sweep();
    const left = readdirSync(folder);
    expect(left).toHaveLength(4);
    expect(left).toContain(`${id}.json`);
    expect(left).not.toContain(`x.json${dead}`);
    await createJournal({ folder: join(folder, 'nowhere') }).sweep();
  });

  it('does not read an entry with bytes after its end', async () => {
    const entry = await journal.intend({ kind: 'port-lease', port: 1 }, {});
    const path = join(folder, `${entry.id}.json`);
    expect(parseJournalEntry(await readFile(path, 'utf8'))).toEqual(entry);
    await appendFile(path, '{}');
    expect(parseJournalEntry(await readFile(path, 'utf8'))).toBeUndefined();
  });
});

describe('ownership', () => {
  it('survives the way through labels and an environment variable', () => {
    const text = fc.string({ minLength: 1 });
    const ownership: fc.Arbitrary<Ownership> = fc.record(
      {
        role: text,
        cluster: text,
        folder: text,
        runId: text,
        owner: fc.record({ pid: fc.nat({ max: 4_194_304 }), startedAt: text }),
        expiresAt: text,
      },
      { requiredKeys: [] },
    );
    fc.assert(
      fc.property(ownership, (before) => {
        expect(readOwnership(parseLabels(formatLabels(ownershipLabels(before))))).toEqual(before);
      }),
    );
  });

  it('takes labels of other programs for no ownership', () => {
    expect(readOwnership({ app: 'x', owner: 'somebody' })).toEqual({});
  });
});
