import { inflateRawSync } from 'node:zlib';

import { sql, type Kysely, type SelectQueryBuilder } from 'kysely';

import { DAY_MS, dayOf, statusOfCode, type ResultRecord, type RunRecord } from './record.js';
import { BLOCK_FORMAT, BLOCK_FORMAT_KEY, WindowTotals, blockOf, type WindowSums } from './daily-block.js';
import type { Schema } from './schema.js';
import type {
  AttemptRow,
  CountRow,
  DayRow,
  DurationRow,
  Filter,
  HistoryRow,
  SeriesName,
  SignatureRow,
  SuiteDurationRow,
} from './store.js';

/**
 * Reads, the same for every engine. They count and list; what the numbers mean is decided in `statistics/` and
 * `verdict/`.
 */

/** Sums of integers are `bigint` in Postgres, sums of those `numeric`; both engines give a JavaScript number this way. */
const total = (column: string) => sql<number>`cast(coalesce(sum(${sql.ref(column)}), 0) as double precision)`;

/** A renamed test is counted as what it is called now. For queries that have joined it as `own_test`. */
const currentTest = sql<number>`coalesce(own_test.alias_of, own_test.id)`;

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

type FindSums = (seriesId: number) => WindowSums | undefined;

/** A block is read whole: with fewer series of it than this, their own days are read. */
const FEWEST_OF_A_BLOCK = 16;

/** Two ways to the same sums (`store-contract.test-kit.ts`): by blocks for many series, day by day for few. */
async function readWindow(
  db: Kysely<Schema>,
  filter: Filter,
  series: readonly { readonly seriesId: number }[],
): Promise<FindSums> {
  if (series.length === 0) return () => undefined;
  const blocks = [...new Set(series.map(({ seriesId }) => blockOf(seriesId)))];
  if (series.length < blocks.length * FEWEST_OF_A_BLOCK || !(await hasBlocks(db))) return await sumDays(db, filter);
  return await sumBlocks(db, filter, isByName(filter) ? blocks : undefined);
}

/** A file of an earlier version that is only read has none. */
export async function hasBlocks(db: Kysely<Schema>): Promise<boolean> {
  const row = await db.selectFrom('meta').select('value').where('key', '=', BLOCK_FORMAT_KEY).executeTakeFirst();
  return row?.value === BLOCK_FORMAT;
}

export async function sumBlocks(
  db: Kysely<Schema>,
  { sinceMs, untilMs, ...filter }: Filter,
  blocks?: readonly number[],
): Promise<FindSums> {
  const rows = await db
    .selectFrom('daily_block')
    .$if(sinceMs !== undefined, (query) => query.where('day', '>=', dayOf(sinceMs ?? 0)))
    .$if(untilMs !== undefined, (query) => query.where('day', '<', Math.ceil((untilMs ?? 0) / DAY_MS)))
    .$if(isNarrow(filter), (query) => query.where('pull', '=', filter.runs === 'base' ? 0 : 1))
    .$if(blocks !== undefined, (query) => query.where('block', 'in', blocks ?? []))
    .select(['day', 'block', 'sums'])
    .execute();
  const totals = new WindowTotals();
  for (const { day, block, sums } of rows) totals.add(block, day, sums);
  return (seriesId) => totals.of(seriesId);
}

/** On SQLite `cross` fixes the order: series by series, each with a seek to the window, in the order of grouping. */
export async function sumDays(db: Kysely<Schema>, filter: Filter): Promise<FindSums> {
  const rows = await inWindow(
    db
      .selectFrom('series')
      .crossJoin('daily')
      .whereRef('daily.series_id', '=', 'series.id')
      .$if(isByName(filter), (query) => query.where('series.id', 'in', named(db, filter).select('series.id'))),
    filter,
  )
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
      sql<number>`cast(count(nullif(daily.runs, 0)) as double precision)`.as('clusters'),
      sql<number>`cast(sum(case when daily.failed + daily.timedout > 0
        then 1.0 * (daily.failed + daily.timedout) * (daily.failed + daily.timedout)
          / (daily.passed + daily.failed + daily.timedout)
        else 0 end) as double precision)`.as('squares'),
      sql<number>`min(daily.day)`.as('firstDay'),
      sql<number>`max(daily.day)`.as('lastDay'),
    ])
    .execute();
  const found = new Map(rows.map(({ seriesId, ...sums }) => [seriesId, sums]));
  return (seriesId) => found.get(seriesId);
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

