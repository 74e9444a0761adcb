import { globToRegExp, matchesEnvironment, type Environment, type SuiteConfig } from '../config/index.js';
import { MkCiError } from '../errors.js';
import type { CellInfo, ShardInfo } from '../results/model.js';
import { folderNameOf } from '../results/run-folder.js';
import { assignEvenly } from './shards.js';

/** What is to be planned: the environments that flags left, and the suites of the file. */
export interface PlanInput {
  readonly environments: readonly Environment[];
  readonly suites: readonly SuiteConfig[];
}

/** Flags that filter or override. */
export interface PlanFilters {
  /** Names or globs; absent or empty means all. */
  readonly suites?: readonly string[];
  /** The part of all cells that this machine runs. */
  readonly shard?: ShardInfo;
  /** Exactly these cells, by id; absent or empty means all. What `mk-ci matrix` gives a machine. */
  readonly cells?: readonly string[];
  /** Overrides `retries` of every suite. */
  readonly retries?: number;
  /** Overrides `timeoutMinutes` of every suite. */
  readonly timeoutMs?: number;
  /** Pattern of test names, handed to the tool of a suite. */
  readonly select?: string;
}

/** Expected duration of a cell from earlier runs, or `undefined`. */
export type CellDurations = (environment: string, suite: string) => number | undefined;

export interface PlannedCell extends CellInfo {
  readonly suiteConfig: SuiteConfig;
  readonly environmentConfig: Environment;
  readonly timeoutMs: number;
  readonly retries: number;
  readonly select?: string;
  /** From earlier runs. */
  readonly expectedMs?: number;
}

/** A cluster that the run will start. */
export interface PlannedCluster {
  readonly environment: string;
  readonly kind: 'shared' | 'fresh';
  /** Cells that use it (shared), or that get one of their own (fresh). */
  readonly cells: readonly string[];
}

export interface RunPlan {
  readonly environments: readonly Environment[];
  /** In the order in which they should start. */
  readonly cells: readonly PlannedCell[];
  readonly clusters: readonly PlannedCluster[];
  readonly warnings: readonly string[];
}

/**
 * Cells = environments × suites × shards, in starting order: longest first as far as durations are known, then as in the
 * file.
 *
 * @throws {MkCiError} `CLI_USAGE` for a suite name that matches nothing, `CFG_NOTHING_SELECTED` when no cell is left
 */
export function planRun(
  input: PlanInput,
  filters: PlanFilters = {},
  durations: CellDurations = () => undefined,
): RunPlan {
  const warnings: string[] = [];
  const suites = selectSuites(input.suites, filters.suites ?? []);
  const all = suites.flatMap((suite) => {
    const environments = input.environments.filter((environment) =>
      suite.environments.some((glob) => matchesEnvironment(glob, environment)),
    );
    if (environments.length === 0) {
      warnings.push(`suite ${suite.name} runs nowhere: environments ${suite.environments.join(', ')} match none`);
    }
    return environments.flatMap((environment) => cellsOf(suite, environment, filters, durations));
  });
  const mine = takeShard(takeCells(all, filters.cells ?? []), filters.shard);
  if (mine.length === 0) {
    throw new MkCiError('CFG_NOTHING_SELECTED', {
      ...(filters.shard === undefined || all.length === 0
        ? {}
        : {
            message: `shard ${filters.shard.index}/${filters.shard.total} of ${all.length} cells is empty`,
            advice: `Use at most ${all.length} shards, or set shards on a suite.`,
          }),
      ...(all.length === 0 && warnings.length > 0 ? { details: { problems: warnings } } : {}),
    });
  }
  const cells = longestFirst(mine);
  const used = new Set(cells.map((cell) => cell.environment));
  return {
    environments: input.environments.filter((environment) => used.has(environment.name)),
    cells,
    clusters: clustersOf(cells),
    warnings,
  };
}

