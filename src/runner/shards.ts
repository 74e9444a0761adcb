import { createHash } from 'node:crypto';

/** Something that takes time and goes to exactly one shard. */
export interface ShardItem {
  /** Unique among the items. */
  readonly key: string;
  /** Expected duration from earlier runs; absent for what never ran. */
  readonly durationMs?: number;
}

/**
 * Distributes items over shards, each to exactly one, the same way on every machine that has the same input.
 *
 * With a duration for at least one item: longest first, each to the shard that has least so far (LPT, at most 4/3 of the
 * best possible length); items that never ran count as the median of the others. Without any: by a stable hash of the
 * key alone, so that adding a test moves no other one.
 *
 * @see {@link https://doi.org/10.1137/0117039} Graham, Bounds on multiprocessing timing anomalies, 1969
 * @returns `total` lists of keys, each in the order of the input; some may be empty
 */
export function assignShards(items: readonly ShardItem[], total: number): string[][] {
  const shardOf = items.some((item) => item.durationMs !== undefined)
    ? byDuration(items, total)
    : (key: string) => hashOf(key) % total;
  const shards = Array.from({ length: total }, (): string[] => []);
  for (const { key } of items) shards[shardOf(key)]?.push(key);
  return shards;
}

/**
 * Distributes items evenly by count, by hash order: for the cells of a run over machines, which do not share a
 * database of durations and must still agree.
 */
export function assignEvenly(keys: readonly string[], total: number): string[][] {
  const rank = new Map(
    [...keys].sort((a, b) => hashOf(a) - hashOf(b) || (a < b ? -1 : 1)).map((key, index) => [key, index]),
  );
  const shards = Array.from({ length: total }, (): string[] => []);
  for (const key of keys) shards[(rank.get(key) ?? 0) % total]?.push(key);
  return shards;
}

function byDuration(items: readonly ShardItem[], total: number): (key: string) => number {
  const known = items.flatMap((item) => item.durationMs ?? []).sort((a, b) => a - b);
  const median = known[Math.floor(known.length / 2)] ?? 0;
  const loads = Array.from({ length: total }, () => ({ durationMs: 0, count: 0 }));
  const assigned = new Map<string, number>();
  const longestFirst = items
    .map(({ key, durationMs = median }) => ({ key, durationMs }))
    .sort((a, b) => b.durationMs - a.durationMs || (a.key < b.key ? -1 : 1));
  for (const { key, durationMs } of longestFirst) {
    let least = 0;
    for (const [index, load] of loads.entries()) {
      const best = loads[least];
      if (best === undefined) break;
      // Items of no duration are spread by count instead of all falling on the first shard.
      if (load.durationMs < best.durationMs || (load.durationMs === best.durationMs && load.count < best.count)) {
        least = index;
      }
    }
    const load = loads[least];
    if (load !== undefined) {
      load.durationMs += durationMs;
      load.count += 1;
    }
    assigned.set(key, least);
  }
  return (key) => assigned.get(key) ?? 0;
}

function hashOf(key: string): number {
  return createHash('sha256').update(key).digest().readUInt32BE(0);
}
