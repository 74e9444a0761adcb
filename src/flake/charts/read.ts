import { MkCiError } from '../../errors.js';
import {
  findRevisions,
  readCommits,
  readLastDay,
  readRepositories,
  readRunRows,
  type CommitRow,
  type RunRow,
} from '../store/chart-runs.js';
import { readCommitFailures } from '../store/chart-series.js';
import { readSeriesSums } from '../store/series-days.js';
import { type RunScope } from '../store/chart-scope.js';
import { DAY_MS } from '../store/record.js';
import type { EnvironmentVersion } from '../store/store.js';
import { httpUrl } from '../../results/http-url.js';
import { leftOut, LIMITS, spanOf, windowOf, type ChartStore, type PageQuery } from './page-query.js';
import { NO_SUMS, pointsOf, rateOfCounts, rateOfSums, totalOf } from './points.js';
import { daysOfEnvironments, failingSeries, type EnvironmentView } from './by-environment.js';
import { environmentDay, rankEnvironments, rankTests } from './rank.js';
import type { ChartRun, CommitPage, CommitSummary, EnvironmentPage, Overview, RankedTest } from './schemas.js';

/** Failed tests a day in every environment, the ranking of both, and the newest commits. */
export async function readOverview(store: ChartStore, query: PageQuery = {}): Promise<Overview> {
  const scope: RunScope = { repository: query.repository, runs: query.runs };
  const span = await spanOf(store, query, scope);
  const environments = await store.environments();
  const view = { ...scope, span };
  const ranked = rankEnvironments(await daysOfEnvironments(store, environments, view));
  const tests = await readRanking(store, environments, view);
  const commits = await store.read((db) => readCommits(db, scope, span, { limit: LIMITS.commits + 1 }));
  return {
    kind: 'overview',
    ...(query.repository === undefined ? {} : { repository: query.repository }),
    repositories: await store.read(readRepositories),
    window: windowOf(span),
    totals: {
      runs: totalOf(ranked, 'runs'),
      tests: totalOf(ranked, 'tests'),
      failedTests: totalOf(ranked, 'failedTests'),
      excludedRuns: totalOf(ranked, 'excludedRuns'),
      failingTests: tests.total,
    },
    environments: ranked.slice(0, LIMITS.environments),
    tests: tests.ranked.slice(0, LIMITS.tests).map(({ seriesId: _, ...test }) => test),
    commits: commits.slice(0, LIMITS.commits).map(commitSummary),
    leftOut: leftOut({
      environments: ranked.length - LIMITS.environments,
      tests: tests.total - LIMITS.tests,
    }),
  };
}

/** @throws {MkCiError} `DB_NOT_FOUND` when no run was in that environment */
export async function readEnvironmentPage(
  store: ChartStore,
  environment: string,
  query: PageQuery = {},
): Promise<EnvironmentPage> {
  const scope: RunScope = { repository: query.repository, runs: query.runs, environment };
  const own = (await store.environments()).filter(({ name }) => name === environment);
  if ((await store.read((db) => readLastDay(db, scope))) === undefined)
    throw new MkCiError('DB_NOT_FOUND', { message: `environment ${environment}` });
  const span = await spanOf(store, query, scope);
  const view = { repository: query.repository, runs: query.runs, span };
  const days = await daysOfEnvironments(store, own, view);
  const { ranked, total, daysOf } = await readRanking(store, own, view);
  return {
    kind: 'environment',
    environment,
    ...(query.repository === undefined ? {} : { repository: query.repository }),
    window: windowOf(span),
    days: days.map(environmentDay),
    tests: ranked.slice(0, LIMITS.tests).map(({ seriesId, ...test }, index) => {
      if (index >= LIMITS.curves) return test;
      const curve = daysOf.get(seriesId) ?? [];
      return { ...test, days: pointsOf(curve, 'day'), weeks: pointsOf(curve, 'week') };
    }),
    leftOut: leftOut({ tests: total - LIMITS.tests }),
  };
}

/**
 * @param sha whole, or its beginning
 * @throws {MkCiError} `DB_NOT_FOUND` also when the beginning is that of several
 */
