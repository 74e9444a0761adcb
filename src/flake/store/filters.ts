import { sql, type Kysely, type RawBuilder, type SelectQueryBuilder } from 'kysely';

import { DAY_MS, dayOf } from './record.js';
import type { Schema } from './schema.js';
import type { Filter } from './store.js';

/** What a {@link Filter} means in a query, the same for every read and every engine. */

/** A renamed test is counted as what it is called now. For queries that have joined it as `own_test`. */
export const currentTest = sql<number>`coalesce(own_test.alias_of, own_test.id)`;

/** Found once and not for every run. */
export function testsNamed(db: Kysely<Schema>, { repository, package: pkg, test }: Filter) {
  return db
    .selectFrom('test as own_test')
    .innerJoin('test', (join) => join.on('test.id', '=', currentTest))
    .innerJoin('repository', 'repository.id', 'test.repository_id')
    .$call((query) =>
      narrowed(query, [
        ['repository.name', repository],
        ['test.package', pkg],
        ['test.name', test],
      ]),
    )
    .select('own_test.id');
}

export function isByName(filter: Filter): boolean {
  return isByTest(filter) || filter.environment !== undefined;
}

export function isByTest({ repository, package: pkg, test }: Filter): boolean {
  return [repository, pkg, test].some((pattern) => pattern !== undefined);
}

/** For queries that have joined run. */
export function runsInWindow<Tables, T extends keyof Tables, O>(
  query: SelectQueryBuilder<Tables, T, O>,
  filter: Filter,
): SelectQueryBuilder<Tables, T, O> {
  const startedAt = sql.ref('run.started_at');
  const pullRequest = sql.ref('run.pull_request');
  return whereInWindow(query, filter, {
    since: (ms) => sql`${startedAt} >= ${ms}`,
    until: (ms) => sql`${startedAt} < ${ms}`,
    base: sql`${pullRequest} is null`,
    pullRequests: sql`${pullRequest} is not null`,
  });
}

/** For queries that have joined a table with a row for each day and kind of run. @param table @default 'daily' */
export function inWindow<Tables, T extends keyof Tables, O>(
  query: SelectQueryBuilder<Tables, T, O>,
  filter: Filter,
  table: 'daily' | 'daily_block' = 'daily',
): SelectQueryBuilder<Tables, T, O> {
  const day = sql.ref(`${table}.day`);
  return whereInWindow(query, filter, {
    since: (ms) => sql`${day} >= ${dayOf(ms)}`,
    until: (ms) => sql`${day} < ${Math.ceil(ms / DAY_MS)}`,
    ...kindsOf(table),
  });
}

/** For queries that have joined failing_commit. Whole days at the beginning, as in {@link inWindow}. */
export function commitsInWindow<Tables, T extends keyof Tables, O>(
  query: SelectQueryBuilder<Tables, T, O>,
  filter: Filter,
): SelectQueryBuilder<Tables, T, O> {
  const lastAt = sql.ref('failing_commit.last_at');
  return whereInWindow(query, filter, {
    since: (ms) => sql`${lastAt} >= ${dayOf(ms) * DAY_MS}`,
    until: (ms) => sql`${lastAt} < ${ms}`,
    ...kindsOf('failing_commit'),
  });
}

/** What each part of a window means for the columns of a table. */
interface WindowConditions {
  readonly since: (ms: number) => RawBuilder<boolean>;
  readonly until: (ms: number) => RawBuilder<boolean>;
  readonly base: RawBuilder<boolean>;
  readonly pullRequests: RawBuilder<boolean>;
}

/** Sums of base runs and of those of pull requests are apart. */
function kindsOf(table: 'daily' | 'daily_block' | 'failing_commit'): Pick<WindowConditions, 'base' | 'pullRequests'> {
  const pull = sql.ref(`${table}.pull`);
  return { base: sql`${pull} = 0`, pullRequests: sql`${pull} = 1` };
}

function whereInWindow<Tables, T extends keyof Tables, O>(
  query: SelectQueryBuilder<Tables, T, O>,
  { sinceMs, untilMs, runs }: Filter,
  { since, until, base, pullRequests }: WindowConditions,
): SelectQueryBuilder<Tables, T, O> {
  const conditions = [
    ...(sinceMs === undefined ? [] : [since(sinceMs)]),
    ...(untilMs === undefined ? [] : [until(untilMs)]),
    ...(runs === 'base' ? [base] : []),
    ...(runs === 'pull-requests' ? [pullRequests] : []),
  ];
  return conditions.reduce((narrowed, condition) => narrowed.where(condition), query);
}

/** Series with their names, narrowed. */
export function named(db: Kysely<Schema>, filter: Filter) {
  return db
    .selectFrom('series')
    .innerJoin('test as own_test', 'own_test.id', 'series.test_id')
    .innerJoin('test', (join) => join.on('test.id', '=', currentTest))
    .innerJoin('repository', 'repository.id', 'test.repository_id')
    .innerJoin('environment', 'environment.id', 'series.environment_id')
    .$call((query) => matching(query, filter));
}

/** For queries that have joined repository, environment and test. */
export function matching<Tables, T extends keyof Tables, O>(
  query: SelectQueryBuilder<Tables, T, O>,
  filter: Filter,
): SelectQueryBuilder<Tables, T, O> {
  return narrowed(query, [
    ['repository.name', filter.repository],
    ['environment.name', filter.environment],
    ['test.package', filter.package],
    ['test.name', filter.test],
  ]);
}

export function narrowed<Tables, T extends keyof Tables, O>(
  query: SelectQueryBuilder<Tables, T, O>,
  conditions: readonly (readonly [column: string, pattern: string | undefined])[],
): SelectQueryBuilder<Tables, T, O> {
  return conditions.reduce(
    (current, [column, pattern]) =>
      pattern === undefined
        ? current
        : pattern.includes('*')
          ? current.where(sql<boolean>`${sql.ref(column)} like ${likeOf(pattern)} escape '\\'`)
          : current.where(sql<boolean>`${sql.ref(column)} = ${pattern}`),
    query,
  );
}

/** `*` stands for any text; `%`, `_` and `\` for themselves. */
function likeOf(pattern: string): string {
  return pattern.replace(/[\\%_]/g, '\\$&').replaceAll('*', '%');
}
