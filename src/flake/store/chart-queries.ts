import { sql, type Expression, type Kysely, type SelectQueryBuilder } from 'kysely';

import type { Status } from '../../results/model.js';
import { DAY_MS, statusOfCode } from './record.js';
import type { Schema } from './schema.js';
import type { SeriesName } from './store.js';

/**
 * Reads of the pages, the same for every engine. All of them cost by what is shown, not by the size of the history: days of
 * environments come from `run`, tests that fail from `failing_commit`, days of a test from `daily`, and only the attempts of
 * one test come from `result`.
 */

/** Days since 1970-01-01, both inclusive. */
export interface DaySpan {
  readonly from: number;
  readonly to: number;
}

/** What runs a page is about. Names are exact. */
export interface RunScope {
  readonly repository?: string | undefined;
  readonly environment?: string | undefined;
  /** @default 'all' */
  readonly runs?: 'all' | 'base' | 'pull-requests' | undefined;
}

export interface Extent {
  readonly runs: number;
  /** Absent in an empty database. */
  readonly firstDay?: number;
  readonly lastDay?: number;
}

export interface EnvironmentDayRow {
  readonly environment: string;
  readonly day: number;
  readonly runs: number;
  /** Executions of tests and of these the failed ones, over all runs of the day. */
  readonly tests: number;
  readonly failedTests: number;
  /** Summed over the runs that have a duration. */
  readonly durationMs: number;
  readonly timedRuns: number;
  /** Runs that are in no rate; they are not in the numbers above. */
  readonly excludedRuns: number;
}

export interface FailingSeriesRow extends SeriesName {
  readonly seriesId: number;
  readonly failures: number;
  readonly failingCommits: number;
  readonly mixedCommits: number;
}

export interface SeriesDayRow {
  readonly seriesId: number;
  readonly day: number;
  readonly passed: number;
  readonly failed: number;
  readonly runs: number;
  readonly failedRuns: number;
  readonly mixedRuns: number;
  readonly durationMs: number;
}

export interface TestRunRow {
  readonly uid: string;
  readonly sha: string;
  readonly position: number | null;
  readonly branch: string | null;
  readonly pullRequest: number | null;
  readonly url: string | null;
  readonly startedAtMs: number;
  readonly excluded: string | null;
  readonly attempt: number;
  readonly status: Status;
  readonly durationMs: number | null;
  readonly message: string | null;
}

export interface CommitRow {
  readonly repository: string;
  readonly sha: string;
  readonly firstAtMs: number;
  readonly lastAtMs: number;
  readonly runs: number;
  readonly environments: number;
  readonly tests: number;
  readonly failedTests: number;
  readonly branch: string | null;
  readonly pullRequest: number | null;
}

export interface RunRow {
  readonly uid: string;
  readonly repository: string;
  readonly environment: string;
  readonly suite: string;
  readonly sha: string;
  readonly branch: string | null;
  readonly pullRequest: number | null;
  readonly url: string | null;
  readonly startedAtMs: number;
  readonly durationMs: number | null;
  readonly tests: number;
  readonly failedTests: number;
  readonly excluded: string | null;
  readonly complete: number;
}

export interface CommitFailureRow extends SeriesName {
  readonly seriesId: number;
  readonly passed: number;
  readonly failed: number;
}

/** Counts are `bigint` in Postgres; both engines give a JavaScript number this way. */
const number = (expression: Expression<unknown>) => sql<number>`cast(coalesce(${expression}, 0) as double precision)`;
const sumOf = (column: string) => number(sql`sum(${sql.ref(column)})`);
const countAll = () => number(sql`count(*)`);
/** The divisor stands in the text: as a parameter SQLite would divide reals. */
const dayOfRun = () => sql<number>`(run.started_at / ${sql.lit(DAY_MS)})`;

export async function readExtent(db: Kysely<Schema>, scope: RunScope = {}): Promise<Extent> {
  const row = await runsOf(db, scope)
    .select([
      countAll().as('runs'),
      sql<number | null>`min(run.started_at)`.as('firstAt'),
      sql<number | null>`max(run.started_at)`.as('lastAt'),
    ])
    .executeTakeFirst();
  if (row === undefined || row.firstAt === null || row.lastAt === null) return { runs: 0 };
  return {
    runs: row.runs,
    firstDay: Math.floor(row.firstAt / DAY_MS),
    lastDay: Math.floor(row.lastAt / DAY_MS),
  };
}

export async function readRepositories(db: Kysely<Schema>): Promise<string[]> {
  const rows = await db.selectFrom('repository').select('name').orderBy('name').execute();
  return rows.map(({ name }) => name);
}

