import { expect } from 'vitest';

import { openFlakeStore } from '../../src/flake/index.js';
import { writeRuns } from './flake-writer.js';

/**
 * Four processes record into one database at once, two of them the same runs; every run must be there once and the sums as
 * if one process had written. The same for every engine.
 *
 * @param shape runs of each process and tests of each run
 */
export async function expectWritersToTakeTurns(
  database: string,
  { runs, tests }: { readonly runs: number; readonly tests: number },
): Promise<void> {
  const ends = await Promise.all(
    ['left', 'right', 'shared', 'shared'].map(async (prefix) => await writeRuns({ database, runs, tests, prefix })),
  );
  expect(ends.map(({ exitCode, stderr }) => [exitCode, stderr])).toEqual(Array.from({ length: 4 }, () => [0, '']));
  await using store = await openFlakeStore(database);
  const live = await store.counts();
  expect(live.map((row) => row.runs)).toEqual(Array.from({ length: tests }, () => 3 * runs));
  expect(await store.check()).toEqual([]);
  await store.rebuildRollup();
  expect(await store.counts()).toEqual(live);
}
