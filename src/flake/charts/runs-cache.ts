import { httpUrl } from '../../results/http-url.js';
import type { DaySpan, RunScope } from '../store/chart-scope.js';
import type { EnvironmentVersion, FlakeStore } from '../store/store.js';
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

export type RunsStore = Pick<FlakeStore, 'read'>;

/** Most runs that are remembered of a database, some 300 bytes each. */
const MOST_RUNS = 50_000;

interface RememberedList {
  readonly version: string;
  readonly runs: readonly ShownRun[];
}

interface Remembered {
  runs: number;
  readonly lists: Map<string, RememberedList>;
}

const remembered = new WeakMap<RunsStore, Remembered>();

/**
 * Runs of an environment, newest first: every page of a test of it needs the same. Remembered as long as the environment does
 * not change, the lists used last.
 *
 * @param environment as it was before this is asked
 */
export async function runsOfEnvironment(
  store: RunsStore,
  { id, version }: Pick<EnvironmentVersion, 'id' | 'version'>,
  span: DaySpan,
  options: { readonly runs: RunScope['runs']; readonly limit: number },
): Promise<readonly ShownRun[]> {
  const memory = remembered.get(store) ?? { runs: 0, lists: new Map<string, RememberedList>() };
  remembered.set(store, memory);
  const key = JSON.stringify([id, span.from, span.to, options.runs ?? 'all', options.limit]);
  const forget = (oldest: string): void => {
    memory.runs -= memory.lists.get(oldest)?.runs.length ?? 0;
    memory.lists.delete(oldest);
  };
  const keep = (list: RememberedList): void => {
    forget(key); // last in the order of a Map: most recently used
    memory.lists.set(key, list);
    memory.runs += list.runs.length;
  };
  const known = memory.lists.get(key);
  if (known?.version === version) {
    keep(known);
    return known.runs;
  }
  const runs = (await store.read((db) => readEnvironmentRuns(db, id, span, options))).map(shownRunOf);
  keep({ version, runs });
  for (const oldest of memory.lists.keys()) {
    if (memory.runs <= MOST_RUNS) break;
    forget(oldest);
  }
  return runs;
}
