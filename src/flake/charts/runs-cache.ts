import { httpUrl } from '../../results/http-url.js';
import type { DaySpan, RunScope } from '../store/chart-scope.js';
import type { FlakeStore } from '../store/store.js';
import { readEnvironmentRuns, type EnvironmentRunRow } from '../store/test-runs.js';
import type { TestRun } from './schemas.js';

/** A run with what the attempts in it show of it. */
export interface ShownRun extends EnvironmentRunRow {
  readonly at: string;
  readonly shown: Pick<TestRun, 'commit' | 'branch' | 'pullRequest' | 'url' | 'excluded'>;
}

export function shownRunOf(row: EnvironmentRunRow): ShownRun {
  const url = row.url === null ? undefined : httpUrl(row.url);
  return {
    ...row,
    at: new Date(row.startedAtMs).toISOString(),
    shown: {
      ...(row.sha.startsWith('run:') ? {} : { commit: row.sha }),
      ...(row.branch === null ? {} : { branch: row.branch }),
      ...(row.pullRequest === null ? {} : { pullRequest: row.pullRequest }),
      ...(url === undefined ? {} : { url }),
      ...(row.excluded === null ? {} : { excluded: row.excluded }),
    },
  };
}

export type RunsStore = Pick<FlakeStore, 'read' | 'dataVersion'>;

/** Most runs that are remembered of a database, some 300 bytes each. */
const MOST_RUNS = 50_000;

interface Remembered {
  version: string;
  runs: number;
  readonly lists: Map<string, readonly ShownRun[]>;
}

const remembered = new WeakMap<RunsStore, Remembered>();

/**
 * Runs of an environment, newest first: every page of a test of it needs the same. Remembered as long as the database does
 * not change, the lists used last.
 */
export async function runsOfEnvironment(
  store: RunsStore,
  environmentId: number,
  span: DaySpan,
  options: { readonly runs: RunScope['runs']; readonly limit: number },
): Promise<readonly ShownRun[]> {
  // Before the read: what comes in while it runs may be missing from it.
  const version = await store.dataVersion();
  let memory = remembered.get(store);
  if (memory?.version !== version) {
    memory = { version, runs: 0, lists: new Map() };
    remembered.set(store, memory);
  }
  const key = `${String(environmentId)} ${String(span.from)} ${String(span.to)} ${options.runs ?? 'all'} ${String(options.limit)}`;
  const known = memory.lists.get(key);
  if (known !== undefined) {
    memory.lists.delete(key);
    memory.lists.set(key, known);
    return known;
  }
  const runs = (await store.read((db) => readEnvironmentRuns(db, environmentId, span, options))).map(shownRunOf);
  if (memory.lists.has(key)) return runs;
  memory.lists.set(key, runs);
  memory.runs += runs.length;
  for (const [oldest, list] of memory.lists) {
    if (memory.runs <= MOST_RUNS) break;
    memory.lists.delete(oldest);
    memory.runs -= list.length;
  }
  return runs;
}
