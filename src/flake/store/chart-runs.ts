import { sql, type Kysely } from 'kysely';

import { countAll, dayOfRun, number, runsIn, runsOf, sumOf, type DaySpan, type RunScope } from './chart-scope.js';
import { DAY_MS } from './record.js';
import type { Schema } from './schema.js';
import type { EnvironmentVersion } from './store.js';

/** Reads of the pages about runs: days of environments, commits, runs. */

export interface Extent {
  readonly runs: number;
  /** Absent in an empty database. */
  readonly firstDay?: number;
  readonly lastDay?: number;
}

export interface EnvironmentDayRow {
  readonly environmentId: number;
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

/** Day of the newest run. */
export async function readLastDay(db: Kysely<Schema>, scope: RunScope = {}): Promise<number | undefined> {
  const row = await runsOf(db, scope)
    .select(sql<number>`cast(run.started_at as double precision)`.as('startedAtMs'))
    .orderBy('run.started_at', 'desc')
    .limit(1)
    .executeTakeFirst();
  return row === undefined ? undefined : Math.floor(row.startedAtMs / DAY_MS);
}

export async function readRepositories(db: Kysely<Schema>): Promise<string[]> {
  const rows = await db.selectFrom('repository').select('name').orderBy('name').execute();
  return rows.map(({ name }) => name);
}

/** @param fallback version of all of them in a file of an earlier schema that is only read */
export async function readEnvironments(db: Kysely<Schema>, fallback?: string): Promise<EnvironmentVersion[]> {
  const rows = await db
    .selectFrom('environment')
    .select(['id', 'name'])
    .$if(fallback === undefined, (query) => query.select(sql<string>`cast(version as text)`.as('version')))
    .orderBy('name')
    .execute();
  return rows.map(({ id, name, version }) => ({ id, name, version: version ?? fallback ?? '' }));
}

export async function readEnvironmentDays(
  db: Kysely<Schema>,
  scope: RunScope,
  span: DaySpan,
): Promise<EnvironmentDayRow[]> {
  const counted = (column: string) => number(sql`sum(case when run.excluded is null then ${sql.ref(column)} end)`);
  return await runsIn(runsOf(db, scope), span)
    .innerJoin('environment', 'environment.id', 'run.environment_id')
    .groupBy(['environment.id', 'environment.name', dayOfRun()])
    .select([
      'environment.id as environmentId',
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

/** Commits by their newest run, newest first. */
export async function readCommits(
  db: Kysely<Schema>,
  scope: RunScope,
  span: DaySpan,
  page: { readonly limit: number; readonly offset?: number },
): Promise<CommitRow[]> {
  const ids = await readNewestRevisions(db, scope, span, page);
  if (ids.length === 0) return [];
  return await runsIn(runsOf(db, scope), span)
    .innerJoin('revision', 'revision.id', 'run.revision_id')
    .innerJoin('repository', 'repository.id', 'run.repository_id')
    .where('run.revision_id', 'in', ids)
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
    .execute();
}

/** Days in which the newest commits are looked for first. */
const NEWEST_DAYS = 3;

/** Goes back only as far as the page needs: whatever ran last before that can not be among the newest. */
async function readNewestRevisions(
  db: Kysely<Schema>,
  scope: RunScope,
  span: DaySpan,
  { limit, offset = 0 }: { readonly limit: number; readonly offset?: number },
): Promise<number[]> {
  for (let days = NEWEST_DAYS; ; days *= 4) {
    const from = Math.max(span.from, span.to - days + 1);
    const rows = await runsIn(runsOf(db, scope), { from, to: span.to })
      .innerJoin('revision', 'revision.id', 'run.revision_id')
      .where('revision.sha', 'not like', 'run:%')
      .groupBy('revision.id')
      .select('revision.id as id')
      .orderBy(sql`max(run.started_at)`, 'desc')
      .orderBy('revision.id', 'desc')
      .limit(limit)
      .offset(offset)
      .execute();
    if (rows.length === limit || from === span.from) return rows.map(({ id }) => id);
  }
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