function sumOf(left: CountRow, right: CountRow): CountRow {
  const add = (member: keyof typeof left.counts): number => left.counts[member] + right.counts[member];
  return {
    ...right,
    counts: {
      passed: add('passed'),
      failed: add('failed'),
      skipped: add('skipped'),
      error: add('error'),
      timedout: add('timedout'),
      notrun: add('notrun'),
    },
    runs: left.runs + right.runs,
    failedRuns: left.failedRuns + right.failedRuns,
    mixedRuns: left.mixedRuns + right.mixedRuns,
    failingCommits: left.failingCommits + right.failingCommits,
    mixedCommits: left.mixedCommits + right.mixedCommits,
    passedMs: left.passedMs + right.passedMs,
    failedMs: left.failedMs + right.failedMs,
    clusters: left.clusters + right.clusters,
    clusterSquares: left.clusterSquares + right.clusterSquares,
    firstDay: Math.min(left.firstDay, right.firstDay),
    lastDay: Math.max(left.lastDay, right.lastDay),
  };
}

function isByName(filter: Filter): boolean {
  return isByTest(filter) || filter.environment !== undefined;
}

function isByTest({ repository, package: pkg, test }: Filter): boolean {
  return [repository, pkg, test].some((pattern) => pattern !== undefined);
}

interface NamedSeries extends SeriesName {
  readonly seriesId: number;
  readonly isRenamed: boolean;
}

/** By ascending id. Joined here: tests and environments are few, and a database would look both up for every series. */
async function readNames(db: Kysely<Schema>, filter: Filter): Promise<NamedSeries[]> {
  const tests = await testsNamed(db, filter)
    .select([
      sql<boolean | number>`own_test.alias_of is not null`.as('isRenamed'),
      'repository.name as repository',
      'test.package as package',
      'test.name as test',
    ])
    .execute();
  const environments = await narrowed(db.selectFrom('environment'), [['environment.name', filter.environment]])
    .select(['id', 'name'])
    .execute();
  const series = await db
    .selectFrom('series')
    .$if(isByTest(filter), (query) => query.where('test_id', 'in', testsNamed(db, filter)))
    .select(['id', 'test_id', 'environment_id'])
    .orderBy('id')
    .execute();
  const testOf = new Map(tests.map((test) => [test.id, test]));
  const environmentOf = new Map(environments.map(({ id, name }) => [id, name]));
  return series.flatMap(({ id, test_id, environment_id }) => {
    const found = testOf.get(test_id);
    const environment = environmentOf.get(environment_id);
    if (found === undefined || environment === undefined) return [];
    const { repository, package: pkg, test, isRenamed } = found;
    return [{ seriesId: id, repository, environment, package: pkg, test, isRenamed: Boolean(isRenamed) }];
  });
}

