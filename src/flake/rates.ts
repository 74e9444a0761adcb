import { byRate, flakeRateOf, type FlakeRate } from './statistics/flake-rate.js';
import type { Filter, FlakeStore } from './store/store.js';

/**
 * Rates of every test in every environment that match, highest first.
 *
 * @returns one entry for each (repository, environment, package, test) with a run in the window
 */
export async function readRates(store: Pick<FlakeStore, 'counts'>, filter: Filter = {}): Promise<FlakeRate[]> {
  return (await store.counts(filter)).map(flakeRateOf).sort(byRate);
}
