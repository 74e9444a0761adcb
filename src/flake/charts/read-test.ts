import { MkCiError } from '../../errors.js';
import { dispersionOf } from '../statistics/dispersion.js';
import { readFailingCommitCounts, readSeriesOfTest } from '../store/chart-series.js';
import type { SeriesRow } from '../store/chart-scope.js';
import { readSeriesDays, readSeriesSums } from '../store/series-days.js';
import { readTestRuns } from '../store/test-runs.js';
import { leftOut, LIMITS, spanOf, windowOf, type ChartStore, type PageQuery } from './page-query.js';
import { NO_SUMS, pointsOf, rateOf, rateOfSums, totalOf } from './points.js';
import { runsOfEnvironment } from './runs-cache.js';
import type { TestPage } from './schemas.js';
import { attemptsOf, changepointsOf } from './test-page.js';

/** A test in an environment by its exact names. */
export interface TestName {
  readonly repository?: string | undefined;
  readonly environment: string;
  readonly package?: string | undefined;
  readonly test: string;
}

/** All of a page that is read from the test's own environment: true as long as that has the same version. */
export type OwnTestPage = Omit<TestPage, 'environments'>;

/** The rest of it: the test in every environment. */
export type TestEnvironments = Pick<TestPage, 'environments' | 'leftOut'>;

/** @throws {MkCiError} `DB_NOT_FOUND` */
export async function readTestPage(store: ChartStore, name: TestName, query: PageQuery = {}): Promise<TestPage> {
  const own = await readOwnTestPage(store, name, query);
  const { environments, leftOut: more } = await readTestEnvironments(store, name, query);
  return { ...own, environments, leftOut: { ...own.leftOut, ...more } };
}

/** @throws {MkCiError} `DB_NOT_FOUND` */
export async function readOwnTestPage(store: ChartStore, name: TestName, query: PageQuery = {}): Promise<OwnTestPage> {
  const { series } = await findSeries(store, name);
  const { seriesId, repository, environment, package: pkg, test } = series;
  const span = await spanOf(store, query, { repository, environment, runs: query.runs });
  const read = await store.read((db) => readSeriesDays(db, [seriesId], span, query.runs));
  const days = (read.get(seriesId) ?? []).filter(({ passed, failed }) => passed + failed > 0);
  const commits = await store.read((db) => readFailingCommitCounts(db, seriesId, span, query.runs));
  const environmentOf = (await store.environments()).find(({ id }) => id === series.environmentId);
  if (environmentOf === undefined) throw new Error(`environment ${series.environmentId} of a series is not there`);
  const shownRuns = await runsOfEnvironment(store, environmentOf, span, {
    runs: query.runs,
    limit: LIMITS.attempts * 4,
  });
  const rows = await store.read((db) => readTestRuns(db, series, shownRuns, LIMITS.attempts));
  const { attempts, signatures } = attemptsOf(rows);
  const rate = rateOf(days);
  const dispersion = dispersionOf(days.map(({ passed, failed }) => ({ failures: failed, attempts: passed + failed })));
  return {
    kind: 'test',
    repository,
    environment,
    package: pkg,
    test,
    window: windowOf(span),
    rate,
    runs: totalOf(days, 'runs'),
    failedRuns: totalOf(days, 'failedRuns'),
    mixedRuns: totalOf(days, 'mixedRuns'),
    ...commits,
    dispersion,
    ...(rate.attempts === 0 ? {} : { durationMs: Math.round(totalOf(days, 'durationMs') / rate.attempts) }),
    days: pointsOf(days, 'day'),
    weeks: pointsOf(days, 'week'),
    changepoints: changepointsOf(rows, dispersion),
    signatures: signatures.slice(0, LIMITS.signatures),
    attempts,
    leftOut: leftOut({
      // Skipped attempts are rows too, so this is a lower bound: it never claims that more is shown than is.
      attempts: rows.length < LIMITS.attempts ? 0 : rate.attempts - rows.length,
      signatures: signatures.length - LIMITS.signatures,
    }),
  };
}

/** @throws {MkCiError} `DB_NOT_FOUND` */
export async function readTestEnvironments(
  store: ChartStore,
  name: TestName,
  query: PageQuery = {},
): Promise<TestEnvironments> {
  const { series, all } = await findSeries(store, name);
  const { repository, environment, package: pkg } = series;
  const span = await spanOf(store, query, { repository, environment, runs: query.runs });
  const siblings = all.filter((other) => other.repository === repository && other.package === pkg);
  const shown = siblings.slice(0, LIMITS.environments);
  const ids = shown.map(({ seriesId }) => seriesId);
  const sumsOf = await store.read((db) => readSeriesSums(db, ids, span, query.runs));
  return {
    environments: shown.map((sibling) => ({
      environment: sibling.environment,
      rate: rateOfSums(sumsOf.get(sibling.seriesId) ?? NO_SUMS),
    })),
    leftOut: leftOut({ environments: siblings.length - LIMITS.environments }),
  };
}

async function findSeries(
  store: ChartStore,
  name: TestName,
): Promise<{ readonly series: SeriesRow; readonly all: readonly SeriesRow[] }> {
  const all = await store.read((db) => readSeriesOfTest(db, name));
  const series = all.find(({ environment }) => environment === name.environment);
  if (series === undefined) {
    throw new MkCiError('DB_NOT_FOUND', { message: `test ${name.test} in ${name.environment}` });
  }
  return { series, all };
}
