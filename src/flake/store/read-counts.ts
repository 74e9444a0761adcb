import { sql, type Kysely } from 'kysely';

import { STATUSES } from '../../results/model.js';
import { commitsInWindow, inWindow, isByName, named } from './filters.js';
import type { Schema } from './schema.js';
import { readNames, type NamedSeries } from './series-names.js';
import type { CountRow, DayRow, DurationRow, Filter, SuiteDurationRow } from './store.js';
import { readWindow, total } from './window-sums.js';

/** Reads of sums: they count; what the numbers mean is decided in `statistics/` and `verdict/`. */

export async function readCounts(db: Kysely<Schema>, filter: Filter = {}): Promise<CountRow[]> {
  // Names are read once a series and not once a day.
  const names = await readNames(db, filter);
  const sumsOf = await readWindow(db, filter, names);
  const commits = await readFailingCommits(db, filter);
  const rows: CountRow[] = [];
  for (const { seriesId, repository, environment, package: pkg, test } of names) {
    const sums = sumsOf(seriesId);
    if (sums === undefined) continue;
    const { passed, failed, skipped, error, timedout, notrun } = sums;
    const { failing, mixed } = commits.get(seriesId) ?? NO_COMMITS;
    rows.push({
      seriesId,
      repository,
      environment,
      package: pkg,
      test,
      counts: { passed, failed, skipped, error, timedout, notrun },
      runs: sums.runs,
      failedRuns: sums.failedRuns,
      mixedRuns: sums.mixedRuns,
      failingCommits: failing,
      mixedCommits: mixed,
      passedMs: sums.passedMs,
      failedMs: sums.failedMs,
      clusters: sums.clusters,
      clusterSquares: sums.squares,
      firstDay: sums.firstDay,
      lastDay: sums.lastDay,
    });
  }
  return names.some(({ isRenamed }) => isRenamed) ? joinAliases(rows) : rows;
}

const NO_COMMITS = { failing: 0, mixed: 0 } as const;

/** Rows of one test under several names become one; its series is the newest. */
function joinAliases(rows: readonly CountRow[]): CountRow[] {
  const joined = new Map<string, CountRow>();
  for (const row of rows) {
    const key = [row.repository, row.environment, row.package, row.test].join('\0');
    const other = joined.get(key);
    joined.set(key, other === undefined ? row : sumOf(other, row));
  }
  return joined.size === rows.length ? [...rows] : [...joined.values()];
}

/** Members of a row that add up. */
const SUMS = [
  ...(['runs', 'failedRuns', 'mixedRuns', 'failingCommits', 'mixedCommits'] as const),
  ...(['passedMs', 'failedMs', 'clusters', 'clusterSquares'] as const),
];

function sumOf(left: CountRow, right: CountRow): CountRow {
  return {
    ...right,
    ...addUp(left, right, SUMS),
    counts: addUp(left.counts, right.counts, STATUSES),
    firstDay: Math.min(left.firstDay, right.firstDay),
    lastDay: Math.max(left.lastDay, right.lastDay),
  };
}

function addUp<Member extends string>(
  left: Readonly<Record<Member, number>>,
  right: Readonly<Record<Member, number>>,
  members: readonly Member[],
): Record<Member, number> {
  return Object.fromEntries(members.map((member) => [member, left[member] + right[member]])) as Record<Member, number>;
}

async function readFailingCommits(
  db: Kysely<Schema>,
  filter: Filter,
): Promise<Map<number, { readonly failing: number; readonly mixed: number }>> {
  const rows = await db
    .selectFrom('series')
    .crossJoin('failing_commit')
    .whereRef('failing_commit.series_id', '=', 'series.id')
    .$call((query) => commitsInWindow(query, filter))
    .$if(isByName(filter), (query) => query.where('series.id', 'in', named(db, filter).select('series.id')))
    .groupBy('series.id')
    .select([
      'series.id as seriesId',
      sql<number>`cast(count(*) as double precision)`.as('failing'),
      sql<number>`cast(count(nullif(passed, 0)) as double precision)`.as('mixed'),
    ])
    .execute();
  return new Map(rows.map(({ seriesId, ...counts }) => [seriesId, counts]));
}

/** Days of the series that failed at least once in the window; without these, a spotless history would be most of the rows. */
export async function readFailingDays(db: Kysely<Schema>, filter: Filter = {}): Promise<DayRow[]> {
  const failing = inWindow(named(db, filter).innerJoin('daily', 'daily.series_id', 'series.id'), filter)
    .groupBy(['test.id', 'series.environment_id'])
    .having(sql<boolean>`sum(daily.failed + daily.timedout) > 0`)
    .select(['test.id as test_id', 'series.environment_id as environment_id'])
    .as('failing');
  const rows = await inWindow(
    named(db, filter)
      .innerJoin(failing, (join) =>
        join.onRef('failing.test_id', '=', 'test.id').onRef('failing.environment_id', '=', 'series.environment_id'),
      )
      .innerJoin('daily', 'daily.series_id', 'series.id'),
    filter,
  )
    .groupBy(['series.id', 'daily.day'])
    .select([
      'series.id as seriesId',
      'daily.day as day',
      sql<number>`cast(sum(daily.failed + daily.timedout) as double precision)`.as('failures'),
      sql<number>`cast(sum(daily.passed + daily.failed + daily.timedout) as double precision)`.as('attempts'),
    ])
    .orderBy('series.id')
    .orderBy('daily.day')
    .execute();
  return joinDays(rows, await readNames(db, filter));
}

/** Days of a renamed test belong to its newest series, as in {@link readCounts}. */
function joinDays(rows: readonly DayRow[], names: readonly NamedSeries[]): DayRow[] {
  const keys = new Map(
    names.map(({ seriesId, ...name }) => [
      seriesId,
      [name.repository, name.environment, name.package, name.test].join('\0'),
    ]),
  );
  const newest = new Map<string, number>();
  for (const [series, key] of keys) newest.set(key, Math.max(series, newest.get(key) ?? 0));
  const days = new Map<string, DayRow>();
  for (const row of rows) {
    const seriesId = newest.get(keys.get(row.seriesId) ?? '') ?? row.seriesId;
    const other = days.get(`${seriesId} ${row.day}`);
    days.set(`${seriesId} ${row.day}`, {
      seriesId,
      day: row.day,
      failures: row.failures + (other?.failures ?? 0),
      attempts: row.attempts + (other?.attempts ?? 0),
    });
  }
  return [...days.values()].sort((left, right) => left.seriesId - right.seriesId || left.day - right.day);
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

export async function readSuiteDurations(db: Kysely<Schema>): Promise<SuiteDurationRow[]> {
  const rows = await db
    .selectFrom('run')
    .innerJoin('environment', 'environment.id', 'run.environment_id')
    .innerJoin('suite', 'suite.id', 'run.suite_id')
    .where('run.complete', '=', 1)
    .where('run.excluded', 'is', null)
    .where('run.duration_ms', 'is not', null)
    .groupBy(['environment.name', 'suite.name'])
    .orderBy('environment.name')
    .orderBy('suite.name')
    .select([
      'environment.name as environment',
      'suite.name as suite',
      total('run.duration_ms').as('sumMs'),
      sql<number>`cast(count(*) as double precision)`.as('runs'),
    ])
    .execute();
  return rows.map(({ environment, suite, sumMs, runs }) => ({ environment, suite, durationMs: sumMs / runs, runs }));
}
