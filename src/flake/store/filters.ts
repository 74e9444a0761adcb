import { sql, type Kysely, type SelectQueryBuilder } from 'kysely';

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
  { sinceMs, untilMs, runs }: Filter,
): SelectQueryBuilder<Tables, T, O> {
  const startedAt = sql.ref('run.started_at');
  return query
    .$if(sinceMs !== undefined, (narrowed) => narrowed.where(sql<boolean>`${startedAt} >= ${sinceMs}`))
    .$if(untilMs !== undefined, (narrowed) => narrowed.where(sql<boolean>`${startedAt} < ${untilMs}`))
    .$if(runs === 'base', (narrowed) => narrowed.where(sql<boolean>`${sql.ref('run.pull_request')} is null`))
    .$if(runs === 'pull-requests', (narrowed) =>
      narrowed.where(sql<boolean>`${sql.ref('run.pull_request')} is not null`),
    );
}

/** For queries that have joined daily. */
export function inWindow<Tables, T extends keyof Tables, O>(
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

export function isNarrow(filter: Filter): boolean {
  return filter.runs !== undefined && filter.runs !== 'all';
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
