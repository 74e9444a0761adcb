import { isBad, type RunResult } from '../../results/index.js';
import type { FindHistory } from '../../flake/index.js';

/** What a report sets a run against. Everything is optional: a run can be read without. */
export interface Background {
  /** An earlier run. */
  readonly against?: RunResult;
  /** What earlier runs say of each test. */
  readonly history?: FindHistory;
}

/**
 * What the flake database knows of the tests of a run, those that did not pass in detail.
 *
 * @param location path or URL of the database
 * @throws {MkCiError} `DB_OPEN`, `DB_FOREIGN`, `DB_NEWER`, `DB_CORRUPT`, `DB_BUSY`
 */
export async function historyFor(run: RunResult, location: string): Promise<FindHistory> {
  const { openFlakeStore, readTestHistories } = await import('../../flake/index.js');
  const store = await openFlakeStore(location, { readonly: true });
  try {
    const startedAtMs = Date.parse(run.startedAt);
    return await readTestHistories(store, {
      inDetail: run.cells.flatMap(({ environment, tests }) =>
        tests.filter((test) => isBad(test.status) || test.flaky).map(({ id }) => ({ test: id, environment })),
      ),
      repository: run.source.repository,
      beforeMs: Number.isNaN(startedAtMs) ? Date.now() : startedAtMs,
    });
  } finally {
    await store.close();
  }
}