export async function readCommitPage(
  store: ChartStore,
  sha: string,
  query: Pick<PageQuery, 'repository'> = {},
): Promise<CommitPage> {
  const found = await store.read((db) => findRevisions(db, sha, query.repository));
  const revision = found[0];
  if (revision === undefined || sha.length < 4) throw new MkCiError('DB_NOT_FOUND', { message: `commit ${sha}` });
  if (found.length > 1) {
    throw new MkCiError('DB_NOT_FOUND', {
      message: `commit ${sha} could be any of ${found.map((one) => `${one.sha} of ${one.repository}`).join(', ')}`,
      advice: 'Give more of it, or the repository.',
    });
  }
  const revisionId = revision.id;
  const runs = await store.read((db) => readRunRows(db, { revisionId }, { limit: LIMITS.runs + 1 }));
  const failures = await store.read((db) => readCommitFailures(db, revisionId, LIMITS.tests * 4));
  const day = Math.floor(Math.min(...runs.map(({ startedAtMs }) => startedAtMs)) / DAY_MS);
  const span = Number.isFinite(day) ? { from: day - 30, to: day - 1 } : { from: 0, to: 0 };
  const ids = failures.rows.map(({ seriesId }) => seriesId);
  const usual = await store.read((db) => readSeriesSums(db, ids, span));
  return {
    kind: 'commit',
    repository: revision.repository,
    commit: revision.sha,
    runs: runs.slice(0, LIMITS.runs).map(runOf),
    failures: failures.rows.map(({ seriesId, repository, environment, package: pkg, test, passed, failed }) => ({
      repository,
      environment,
      package: pkg,
      test,
      here: rateOfCounts(failed, passed + failed, 1),
      usual: rateOfSums(usual.get(seriesId) ?? NO_SUMS),
    })),
    leftOut: leftOut({ runs: runs.length - LIMITS.runs, failures: failures.total - LIMITS.tests * 4 }),
  };
}

/** Commits of a window, newest first. */
export async function readChartCommits(
  store: ChartStore,
  query: PageQuery & { readonly environment?: string | undefined },
  page: { readonly limit: number; readonly offset: number },
): Promise<CommitRow[]> {
  const { repository, environment, runs } = query;
  const scope: RunScope = { repository, environment, runs };
  const span = await spanOf(store, query, scope);
  return await store.read((db) => readCommits(db, scope, span, page));
}

/** Tests that failed in the window, ranked, with their daily sums by series. */
async function readRanking(store: ChartStore, environments: readonly EnvironmentVersion[], view: EnvironmentView) {
  const { rows, total, daysOf } = await failingSeries(store, environments, view);
  const ranked: (RankedTest & { readonly seriesId: number })[] = rankTests(rows, daysOf);
  return { ranked, total, daysOf };
}

export function commitSummary(row: CommitRow): CommitSummary {
  const { repository, sha, branch, pullRequest, firstAtMs, lastAtMs, runs, environments, tests, failedTests } = row;
  return {
    repository,
    commit: sha,
    ...(branch === null ? {} : { branch }),
    ...(pullRequest === null ? {} : { pullRequest }),
    firstAt: new Date(firstAtMs).toISOString(),
    lastAt: new Date(lastAtMs).toISOString(),
    runs,
    environments,
    tests,
    failedTests,
  };
}

export function runOf(row: RunRow): ChartRun {
  const url = row.url === null ? undefined : httpUrl(row.url);
  return {
    run: row.uid,
    repository: row.repository,
    environment: row.environment,
    suite: row.suite,
    ...(row.sha.startsWith('run:') ? {} : { commit: row.sha }),
    ...(row.branch === null ? {} : { branch: row.branch }),
    ...(row.pullRequest === null ? {} : { pullRequest: row.pullRequest }),
    ...(url === undefined ? {} : { url }),
    at: new Date(row.startedAtMs).toISOString(),
    ...(row.durationMs === null ? {} : { durationMs: row.durationMs }),
    tests: row.tests,
    failedTests: row.failedTests,
    ...(row.excluded === null ? {} : { excluded: row.excluded }),
    complete: row.complete === 1,
  };
}
