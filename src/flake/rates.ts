import type { Cluster } from './statistics/dispersion.js';
import { byRate, flakeRateOf, type FlakeRate } from './statistics/flake-rate.js';
import type { Filter, FlakeStore } from './store/store.js';

/**
 * Rates of every test in every environment that match, highest first.
 *
 * @returns one entry for each (repository, environment, package, test) with a run in the window
 */
export async function readRates(
  store: Pick<FlakeStore, 'counts' | 'failingDays'>,
  filter: Filter = {},
): Promise<FlakeRate[]> {
  const rows = await store.counts(filter);
  const days = new Map<number, Cluster[]>();
  for (const day of await store.failingDays(filter)) {
    const list = days.get(day.seriesId);
    if (list === undefined) days.set(day.seriesId, [day]);
    else list.push(day);
  }
  return rows.map((row) => flakeRateOf(row, days.get(row.seriesId) ?? [])).sort(byRate);
}
