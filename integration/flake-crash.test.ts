/**
 * The flake database when things go wrong: killed writers, several at once, a full disk. Needs nothing but this host; the
 * full disk needs root, because a small tmpfs is mounted for it.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';

import { describe, expect, it } from 'vitest';

import { createTemporaryFolder } from '../src/files.js';
import { openFlakeStore } from '../src/flake/index.js';
import { results, runRecord } from '../src/flake/store/store-contract.test-kit.js';
import { writeRuns } from './support/flake-writer.js';
import { expectWritersToTakeTurns } from './support/flake-writers.js';

async function uidsOf(database: string): Promise<string[]> {
  await using store = await openFlakeStore(database, { readonly: true });
  const uids: string[] = [];
  for await (const { uid } of store.readRuns()) uids.push(uid);
  return uids;
}

it('loses no committed run and is sound when writers are killed in the middle of a thousand writes', async () => {
  await using temporary = await createTemporaryFolder();
  const database = join(temporary.path, 'flake.db');
  for (const [round, killAt] of [37, 211, 500].entries()) {
    const { committed, exitCode } = await writeRuns({
      database,
      prefix: `round-${round}`,
      runs: 1000,
      tests: 20,
      onRun: (count, kill) => {
        if (count === killAt) kill();
      },
    });
    expect(exitCode).toBe(null);
    expect(await uidsOf(database)).toEqual(expect.arrayContaining([...committed]));
    await using store = await openFlakeStore(database);
    expect(await store.check()).toEqual([]);
    const live = await store.counts();
    await store.rebuildRollup();
    expect(await store.counts()).toEqual(live);
  }
});

it('lets two processes write at once and stores what both bring once', async () => {
  await using temporary = await createTemporaryFolder();
  const database = join(temporary.path, 'flake.db');
  await expectWritersToTakeTurns(database, { runs: 150, tests: 20 });
});

const isRoot = process.getuid?.() === 0;
describe.skipIf(!isRoot)('on a full disk (skipped: needs root to mount a tmpfs)', () => {
  it('says HOST_DISK_FULL, keeps what was committed and goes on when there is room', async () => {
    await using temporary = await createTemporaryFolder();
    const folder = join(temporary.path, 'small');
    mkdirSync(folder);
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=2m', 'tmpfs', folder]);
    try {
      const database = join(folder, 'flake.db');
      const store = await openFlakeStore(database);
      let committed = 0;
      const fill = async (): Promise<void> => {
        for (;;) {
          const many = Array.from({ length: 200 }, (_, index) => `Test-${committed}-${index}:FP`);
          await store.write([runRecord({ uid: `run-${committed}`, results: results(...many) })]);
          committed += 1;
        }
      };
      await expect(fill()).rejects.toMatchObject({ code: 'HOST_DISK_FULL' });
      expect(committed).toBeGreaterThan(0);
      execFileSync('mount', ['-o', 'remount,size=32m', folder]);
      expect(await store.write([runRecord({ uid: 'after', results: results('A:F') })])).toMatchObject({ runs: 1 });
      await store.close();
      expect(await uidsOf(database)).toHaveLength(committed + 1);
      await using again = await openFlakeStore(database);
      expect(await again.check()).toEqual([]);
    } finally {
      execFileSync('umount', [folder]);
    }
  });
});
