import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { openFlakeStore } from '../store/open.js';
import { SqliteDatabase } from '../store/sqlite-library.js';
import { DAY_MS, type RunRecord } from '../store/record.js';
import { results, runRecord } from '../store/store-contract.test-kit.js';
import type { FlakeStore } from '../store/store.js';
import type { ChartStore } from './page-query.js';
import { readTestPage } from './read-test.js';
import { readEnvironmentPage, readOverview } from './read.js';

const ENVIRONMENTS = ['docker', 'podman', 'qemu'];
const FIRST_DAY = Math.floor(Date.UTC(2026, 0, 1) / DAY_MS);

const record = fc
  .record({
    uid: fc.integer({ min: 1, max: 6 }),
    environment: fc.constantFrom(...ENVIRONMENTS),
    day: fc.integer({ min: 0, max: 3 }),
    commit: fc.constantFrom('c1', 'c2', 'c3'),
    position: fc.option(fc.integer({ min: 1, max: 3 }), { nil: undefined }),
    outcome: fc.constantFrom('A:F B:P', 'A:P B:P', 'A:FP B:F', 'A:P'),
    complete: fc.boolean(),
    pullRequest: fc.option(fc.constant(7), { nil: undefined }),
  })
  .map(({ uid, environment, day, commit, position, outcome, complete, pullRequest }): RunRecord => ({
    ...runRecord({ uid: `${environment}-${uid}`, results: results(...outcome.split(' ')) }),
    environment,
    startedAtMs: (FIRST_DAY + day) * DAY_MS + uid,
    commit: { sha: commit, ...(position === undefined ? {} : { position }) },
    complete,
    ...(pullRequest === undefined ? {} : { pullRequest }),
  }));

const step = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({ kind: fc.constant('write' as const), records: fc.array(record, { maxLength: 3 }) }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant('import' as const), records: fc.array(record, { maxLength: 3 }) }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('prune' as const), day: fc.integer({ min: 0, max: 2 }) }) },
);

/** What readers see, or that there is nothing. */
async function pagesOf(store: ChartStore): Promise<unknown[]> {
  const reads = [
    readOverview(store, { days: 10 }),
    readOverview(store, { days: 10, runs: 'base' }),
    ...ENVIRONMENTS.map(async (environment) => await readEnvironmentPage(store, environment, { days: 10 })),
    ...ENVIRONMENTS.map(async (environment) => await readTestPage(store, { environment, test: 'A' }, { days: 10 })),
  ];
  return (await Promise.allSettled(reads)).map((read) =>
    read.status === 'fulfilled' ? read.value : String(read.reason),
  );
}

describe('what is remembered of environments', () => {
  it('is what a reader without a memory sees, whatever was written in between and by whom', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 8 }), async (steps) => {
        const folder = mkdtempSync(join(tmpdir(), 'mk-ci-memo-'));
        try {
          const path = join(folder, 'flake.db');
          await using writer = await openFlakeStore(path);
          await using reader = await openFlakeStore(path, { readonly: true });
          await pagesOf(writer);
          for (const one of steps) {
            if (one.kind === 'prune') await writer.prune((FIRST_DAY + one.day) * DAY_MS);
            else await writer.write(one.records, { rollup: one.kind === 'write' ? 'live' : 'deferred' });
            if (one.kind === 'import') await writer.rebuildRollup();
            await using fresh = await openFlakeStore(path, { readonly: true });
            const expected = await pagesOf(fresh);
            expect(await pagesOf(reader)).toEqual(expected);
            expect(await pagesOf(writer)).toEqual(expected);
          }
        } finally {
          rmSync(folder, { recursive: true, force: true });
        }
      }),
      { numRuns: 15 },
    );
  }, 120_000);

  it('is read again only of the environment that changed', async () => {
    await using store = await openFlakeStore(':memory:');
    for (const environment of ENVIRONMENTS) {
      await store.write([{ ...runRecord({ uid: environment, results: results('A:F') }), environment }]);
    }
    const versions = async (): Promise<string[]> => (await store.environments()).map(({ version }) => version);
    const before = await versions();
    await store.write([{ ...runRecord({ uid: 'more', results: results('A:P') }), environment: 'podman' }]);
    const after = await versions();
    expect(after.map((version, index) => version === before[index])).toEqual([true, false, true]);
  });

  it('is not kept over any change in a file of an earlier schema that is only read', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'mk-ci-memo-'));
    try {
      const path = join(folder, 'flake.db');
      const make = async (): Promise<FlakeStore> => await openFlakeStore(path);
      await using writer = await make();
      await writer.write([{ ...runRecord({ uid: 'a', results: results('A:F') }), environment: 'docker' }]);
      await writer.close();
      const old = new SqliteDatabase(path);
      old.exec('ALTER TABLE environment DROP COLUMN version');
      old.pragma('user_version = 6');
      await using reader = await openFlakeStore(path, { readonly: true });
      expect((await readOverview(reader)).totals).toMatchObject({ runs: 1, failedTests: 1 });
      old.exec(`UPDATE run SET failed_tests = 0`);
      expect((await readOverview(reader)).totals).toMatchObject({ runs: 1, failedTests: 0 });
      old.close();
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});
