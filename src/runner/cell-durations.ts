import type { CellDurations } from './plan.js';

/** Mean duration of one suite, or of one shard of it (`e2e 1/4`), in an environment. */
export interface RecordedSuite {
  readonly environment: string;
  readonly suite: string;
  readonly durationMs: number;
  readonly runs: number;
}

/**
 * Expected duration of a whole suite from what was recorded of it: unsharded, or as the sum of its shards, those not
 * recorded counted as the mean of the others. Where it ran in several ways, the one with most runs counts.
 */
export function cellDurations(recorded: readonly RecordedSuite[]): CellDurations {
  interface Way {
    runs: number;
    sumMs: number;
    shards: number;
    readonly total: number;
  }
  const ways = new Map<string, Map<number, Way>>();
  const keyOf = (environment: string, suite: string): string => `${environment}\0${suite}`;
  for (const { environment, suite, durationMs, runs } of recorded) {
    const shard = /^(.*) \d+\/(\d+)$/s.exec(suite);
    const key = keyOf(environment, shard?.[1] ?? suite);
    const total = Number(shard?.[2] ?? 1);
    const known = ways.get(key) ?? new Map<number, Way>();
    const way = known.get(total) ?? { runs: 0, sumMs: 0, shards: 0, total };
    way.runs += runs;
    way.sumMs += durationMs;
    way.shards += 1;
    ways.set(key, known.set(total, way));
  }
  const mostRuns = (left: Way, right: Way): Way => (right.runs / right.total > left.runs / left.total ? right : left);
  return (environment, suite) => {
    const known = ways.get(keyOf(environment, suite));
    if (known === undefined) return undefined;
    const { sumMs, shards, total } = [...known.values()].reduce(mostRuns);
    return (sumMs / shards) * total;
  };
}
