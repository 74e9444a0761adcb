import { sql, type Kysely } from 'kysely';

import { prunedBefore } from './postgres-writer.js';
import { DAY_MS, dayOf } from './record.js';
import type { Schema } from './schema.js';
import { saysMore, type FoundRun } from './sqlite-writer.js';
import type { FlakeStore, WriteSummary } from './store.js';

/** What changes would do, for `--dry-run`: nothing here writes. */

export interface PlannedPrune {
  readonly runs: number;
  readonly results: number;
}

/** What {@link FlakeStore.prune} would take away. */
export async function planPrune(store: Pick<FlakeStore, 'read'>, beforeMs: number): Promise<PlannedPrune> {
  const row = await store.read((db) =>
    db
      .selectFrom('run')
      .where('run.pruned', '=', 0)
      .where('run.started_at', '<', dayOf(beforeMs) * DAY_MS)
      .select([
        sql<number>`cast(count(*) as double precision)`.as('runs'),
        sql<number>`cast(coalesce(sum((select count(*) from result where result.run_id = run.id)), 0) as double precision)`.as(
          'results',
        ),
      ])
      .executeTakeFirst(),
  );
  return row ?? { runs: 0, results: 0 };
}

export type PlannedMerge = Pick<WriteSummary, 'runs' | 'results' | 'known' | 'replaced'>;

type StoredRun = FoundRun & { readonly uid: string };

/** Runs that are looked up at a time. */
const CHUNK = 500;

/**
 * What writing all runs of the sources, one source after the other, would do.
 *
 * @param target absent: an empty database
 */
export async function planMerge(
  target: Pick<FlakeStore, 'read'> | undefined,
  sources: AsyncIterable<Pick<FlakeStore, 'read'>>,
): Promise<PlannedMerge> {
  const plan = { runs: 0, results: 0, known: 0, replaced: 0 };
  const before = (await target?.read(prunedBefore)) ?? -Infinity;
  const taken = new Map<string, StoredRun>();
  for await (const source of sources) {
    for (let after = 0; ;) {
      const from = after;
      const runs = await source.read((db) => readRunsAfter(db, from));
      const last = runs.at(-1);
      if (last === undefined) break;
      after = last.id;
      const uids = runs.map(({ uid }) => uid);
      const there = new Map((await target?.read((db) => readRunsNamed(db, uids)))?.map((run) => [run.uid, run]));
      for (const run of runs) {
        const old = taken.get(run.uid) ?? there.get(run.uid);
        if (
          old !== undefined &&
          !saysMore({ complete: run.complete === 1, results: { length: run.results } }, old, before)
        ) {
          plan.known += 1;
          continue;
        }
        if (old === undefined) plan.runs += 1;
        else plan.replaced += 1;
        plan.results += run.results;
        taken.set(run.uid, run);
      }
    }
  }
  return plan;
}

async function readRunsAfter(db: Kysely<Schema>, after: number): Promise<StoredRun[]> {
  return await storedRuns(db)
    .where('run.id', '>', after)
    .where('run.pruned', '=', 0)
    .orderBy('run.id')
    .limit(CHUNK)
    .execute();
}

async function readRunsNamed(db: Kysely<Schema>, uids: readonly string[]): Promise<StoredRun[]> {
  return await storedRuns(db).where('run.uid', 'in', uids).execute();
}

function storedRuns(db: Kysely<Schema>) {
  return db
    .selectFrom('run')
    .select([
      'run.id as id',
      'run.uid as uid',
      'run.complete as complete',
      'run.pruned as pruned',
      sql<number>`cast(run.started_at as double precision)`.as('startedAt'),
      sql<number>`cast((select count(*) from result where result.run_id = run.id) as double precision)`.as('results'),
    ]);
}
