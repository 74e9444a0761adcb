import type { PlannedCell } from './plan.js';
import { assignShards } from './shards.js';

/** One machine of a matrix and the cells it runs. */
export interface MatrixJob {
  /** `1` …, for names of jobs and artifacts. */
  readonly name: string;
  /** Ids for `mk-ci run --cell`, with commas. */
  readonly cells: string;
  /** Drivers its cells need, with commas: to choose a runner or install programs. */
  readonly drivers: string;
  /** Expected time; absent when a cell never ran. */
  readonly expectedMinutes?: number;
  /** Sum of the time limits, rounded up, with a quarter of an hour for set-up. */
  readonly timeoutMinutes: number;
}

const SETUP_MINUTES = 15;

/**
 * Spreads cells over at most so many machines: the longest first, each to the machine that has least to do. Pure: the
 * same cells and durations give the same jobs.
 */
export function matrixJobs(cells: readonly PlannedCell[], most: number): MatrixJob[] {
  const byId = new Map(cells.map((cell) => [cell.id, cell]));
  const median = medianOf(cells.flatMap(({ expectedMs }) => expectedMs ?? []));
  const items = cells.map(({ id, expectedMs }) => ({ key: id, durationMs: expectedMs ?? median ?? 1 }));
  return assignShards(items, Math.max(1, Math.min(most, cells.length)))
    .filter((ids) => ids.length > 0)
    .map((ids, index) => {
      const mine = ids.flatMap((id) => byId.get(id) ?? []);
      const isKnown = mine.every(({ expectedMs }) => expectedMs !== undefined);
      const expectedMs = mine.reduce((sum, cell) => sum + (cell.expectedMs ?? 0), 0);
      // Every retry has the same limit.
      const limitMs = mine.reduce((sum, { timeoutMs, retries }) => sum + timeoutMs * (retries + 1), 0);
      return {
        name: String(index + 1),
        cells: ids.join(','),
        drivers: [...new Set(mine.map(({ environmentConfig }) => environmentConfig.driver))].sort().join(','),
        ...(isKnown ? { expectedMinutes: Math.round(expectedMs / 6_000) / 10 } : {}),
        // GitHub ends a job after six hours.
        timeoutMinutes: Math.min(360, Math.ceil(limitMs / 60_000) + SETUP_MINUTES),
      };
    });
}

function medianOf(values: readonly number[]): number | undefined {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)];
}
