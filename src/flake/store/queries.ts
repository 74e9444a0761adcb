import { sql, type Kysely, type SelectQueryBuilder } from 'kysely';

import { DAY_MS, dayOf, statusOfCode } from './record.js';
import type { Schema } from './schema.js';
import type { CountRow, DayRow, DurationRow, Filter, HistoryRow } from './store.js';

/**
 * Reads, the same for every engine. They count and list; what the numbers mean is decided in `statistics/` and
 * `verdict/`.
 */

/** Sums of integers are `bigint` in Postgres, sums of those `numeric`; both engines give a JavaScript number this way. */
const total = (column: string) => sql<number>`cast(coalesce(sum(${sql.ref(column)}), 0) as double precision)`;

export async function readCounts(db: Kysely<Schema>, filter: Filter = {}): Promise<CountRow[]> {
  const rows = await inWindow(named(db, filter).innerJoin('daily', 'daily.series_id', 'series.id'), filter)
    .groupBy('series.id')
    .select([
      'series.id as seriesId',
      total('daily.passed').as('passed'),
      total('daily.failed').as('failed'),
      total('daily.skipped').as('skipped'),
      total('daily.error').as('error'),
      total('daily.timedout').as('timedout'),
      total('daily.notrun').as('notrun'),
      total('daily.runs').as('runs'),
      total('daily.failed_runs').as('failedRuns'),
      total('daily.mixed_runs').as('mixedRuns'),
      total('daily.passed_ms').as('passedMs'),
      total('daily.failed_ms').as('failedMs'),
      sql<number>`min(daily.day)`.as('firstDay'),
      sql<number>`max(daily.day)`.as('lastDay'),
    ])
    .execute();
  const names = new Map((await readNames(db, filter)).map((row) => [row.seriesId, row]));
  const commits = new Map((await readFailingCommits(db, filter)).map((row) => [row.seriesId, row]));
  return rows.flatMap((row) => {
    const name = names.get(row.seriesId);
    if (name === undefined) return [];
    const { passed, failed, skipped, error, timedout, notrun, ...rest } = row;
    return [
      {
        ...name,
        ...rest,
        counts: { passed, failed, skipped, error, timedout, notrun },
        failingCommits: commits.get(row.seriesId)?.failing ?? 0,
        mixedCommits: commits.get(row.seriesId)?.mixed ?? 0,
      },
    ];
  });
}

async function readNames(db: Kysely<Schema>, filter: Filter) {
  return await named(db, filter)
    .select([
      'series.id as seriesId',
      'repository.name as repository',
      'environment.name as environment',
      'test.package as package',
      'test.name as test',
    ])
    .execute();
}

async function readFailingCommits(db: Kysely<Schema>, filter: Filter) {
  return await named(db, filter)
    .innerJoin('failing_commit', 'failing_commit.series_id', 'series.id')
    .$if(filter.sinceMs !== undefined, (query) =>
      query.where('failing_commit.last_at', '>=', dayOf(filter.sinceMs ?? 0) * DAY_MS),
    )
    .$if(filter.untilMs !== undefined, (query) => query.where('failing_commit.last_at', '<', filter.untilMs ?? 0))
    .$if(isNarrow(filter), (query) => query.where('failing_commit.pull', '=', filter.runs === 'base' ? 0 : 1))
    .groupBy('series.id')
    .select([
      'series.id as seriesId',
      sql<number>`cast(count(*) as double precision)`.as('failing'),
      sql<number>`cast(sum(case when failing_commit.passed > 0 then 1 else 0 end) as double precision)`.as('mixed'),
    ])
    .execute();
}

/** Days of the series that failed at least once in the window; without these, a spotless history would be most of the rows. */
export async function readFailingDays(db: Kysely<Schema>, filter: Filter = {}): Promise<DayRow[]> {
  const failing = inWindow(named(db, filter).innerJoin('daily', 'daily.series_id', 'series.id'), filter)
    .groupBy('series.id')
    .having(sql<boolean>`sum(daily.failed + daily.timedout) > 0`)
    .select('series.id');
  return await inWindow(
    db.selectFrom('series').innerJoin('daily', 'daily.series_id', 'series.id').where('series.id', 'in', failing),
    filter,
  )
    .groupBy(['series.id', 'daily.day'])
    .select([
      'series.id as seriesId',
      'daily.day as day',
      sql<number>`cast(sum(daily.failed + daily.timedout) as double precision)`.as('failures'),
      sql<number>`cast(sum(daily.passed + daily.failed + daily.timedout) as double precision)`.as('attempts'),
    ])
    .execute();
}

export async function readDurations(db: Kysely<Schema>, environment?: string): Promise<DurationRow[]> {
  const rows = await readCounts(db, environment === undefined ? {} : { environment });
  return rows.flatMap(({ counts, passedMs, failedMs, repository, environment: name, package: pkg, test }) => {
    const attempts = counts.passed > 0 ? counts.passed : counts.failed + counts.timedout;
    if (attempts === 0) return [];
    const durationMs = (counts.passed > 0 ? passedMs : failedMs) / attempts;
    return [{ repository, environment: name, package: pkg, test, durationMs, attempts }];
  });
}