async function readFailingCommits(
  db: Kysely<Schema>,
  filter: Filter,
): Promise<Map<number, { readonly failing: number; readonly mixed: number }>> {
  const rows = await db
    .selectFrom('series')
    .crossJoin('failing_commit')
    .whereRef('failing_commit.series_id', '=', 'series.id')
    .$if(filter.sinceMs !== undefined, (query) => query.where('last_at', '>=', dayOf(filter.sinceMs ?? 0) * DAY_MS))
    .$if(filter.untilMs !== undefined, (query) => query.where('last_at', '<', filter.untilMs ?? 0))
    .$if(isNarrow(filter), (query) => query.where('pull', '=', filter.runs === 'base' ? 0 : 1))
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

export async function readHistory(db: Kysely<Schema>, filter: Filter, limit = 1000): Promise<HistoryRow[]> {
  const rows = await db
    .selectFrom('run')
    // Fixed order on SQLite: from the newest run back, each test by the key of `result`, until the limit is reached.
    .crossJoin('test as own_test')
    .crossJoin('result')
    .innerJoin('test', (join) => join.on('test.id', '=', currentTest))
    .innerJoin('repository', 'repository.id', 'test.repository_id')
    .innerJoin('environment', 'environment.id', 'run.environment_id')
    .innerJoin('suite', 'suite.id', 'run.suite_id')
    .innerJoin('revision', 'revision.id', 'run.revision_id')
    .leftJoin('failure', 'failure.id', 'result.failure_id')
    .whereRef('result.run_id', '=', 'run.id')
    .whereRef('result.test_id', '=', 'own_test.id')
    .where('own_test.id', 'in', testsNamed(db, filter))
    .$call((query) => matching(query, filter))
    .$call((query) => runsInWindow(query, filter))
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

/** Found once and not for every run. */
function testsNamed(db: Kysely<Schema>, { repository, package: pkg, test }: Filter) {
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

export async function readSignatures(db: Kysely<Schema>, filter: Filter = {}): Promise<SignatureRow[]> {
  const rows = await db
    .selectFrom('result')
    .innerJoin('run', 'run.id', 'result.run_id')
    .innerJoin('test as own_test', 'own_test.id', 'result.test_id')
    .innerJoin('test', (join) => join.on('test.id', '=', currentTest))
    .innerJoin('repository', 'repository.id', 'test.repository_id')
    .innerJoin('environment', 'environment.id', 'run.environment_id')
    .innerJoin('failure', 'failure.id', 'result.failure_id')
    .innerJoin('signature as own', 'own.id', 'failure.signature_id')
    .innerJoin('signature', 'signature.id', 'own.cluster_id')
    .where('result.failure_id', 'is not', null)
    .where('run.excluded', 'is', null)
    .$call((query) => matching(query, filter))
    .$call((query) => runsInWindow(query, filter))
    .groupBy(['repository.name', 'environment.name', 'test.package', 'test.name', 'signature.id'])
    .select([
      'repository.name as repository',
      'environment.name as environment',
      'test.package as package',
      'test.name as test',
      sql<string>`min(signature.key)`.as('key'),
      sql<string>`min(own.text)`.as('text'),
      sql<number>`min(signature.weak)`.as('weak'),
      sql<number>`cast(count(*) as double precision)`.as('failures'),
      sql<number>`cast(count(distinct run.revision_id) as double precision)`.as('commits'),
      sql<number>`min(run.started_at)`.as('firstAtMs'),
      sql<number>`max(run.started_at)`.as('lastAtMs'),
      sql<number>`coalesce(min(own.first_at), min(run.started_at))`.as('bornAtMs'),
    ])
    .orderBy('failures', 'desc')
    .orderBy('key')
    .orderBy('repository.name')
    .orderBy('environment.name')
    .orderBy('test.package')
    .orderBy('test.name')
    .execute();
  return rows.map((row) => ({ ...row, weak: row.weak === 1 }));
}

export async function readAttempts(db: Kysely<Schema>, filter: Filter = {}): Promise<AttemptRow[]> {
  const rows = await runsInWindow(
    matching(
      db
        .selectFrom('run')
        .innerJoin('result', 'result.run_id', 'run.id')
        .innerJoin('test as own_test', 'own_test.id', 'result.test_id')
        .innerJoin('test', (join) => join.on('test.id', '=', currentTest))
        .innerJoin('repository', 'repository.id', 'test.repository_id')
        .innerJoin('environment', 'environment.id', 'run.environment_id'),
      filter,
    ),
    filter,
  )
    .where('run.excluded', 'is', null)
    .select([
      'environment.name as environment',
      'test.package as package',
      'test.name as test',
      'result.status as status',
      'result.duration_ms as durationMs',
    ])
    .orderBy('run.id')
    .orderBy('result.test_id')
    .orderBy('result.attempt')
    .execute();
  return rows.map((row) => ({ ...row, status: statusOfCode(row.status), durationMs: row.durationMs ?? undefined }));
}

/** Runs are read in pages, so memory does not grow with the history. */
export async function* readRuns(
  db: Kysely<Schema>,
  filter: Pick<Filter, 'sinceMs' | 'untilMs'> = {},
): AsyncGenerator<RunRecord> {
  const pageSize = 100;
  for (let after = 0; ;) {
    const runs = await runsInWindow(
      db
        .selectFrom('run')
        .innerJoin('repository', 'repository.id', 'run.repository_id')
        .innerJoin('environment', 'environment.id', 'run.environment_id')
        .innerJoin('suite', 'suite.id', 'run.suite_id')
        .innerJoin('revision', 'revision.id', 'run.revision_id')
        .where('run.id', '>', after)
        .where('run.pruned', '=', 0),
      filter,
    )
      .select([
        'run.id as id',
        'run.uid as uid',
        'repository.name as repository',
        'environment.name as environment',
        'suite.name as suite',
        'revision.sha as sha',
        'revision.tree_sha as treeSha',
        'revision.position as position',
        'run.branch as branch',
        'run.pull_request as pullRequest',
        'run.url as url',
        'run.started_at as startedAtMs',
        'run.duration_ms as durationMs',
        'run.complete as complete',
        'run.excluded as excluded',
        'run.origin as origin',
      ])
      .orderBy('run.id')
      .limit(pageSize)
      .execute();
    if (runs.length === 0) return;
    const results = await readResults(
      db,
      runs.map(({ id }) => id),
    );
    for (const {
      id,
      sha,
      treeSha,
      position,
      branch,
      pullRequest,
      url,
      durationMs,
      excluded,
      complete,
      ...run
    } of runs) {
      yield {
        ...run,
        ...(sha.startsWith('run:')
          ? {}
          : {
              commit: {
                sha,
                ...(treeSha === null ? {} : { treeSha }),
                ...(position === null ? {} : { position }),
              },
            }),
        ...(branch === null ? {} : { branch }),
        ...(pullRequest === null ? {} : { pullRequest }),
        ...(url === null ? {} : { url }),
        ...(durationMs === null ? {} : { durationMs }),
        ...(excluded === null ? {} : { excluded }),
        complete: complete === 1,
        results: results.get(id) ?? [],
      };
    }
    after = runs.at(-1)?.id ?? after;
  }
}

async function readResults(db: Kysely<Schema>, runIds: readonly number[]): Promise<Map<number, ResultRecord[]>> {
  const rows = await db
    .selectFrom('result')
    .innerJoin('test', 'test.id', 'result.test_id')
    .leftJoin('failure', 'failure.id', 'result.failure_id')
    .where('result.run_id', 'in', runIds)
    .select([
      'result.run_id as runId',
      'test.package as package',
      'test.name as name',
      'result.attempt as attempt',
      'result.status as status',
      'result.duration_ms as durationMs',
      'failure.kind as kind',
      'failure.message as message',
      'failure.body as body',
    ])
    .orderBy('result.run_id')
    .orderBy('result.test_id')
    .orderBy('result.attempt')
    .execute();
  const byRun = new Map<number, ResultRecord[]>();
  for (const { runId, status, durationMs, kind, message, body, ...row } of rows) {
    const list = byRun.get(runId) ?? [];
    byRun.set(runId, list);
    list.push({
      ...row,
      status: statusOfCode(status),
      ...(durationMs === null ? {} : { durationMs }),
      ...(message === null
        ? {}
        : {
            failure: {
              message,
              ...(body === null ? {} : { text: inflateRawSync(body).toString('utf8') }),
              ...(kind === null ? {} : { kind }),
            },
          }),
    });
  }
  return byRun;
}

/** For queries that have joined run. */
function runsInWindow<Tables, T extends keyof Tables, O>(
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
    .innerJoin('test as own_test', 'own_test.id', 'series.test_id')
    .innerJoin('test', (join) => join.on('test.id', '=', currentTest))
    .innerJoin('repository', 'repository.id', 'test.repository_id')
    .innerJoin('environment', 'environment.id', 'series.environment_id')
    .$call((query) => matching(query, filter));
}

/** For queries that have joined repository, environment and test. */
function matching<Tables, T extends keyof Tables, O>(
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

function narrowed<Tables, T extends keyof Tables, O>(
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