export async function readEnvironmentDays(
  db: Kysely<Schema>,
  scope: RunScope,
  span: DaySpan,
): Promise<EnvironmentDayRow[]> {
  const counted = (column: string) => number(sql`sum(case when run.excluded is null then ${sql.ref(column)} end)`);
  return await runsIn(runsOf(db, scope), span)
    .innerJoin('environment', 'environment.id', 'run.environment_id')
    .groupBy(['environment.name', dayOfRun()])
    .select([
      'environment.name as environment',
      sql<number>`cast(${dayOfRun()} as double precision)`.as('day'),
      number(sql`sum(case when run.excluded is null then 1 else 0 end)`).as('runs'),
      counted('run.tests').as('tests'),
      counted('run.failed_tests').as('failedTests'),
      counted('run.duration_ms').as('durationMs'),
      number(sql`sum(case when run.excluded is null and run.duration_ms is not null then 1 else 0 end)`).as(
        'timedRuns',
      ),
      number(sql`sum(case when run.excluded is null then 0 else 1 end)`).as('excludedRuns'),
    ])
    .orderBy('environment.name')
    .orderBy('day')
    .execute();
}

/**
 * Tests that failed in the span, most failures first, and how many there are in all. Sums come before names: the names of
 * 8,000 tests cost more than the sums of 700,000 commits.
 */