export async function readHistory(db: Kysely<Schema>, filter: Filter, limit = 1000): Promise<HistoryRow[]> {
  const rows = await db
    .selectFrom('result')
    .innerJoin('run', 'run.id', 'result.run_id')
    .innerJoin('test', 'test.id', 'result.test_id')
    .innerJoin('repository', 'repository.id', 'test.repository_id')
    .innerJoin('environment', 'environment.id', 'run.environment_id')
    .innerJoin('suite', 'suite.id', 'run.suite_id')
    .innerJoin('revision', 'revision.id', 'run.revision_id')
    .leftJoin('failure', 'failure.id', 'result.failure_id')
    .$call((query) => matching(query, filter))
    .$if(filter.sinceMs !== undefined, (query) => query.where('run.started_at', '>=', filter.sinceMs ?? 0))
    .$if(filter.untilMs !== undefined, (query) => query.where('run.started_at', '<', filter.untilMs ?? 0))
    .$if(filter.runs === 'base', (query) => query.where('run.pull_request', 'is', null))
    .$if(filter.runs === 'pull-requests', (query) => query.where('run.pull_request', 'is not', null))
    .select([
      'repository.name as repository',
      'environment.name as environment',
      'test.package as package',
      'test.name as test',
      'run.uid as runUid',
      'suite.name as suite',
      'revision.sha as sha',
      'revision.position as position',
      'run.branch as branch',
      'run.pull_request as pullRequest',
      'run.url as url',
      'run.started_at as startedAtMs',
      'run.excluded as excluded',
      'result.attempt as attempt',
      'result.status as status',
      'result.duration_ms as durationMs',
      'failure.message as message',
    ])
    .orderBy('run.started_at', 'desc')
    .orderBy('run.id', 'desc')
    .orderBy('test.id')
    .orderBy('result.attempt', 'desc')
    .limit(limit)
    .execute();
  return rows.map(({ sha, ...row }) => ({
    ...row,
    status: statusOfCode(row.status),
    commit: sha.startsWith('run:') ? undefined : sha,
    position: row.position ?? undefined,
    branch: row.branch ?? undefined,
    pullRequest: row.pullRequest ?? undefined,
    url: row.url ?? undefined,
    excluded: row.excluded ?? undefined,
    durationMs: row.durationMs ?? undefined,
    message: row.message ?? undefined,
  }));
}

/** For queries that have joined daily. */
function inWindow<Tables, T extends keyof Tables, O>(
  query: SelectQueryBuilder<Tables, T, O>,
  { sinceMs, untilMs, runs }: Filter,
): SelectQueryBuilder<Tables, T, O> {
  const day = sql.ref('daily.day');
  return query
    .$if(sinceMs !== undefined, (narrowed) => narrowed.where(sql<boolean>`${day} >= ${dayOf(sinceMs ?? 0)}`))
    .$if(untilMs !== undefined, (narrowed) =>
      narrowed.where(sql<boolean>`${day} < ${Math.ceil((untilMs ?? 0) / DAY_MS)}`),
    )
    .$if(runs === 'base', (narrowed) => narrowed.where(sql<boolean>`${sql.ref('daily.pull')} = 0`))
    .$if(runs === 'pull-requests', (narrowed) => narrowed.where(sql<boolean>`${sql.ref('daily.pull')} = 1`));
}

function isNarrow(filter: Filter): boolean {
  return filter.runs !== undefined && filter.runs !== 'all';
}

/** Series with their names, narrowed. */
function named(db: Kysely<Schema>, filter: Filter) {
  return db
    .selectFrom('series')
    .innerJoin('test', 'test.id', 'series.test_id')
    .innerJoin('repository', 'repository.id', 'test.repository_id')
    .innerJoin('environment', 'environment.id', 'series.environment_id')
    .$call((query) => matching(query, filter));
}

/** For queries that have joined repository, environment and test. */
function matching<Tables, T extends keyof Tables, O>(
  query: SelectQueryBuilder<Tables, T, O>,
  filter: Filter,
): SelectQueryBuilder<Tables, T, O> {
  const conditions = [
    ['repository.name', filter.repository],
    ['environment.name', filter.environment],
    ['test.package', filter.package],
    ['test.name', filter.test],
  ] as const;
  return conditions.reduce(
    (narrowed, [column, pattern]) =>
      pattern === undefined
        ? narrowed
        : pattern.includes('*')
          ? narrowed.where(sql<boolean>`${sql.ref(column)} like ${likeOf(pattern)} escape '\\'`)
          : narrowed.where(sql<boolean>`${sql.ref(column)} = ${pattern}`),
    query,
  );
}

/** `*` stands for any text; `%`, `_` and `\` for themselves. */
function likeOf(pattern: string): string {
  return pattern.replace(/[\\%_]/g, '\\$&').replaceAll('*', '%');
}
