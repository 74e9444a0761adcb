import { dispersionOfSums, effectiveCounts } from './statistics/dispersion.js';
import { DEFAULT_PRIOR, fitPrior, type BetaPrior } from './statistics/prior.js';
import type { CountRow, Filter, FlakeStore } from './store/store.js';

/** What is believed of a test of an environment before its own history is looked at. */
export type FindPrior = (environment: string) => BetaPrior;

/**
 * Fits the prior of each environment of a repository to the rates of its tests in a window; environments with too few tests
 * keep the default one. Each is fitted when it is first asked for.
 *
 * @param repository rows without a repository are taken for this one's
 * @param filter the window, such as the 30 days before a verdict
 */
export async function readPriors(
  store: Pick<FlakeStore, 'counts'>,
  repository: string,
  filter: Pick<Filter, 'sinceMs' | 'untilMs'>,
): Promise<FindPrior> {
  const rows = (await store.counts(filter)).filter((row) => row.repository === repository || row.repository === '');
  const fitted = new Map<string, BetaPrior>();
  return (environment) => {
    let prior = fitted.get(environment);
    if (prior === undefined) {
      prior = fitPrior(rows.filter((row) => row.environment === environment).map(effectiveCountsOf));
      fitted.set(environment, prior);
    }
    return prior;
  };
}

/** For a caller without a database. */
export const findDefaultPrior: FindPrior = () => DEFAULT_PRIOR;

function effectiveCountsOf(row: CountRow): { readonly k: number; readonly n: number } {
  const failures = row.counts.failed + row.counts.timedout;
  const attempts = row.counts.passed + failures;
  const sums = { failures, attempts, clusters: row.clusters, squares: row.clusterSquares };
  return effectiveCounts(failures, attempts, dispersionOfSums(sums));
}