export async function readFailingSeries(
  db: Kysely<Schema>,
  scope: RunScope,
  span: DaySpan,
  limit: number,
): Promise<{ readonly rows: FailingSeriesRow[]; readonly total: number }> {
  const isNarrow = scope.repository !== undefined || scope.environment !== undefined;
  const wanted = db
    .selectFrom('series')
    .innerJoin('test', 'test.id', 'series.test_id')
    .innerJoin('repository', 'repository.id', 'test.repository_id')
    .innerJoin('environment', 'environment.id', 'series.environment_id')
    .$if(scope.repository !== undefined, (query) => query.where('repository.name', '=', scope.repository ?? ''))
    .$if(scope.environment !== undefined, (query) => query.where('environment.name', '=', scope.environment ?? ''))
    .select('series.id');
  const sums = await db
    .selectFrom('failing_commit')
    .where('failing_commit.last_at', '>=', span.from * DAY_MS)
    .where('failing_commit.last_at', '<', (span.to + 1) * DAY_MS)
    .$if(scope.runs === 'base', (query) => query.where('failing_commit.pull', '=', 0))
    .$if(scope.runs === 'pull-requests', (query) => query.where('failing_commit.pull', '=', 1))
    .$if(isNarrow, (query) => query.where('failing_commit.series_id', 'in', wanted))
    .groupBy('failing_commit.series_id')
    .select([
      'failing_commit.series_id as seriesId',
      sumOf('failing_commit.failed').as('failures'),
      countAll().as('failingCommits'),
      number(sql`sum(case when failing_commit.passed > 0 then 1 else 0 end)`).as('mixedCommits'),
    ])
    .execute();
  const most = sums
    .sort((left, right) => right.failures - left.failures || left.seriesId - right.seriesId)
    .slice(0, limit);
  if (most.length === 0) return { rows: [], total: 0 };
  const names = new Map(
    (
      await seriesNames(db)
        .where(
          'series.id',
          'in',
          most.map(({ seriesId }) => seriesId),
        )
        .execute()
    ).map((name) => [name.seriesId, name]),
  );
  const rows = most.flatMap((row) => {
    const name = names.get(row.seriesId);
    if (name === undefined) return [];
    const { repository, environment, package: pkg, test } = name;
    return [{ ...row, repository, environment, package: pkg, test }];
  });
  return { rows, total: sums.length };
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

/** Daily sums of some series. @param seriesIds at most a few hundred */
export async function readSeriesDays(
  db: Kysely<Schema>,
  seriesIds: readonly number[],
  span: DaySpan,
  runs: RunScope['runs'] = 'all',
): Promise<SeriesDayRow[]> {
  if (seriesIds.length === 0) return [];
  const rows = await db
    .selectFrom('daily')
    .where('daily.series_id', 'in', [...seriesIds])
    .where('daily.day', '>=', span.from)
    .where('daily.day', '<=', span.to)
    .$if(runs === 'base', (query) => query.where('daily.pull', '=', 0))
    .$if(runs === 'pull-requests', (query) => query.where('daily.pull', '=', 1))
    .select([
      'daily.series_id as seriesId',
      'daily.day as day',
      'daily.passed as passed',
      sql<number>`daily.failed + daily.timedout`.as('failed'),
      'daily.runs as runs',
      'daily.failed_runs as failedRuns',
      'daily.mixed_runs as mixedRuns',
      number(sql`daily.passed_ms + daily.failed_ms`).as('durationMs'),
    ])
    .orderBy('daily.series_id')
    .orderBy('daily.day')
    .execute();
  // A day has a row for each kind of run, next to each other; grouping in the database costs as much as reading.
  const days: SeriesDayRow[] = [];
  for (const row of rows) {
    const last = days.at(-1);
    if (last?.seriesId !== row.seriesId || last.day !== row.day) days.push(row);
    else days[days.length - 1] = addDays(last, row);
  }
  return days;
}

function addDays(left: SeriesDayRow, right: SeriesDayRow): SeriesDayRow {
  return {
    seriesId: left.seriesId,
    day: left.day,
    passed: left.passed + right.passed,
    failed: left.failed + right.failed,
    runs: left.runs + right.runs,
    failedRuns: left.failedRuns + right.failedRuns,
    mixedRuns: left.mixedRuns + right.mixedRuns,
    durationMs: left.durationMs + right.durationMs,
  };
}

export interface SeriesRow extends SeriesName {
  readonly seriesId: number;
  readonly testId: number;
  readonly environmentId: number;
}

/** A test by its exact names, in every environment where it ran. */
export async function readSeriesOfTest(
  db: Kysely<Schema>,
  test: { readonly repository?: string | undefined; readonly package?: string | undefined; readonly test: string },
): Promise<SeriesRow[]> {
  return await seriesNames(db)
    .where('test.name', '=', test.test)
    .$if(test.package !== undefined, (query) => query.where('test.package', '=', test.package ?? ''))
    .$if(test.repository !== undefined, (query) => query.where('repository.name', '=', test.repository ?? ''))
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

/**
 * Attempts of one series, newest run first.
 *
 * Goes over the runs of the environment and looks each up in `result`, which is clustered by run: the index by test would
 * read every attempt the test ever had, in all environments.
 */
export async function readTestRuns(
  db: Kysely<Schema>,
  series: SeriesRow,
  span: DaySpan,
  options: { readonly runs?: RunScope['runs']; readonly limit: number },
): Promise<TestRunRow[]> {
  const pull =
    options.runs === 'base'
      ? sql`AND run.pull_request IS NULL`
      : options.runs === 'pull-requests'
        ? sql`AND run.pull_request IS NOT NULL`
        : sql``;
  // CROSS JOIN keeps SQLite from turning the order of the join around.
  const { rows } = await sql<Omit<TestRunRow, 'status'> & { readonly status: number }>`
    SELECT run.uid AS "uid", revision.sha AS "sha", revision.position AS "position", run.branch AS "branch",
      run.pull_request AS "pullRequest", run.url AS "url", run.started_at AS "startedAtMs", run.excluded AS "excluded",
      result.attempt AS "attempt", result.status AS "status", result.duration_ms AS "durationMs",
      failure.message AS "message"
    FROM (
      SELECT id, uid, revision_id, branch, pull_request, url, started_at, excluded FROM run
      WHERE environment_id = ${series.environmentId} AND started_at >= ${span.from * DAY_MS}
        AND started_at < ${(span.to + 1) * DAY_MS} ${pull}
      ORDER BY started_at DESC, id DESC LIMIT ${options.limit * 4}
    ) AS run
    CROSS JOIN result
    JOIN revision ON revision.id = run.revision_id
    LEFT JOIN failure ON failure.id = result.failure_id
    WHERE result.run_id = run.id AND result.test_id = ${series.testId}
    ORDER BY run.started_at DESC, run.id DESC, result.attempt DESC
    LIMIT ${options.limit}`.execute(db);
  return rows.map((row) => ({ ...row, status: statusOfCode(row.status) }));
}

/** Commits by their newest run, newest first. */
export async function readCommits(
  db: Kysely<Schema>,
  scope: RunScope,
  span: DaySpan,
  page: { readonly limit: number; readonly offset?: number },
): Promise<CommitRow[]> {
  return await runsIn(runsOf(db, scope), span)
    .innerJoin('revision', 'revision.id', 'run.revision_id')
    .innerJoin('repository', 'repository.id', 'run.repository_id')
    .where('revision.sha', 'not like', 'run:%')
    .groupBy(['revision.id', 'revision.sha', 'repository.name'])
    .select([
      'repository.name as repository',
      'revision.sha as sha',
      sql<number>`min(run.started_at)`.as('firstAtMs'),
      sql<number>`max(run.started_at)`.as('lastAtMs'),
      countAll().as('runs'),
      number(sql`count(distinct run.environment_id)`).as('environments'),
      sumOf('run.tests').as('tests'),
      sumOf('run.failed_tests').as('failedTests'),
      sql<string | null>`max(run.branch)`.as('branch'),
      sql<number | null>`max(run.pull_request)`.as('pullRequest'),
    ])
    .orderBy('lastAtMs', 'desc')
    .orderBy('revision.id', 'desc')
    .limit(page.limit)
    .offset(page.offset ?? 0)
    .execute();
}

/** Commits whose name is the text, or begins with it; at most three, so that the caller sees that it is not clear. */
export async function findRevisions(
  db: Kysely<Schema>,
  sha: string,
  repository?: string,
): Promise<{ readonly id: number; readonly sha: string; readonly repository: string }[]> {
  const select = () =>
    db
      .selectFrom('revision')
      .innerJoin('repository', 'repository.id', 'revision.repository_id')
      .$if(repository !== undefined, (query) => query.where('repository.name', '=', repository ?? ''))
      .select(['revision.id as id', 'revision.sha as sha', 'repository.name as repository'])
      .limit(3);
  const exact = await select().where('revision.sha', '=', sha).execute();
  if (exact.length > 0) return exact;
  const pattern = `${sha.replace(/[\\%_]/g, '\\$&')}%`;
  return await select()
    .where(sql<boolean>`revision.sha like ${pattern} escape '\\'`)
    .execute();
}

/** Runs, newest first. */
export async function readRunRows(
  db: Kysely<Schema>,
  scope: RunScope & { readonly revisionId?: number; readonly span?: DaySpan },
  page: { readonly limit: number; readonly offset?: number },
): Promise<RunRow[]> {
  return await runsOf(db, scope)
    .$if(scope.span !== undefined, (query) => runsIn(query, scope.span ?? { from: 0, to: 0 }))
    .$if(scope.revisionId !== undefined, (query) => query.where('run.revision_id', '=', scope.revisionId ?? 0))
    .innerJoin('repository', 'repository.id', 'run.repository_id')
    .innerJoin('environment', 'environment.id', 'run.environment_id')
    .innerJoin('suite', 'suite.id', 'run.suite_id')
    .innerJoin('revision', 'revision.id', 'run.revision_id')
    .select([
      'run.uid as uid',
      'repository.name as repository',
      'environment.name as environment',
      'suite.name as suite',
      'revision.sha as sha',
      'run.branch as branch',
      'run.pull_request as pullRequest',
      'run.url as url',
      'run.started_at as startedAtMs',
      'run.duration_ms as durationMs',
      'run.tests as tests',
      'run.failed_tests as failedTests',
      'run.excluded as excluded',
      'run.complete as complete',
    ])
    .orderBy('run.started_at', 'desc')
    .orderBy('run.id', 'desc')
    .limit(page.limit)
    .offset(page.offset ?? 0)
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

/** Series with their names. */
function seriesNames(db: Kysely<Schema>) {
  return db
    .selectFrom('series')
    .innerJoin('test', 'test.id', 'series.test_id')
    .innerJoin('repository', 'repository.id', 'test.repository_id')
    .innerJoin('environment', 'environment.id', 'series.environment_id')
    .select([
      'series.id as seriesId',
      'series.test_id as testId',
      'series.environment_id as environmentId',
      'repository.name as repository',
      'environment.name as environment',
      'test.package as package',
      'test.name as test',
    ]);
}

function runsOf(db: Kysely<Schema>, { repository, environment, runs }: RunScope) {
  return db
    .selectFrom('run')
    .$if(repository !== undefined, (query) =>
      query.where('run.repository_id', 'in', (inner) =>
        inner
          .selectFrom('repository as wanted')
          .select('wanted.id')
          .where('wanted.name', '=', repository ?? ''),
      ),
    )
    .$if(environment !== undefined, (query) =>
      query.where('run.environment_id', 'in', (inner) =>
        inner
          .selectFrom('environment as wanted')
          .select('wanted.id')
          .where('wanted.name', '=', environment ?? ''),
      ),
    )
    .$if(runs === 'base', (query) => query.where('run.pull_request', 'is', null))
    .$if(runs === 'pull-requests', (query) => query.where('run.pull_request', 'is not', null));
}

function runsIn<O>(query: SelectQueryBuilder<Schema, 'run', O>, { from, to }: DaySpan) {
  return query.where('run.started_at', '>=', from * DAY_MS).where('run.started_at', '<', (to + 1) * DAY_MS);
}
