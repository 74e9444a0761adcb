import { sql, type Kysely } from 'kysely';

import { countAll, number, seriesNames, sumOf, type DaySpan, type RunScope, type SeriesRow } from './chart-scope.js';
import { DAY_MS } from './record.js';
import type { Schema } from './schema.js';
import type { SeriesName } from './store.js';

/** Reads of the pages about tests in environments: which failed, and where. */

export interface FailingSums {
  readonly seriesId: number;
  readonly environmentId: number;
  readonly failures: number;
  readonly failingCommits: number;
  readonly mixedCommits: number;
}

export interface FailingSeriesRow extends FailingSums, SeriesName {}

export interface CommitFailureRow extends SeriesName {
  readonly seriesId: number;
  readonly passed: number;
  readonly failed: number;
}

/** Sums of the tests that failed in the span in some environments. */
export async function readFailingSums(
  db: Kysely<Schema>,
  environmentIds: readonly number[],
  { repository, runs }: Pick<RunScope, 'repository' | 'runs'>,
  span: DaySpan,
): Promise<FailingSums[]> {
  const inRepository = db
    .selectFrom('test')
    .innerJoin('repository', 'repository.id', 'test.repository_id')
    .where('repository.name', '=', repository ?? '')
    .select('test.id');
  // On SQLite `cross` fixes the order: series by series, each with a seek to the span in `failing_commit_by_series`.
  return await db
    .selectFrom('series')
    .crossJoin('failing_commit')
    .whereRef('failing_commit.series_id', '=', 'series.id')
    .where('failing_commit.last_at', '>=', span.from * DAY_MS)
    .where('failing_commit.last_at', '<', (span.to + 1) * DAY_MS)
    .where('series.environment_id', 'in', [...environmentIds])
    .$if(runs === 'base', (query) => query.where('failing_commit.pull', '=', 0))
    .$if(runs === 'pull-requests', (query) => query.where('failing_commit.pull', '=', 1))
    .$if(repository !== undefined, (query) => query.where('series.test_id', 'in', inRepository))
    .groupBy('series.id')
    .select([
      'series.id as seriesId',
      'series.environment_id as environmentId',
      sumOf('failing_commit.failed').as('failures'),
      countAll().as('failingCommits'),
      number(sql`count(nullif(failing_commit.passed, 0))`).as('mixedCommits'),
    ])
    .execute();
}

/** Names of some series. @param seriesIds at most a few hundred */
export async function readSeriesNames(
  db: Kysely<Schema>,
  seriesIds: readonly number[],
): Promise<ReadonlyMap<number, SeriesRow>> {
  if (seriesIds.length === 0) return new Map();
  const rows = await seriesNames(db)
    .where('series.id', 'in', [...seriesIds])
    .execute();
  return new Map(rows.map((row) => [row.seriesId, row]));
}

/** Commits on which one series failed, and of these the mixed ones. */
export async function readFailingCommitCounts(
  db: Kysely<Schema>,
  seriesId: number,
  span: DaySpan,
  runs: RunScope['runs'],
): Promise<{ readonly failingCommits: number; readonly mixedCommits: number }> {
  const row = await db
    .selectFrom('failing_commit')
    .where('failing_commit.series_id', '=', seriesId)
    .where('failing_commit.last_at', '>=', span.from * DAY_MS)
    .where('failing_commit.last_at', '<', (span.to + 1) * DAY_MS)
    .$if(runs === 'base', (query) => query.where('failing_commit.pull', '=', 0))
    .$if(runs === 'pull-requests', (query) => query.where('failing_commit.pull', '=', 1))
    .select([
      countAll().as('failingCommits'),
      number(sql`sum(case when failing_commit.passed > 0 then 1 else 0 end)`).as('mixedCommits'),
    ])
    .executeTakeFirst();
  return row ?? { failingCommits: 0, mixedCommits: 0 };
}

/** A test by its exact names, in every environment where it ran. */
export async function readSeriesOfTest(
  db: Kysely<Schema>,
  test: { readonly repository?: string | undefined; readonly package?: string | undefined; readonly test: string },
): Promise<SeriesRow[]> {
  const { repository, package: pkg, test: name } = test;
  return await seriesNames(db)
    // Names are indexed below their repository: with its ids, one or all, no series is read that is not of the test.
    .where('test.repository_id', 'in', (inner) =>
      inner
        .selectFrom('repository as wanted')
        .select('wanted.id')
        .$if(repository !== undefined, (query) => query.where('wanted.name', '=', repository ?? '')),
    )
    .where('test.name', '=', name)
    .$if(pkg !== undefined, (query) => query.where('test.package', '=', pkg ?? ''))
    .orderBy('environment.name')
    .orderBy('series.id')
    .limit(500)
    .execute();
}

/** Tests whose name holds the text, in every environment where they ran; for a search box. */
export async function searchSeries(
  db: Kysely<Schema>,
  scope: RunScope,
  text: string,
  page: { readonly limit: number; readonly offset: number },
): Promise<SeriesRow[]> {
  const pattern = `%${text.toLowerCase().replace(/[\\%_]/g, '\\$&')}%`;
  return await seriesNames(db)
    .$if(text !== '', (query) => query.where(sql<boolean>`lower(test.name) like ${pattern} escape '\\'`))
    .$if(scope.repository !== undefined, (query) => query.where('repository.name', '=', scope.repository ?? ''))
    .$if(scope.environment !== undefined, (query) => query.where('environment.name', '=', scope.environment ?? ''))
    .orderBy('test.name')
    .orderBy('series.id')
    .limit(page.limit)
    .offset(page.offset)
    .execute();
}

/** Tests that failed on a commit, with all their passes and failures there; most failures first. */
export async function readCommitFailures(
  db: Kysely<Schema>,
  revisionId: number,
  limit: number,
): Promise<{ readonly rows: CommitFailureRow[]; readonly total: number }> {
  const failing = seriesNames(db)
    .innerJoin('failing_commit', 'failing_commit.series_id', 'series.id')
    .where('failing_commit.revision_id', '=', revisionId);
  const all = await db
    .selectFrom('failing_commit')
    .where('failing_commit.revision_id', '=', revisionId)
    .select(number(sql`count(distinct failing_commit.series_id)`).as('total'))
    .executeTakeFirst();
  const rows = await failing
    .groupBy(['series.id', 'series.test_id', 'series.environment_id'])
    .groupBy(['repository.name', 'environment.name', 'test.package', 'test.name'])
    .select([sumOf('failing_commit.passed').as('passed'), sumOf('failing_commit.failed').as('failed')])
    .orderBy('failed', 'desc')
    .orderBy('series.id')
    .limit(limit)
    .execute();
  return { rows, total: all?.total ?? 0 };
}