function selectSuites(suites: readonly SuiteConfig[], wanted: readonly string[]): readonly SuiteConfig[] {
  if (wanted.length === 0) return suites;
  const patterns = wanted.map((name) => ({ name, pattern: globToRegExp(name) }));
  const unknown = patterns.filter(({ pattern }) => !suites.some((suite) => pattern.test(suite.name)));
  if (unknown.length > 0) {
    throw new MkCiError('CLI_USAGE', {
      message: `no suite is called ${unknown.map(({ name }) => name).join(', ')}`,
      advice: `Suites of the file: ${suites.map((suite) => suite.name).join(', ')}.`,
    });
  }
  return suites.filter((suite) => patterns.some(({ pattern }) => pattern.test(suite.name)));
}

function cellsOf(
  suite: SuiteConfig,
  environment: Environment,
  filters: PlanFilters,
  durations: CellDurations,
): PlannedCell[] {
  const expectedMs = durations(environment.name, suite.name);
  return Array.from({ length: suite.shards }, (_, at): PlannedCell => {
    const shard = suite.shards > 1 ? { index: at + 1, total: suite.shards } : undefined;
    const suffix = shard === undefined ? '' : `.${shard.index}-of-${shard.total}`;
    return {
      id: `${folderNameOf(environment.name)}.${folderNameOf(suite.name)}${suffix}`,
      environment: environment.name,
      suite: suite.name,
      ...(shard === undefined ? {} : { shard }),
      suiteConfig: suite,
      environmentConfig: environment,
      timeoutMs: filters.timeoutMs ?? suite.timeoutMinutes * 60_000,
      retries: filters.retries ?? suite.retries,
      ...(filters.select === undefined ? {} : { select: filters.select }),
      ...(expectedMs === undefined ? {} : { expectedMs: expectedMs / suite.shards }),
    };
  });
}

function takeCells(all: readonly PlannedCell[], wanted: readonly string[]): readonly PlannedCell[] {
  if (wanted.length === 0) return all;
  const unknown = wanted.filter((id) => !all.some((cell) => cell.id === id));
  if (unknown.length > 0) {
    throw new MkCiError('CLI_USAGE', {
      message: `there is no cell ${unknown.join(', ')}`,
      advice: 'mk-ci run --dry-run lists the cells.',
    });
  }
  return all.filter((cell) => wanted.includes(cell.id));
}

function takeShard(cells: readonly PlannedCell[], shard: ShardInfo | undefined): readonly PlannedCell[] {
  if (shard === undefined) return cells;
  const mine = new Set(
    assignEvenly(
      cells.map((cell) => cell.id),
      shard.total,
    )[shard.index - 1],
  );
  return cells.filter((cell) => mine.has(cell.id));
}

function longestFirst(cells: readonly PlannedCell[]): PlannedCell[] {
  const known = cells.flatMap((cell) => cell.expectedMs ?? []);
  const unknown = known.length === 0 ? 0 : Math.max(...known);
  // What never ran may be the longest of all: it goes first, and the order of the file decides between equals.
  return [...cells].sort((a, b) => (b.expectedMs ?? unknown) - (a.expectedMs ?? unknown));
}

function clustersOf(cells: readonly PlannedCell[]): PlannedCluster[] {
  const clusters = new Map<string, { environment: string; kind: 'shared' | 'fresh'; cells: string[] }>();
  for (const cell of cells) {
    const kind = cell.suiteConfig.cluster;
    const key = `${kind} ${cell.environment}`;
    const known = clusters.get(key);
    if (known) known.cells.push(cell.id);
    else clusters.set(key, { environment: cell.environment, kind, cells: [cell.id] });
  }
  return [...clusters.values()];
}

/** `2/5` as shard 2 of 5. @throws {MkCiError} `CLI_USAGE` */
export function parseShard(text: string): ShardInfo {
  const match = /^(\d{1,4})\/(\d{1,4})$/.exec(text);
  const index = Number(match?.[1]);
  const total = Number(match?.[2]);
  if (match === null || index < 1 || total < 1 || index > total) {
    throw new MkCiError('CLI_USAGE', { message: `--shard ${text}`, advice: 'Give a shard as i/n, such as 1/4.' });
  }
  return { index, total };
}
