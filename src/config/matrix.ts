import type { Combination, EnvironmentEntry } from './schema.js';
import { DRIVERS_WITHOUT_RUNTIME } from './schema.js';

/** One environment: a point of the matrix. */
export interface Environment {
  /** Such as `docker-containerd-v1.36`; unique in a configuration. */
  readonly name: string;
  readonly driver: string;
  /** Absent for drivers without a runtime inside. */
  readonly containerRuntime?: string;
  readonly kubernetesVersion: string;
  readonly nodes: number;
  /** Prepared clusters kept frozen for fresh ones. */
  readonly pool?: { readonly min: number; readonly max: number };
  readonly options: Readonly<Record<string, unknown>>;
}

/** Something wrong in a configuration, with its place as keys and indexes from the top. */
export interface Problem {
  readonly path: readonly (string | number)[];
  readonly message: string;
}

type Point = Omit<Environment, 'name'> & { readonly givenName?: string; readonly path: readonly (string | number)[] };

/**
 * Expands the entries of `environments` into environments, in the order of the file.
 *
 * Every list of an entry is an axis. `exclude` takes combinations out, `include` adds some. The runtime does not apply
 * to drivers that have none inside. Names are as short as they can be and stay distinct: `docker-containerd-v1.36`, with
 * the full version or the number of nodes where two would be alike.
 *
 * @returns the environments and all problems: duplicates, an `exclude` that matches nothing, an entry left empty, a
 *   given name for several environments
 */
export function expandEnvironments(
  entries: readonly EnvironmentEntry[],
  defaultVersion: string,
): { readonly environments: readonly Environment[]; readonly problems: readonly Problem[] } {
  const problems: Problem[] = [];
  const points = entries.flatMap((entry, index) => expandEntry(entry, index, defaultVersion, problems));
  const seen = new Map<string, Point>();
  const distinct = points.filter((point) => {
    const key = pointKey(point);
    const first = seen.get(key);
    if (first) {
      problems.push({
        path: point.path,
        message: `the same environment as ${formatPath(first.path)} (${describe(point)})`,
      });
      return false;
    }
    seen.set(key, point);
    return true;
  });
  const environments = nameEnvironments(distinct, problems);
  return { environments, problems };
}

function expandEntry(entry: EnvironmentEntry, index: number, defaultVersion: string, problems: Problem[]): Point[] {
  const path = ['environments', index];
  const rest = {
    options: entry.options ?? {},
    ...(entry.pool
      ? { pool: { min: entry.pool.min ?? 0, max: entry.pool.max ?? Math.max(1, entry.pool.min ?? 0) } }
      : {}),
    ...(entry.name === undefined ? {} : { givenName: entry.name }),
    path,
  };
  const product: Point[] = [];
  for (const driver of listOf(entry.driver)) {
    const runtimes = DRIVERS_WITHOUT_RUNTIME.includes(driver)
      ? [undefined]
      : listOf(entry.containerRuntime ?? 'containerd');
    for (const containerRuntime of runtimes) {
      for (const kubernetesVersion of listOf(entry.kubernetes ?? defaultVersion)) {
        for (const nodes of listOf(entry.nodes ?? 1)) {
          product.push({
            driver,
            ...(containerRuntime === undefined ? {} : { containerRuntime }),
            kubernetesVersion,
            nodes,
            ...rest,
          });
        }
      }
    }
  }
  const excluded = (entry.exclude ?? []).map((combination, at) => {
    const matched = product.filter((point) => matches(point, combination));
    if (matched.length === 0) {
      problems.push({ path: [...path, 'exclude', at], message: 'matches no environment of this entry' });
    }
    return matched;
  });
  const left = product.filter((point) => !excluded.some((matched) => matched.includes(point)));
  const first = product[0];
  const included = first
    ? (entry.include ?? []).map((combination, at) => overlay(first, combination, [...path, 'include', at]))
    : [];
  const all = [...left, ...included];
  if (all.length === 0) problems.push({ path: [...path, 'exclude'], message: 'leaves no environment of this entry' });
  if (entry.name !== undefined && all.length > 1) {
    problems.push({
      path: [...path, 'name'],
      message: `one name for ${all.length} environments; leave it out or split the entry`,
    });
  }
  return all;
}

function listOf<T>(value: T | readonly T[]): readonly T[] {
  return Array.isArray(value) ? (value as readonly T[]) : [value as T];
}

function matches(point: Point, combination: Combination): boolean {
  return (
    (combination.driver === undefined || combination.driver === point.driver) &&
    (combination.containerRuntime === undefined || combination.containerRuntime === point.containerRuntime) &&
    (combination.kubernetes === undefined || combination.kubernetes === point.kubernetesVersion) &&
    (combination.nodes === undefined || combination.nodes === point.nodes)
  );
}

function overlay(first: Point, combination: Combination, path: readonly (string | number)[]): Point {
  const { containerRuntime: firstRuntime, ...rest } = first;
  const driver = combination.driver ?? first.driver;
  const runtime = DRIVERS_WITHOUT_RUNTIME.includes(driver)
    ? undefined
    : (combination.containerRuntime ?? firstRuntime ?? 'containerd');
  return {
    ...rest,
    driver,
    ...(runtime === undefined ? {} : { containerRuntime: runtime }),
    kubernetesVersion: combination.kubernetes ?? first.kubernetesVersion,
    nodes: combination.nodes ?? first.nodes,
    path,
  };
}

function pointKey(point: Point): string {
  return JSON.stringify([
    point.driver,
    point.containerRuntime,
    point.kubernetesVersion,
    point.nodes,
    point.options,
    point.givenName,
  ]);
}

/** Candidate names from short to long; an environment takes the first that no other one of the list shares. */
const NAMINGS: readonly ((point: Point) => string)[] = [
  (point) => [point.driver, point.containerRuntime, minorOf(point.kubernetesVersion)].filter(Boolean).join('-'),
  (point) => [point.driver, point.containerRuntime, point.kubernetesVersion].filter(Boolean).join('-'),
  (point) =>
    [point.driver, point.containerRuntime, minorOf(point.kubernetesVersion), `${point.nodes}n`]
      .filter(Boolean)
      .join('-'),
  (point) =>
    [point.driver, point.containerRuntime, point.kubernetesVersion, `${point.nodes}n`].filter(Boolean).join('-'),
];

function nameEnvironments(points: readonly Point[], problems: Problem[]): Environment[] {
  const candidates = points.map((point) =>
    point.givenName === undefined ? NAMINGS.map((naming) => naming(point)) : [point.givenName],
  );
  const uses = new Map<string, number>();
  for (const names of candidates) for (const name of new Set(names)) uses.set(name, (uses.get(name) ?? 0) + 1);
  const taken = new Map<string, Point>();
  return points.map((point, index) => {
    const names = candidates[index] ?? [];
    const name = names.find((candidate) => uses.get(candidate) === 1) ?? names.at(-1) ?? describe(point);
    const other = taken.get(name);
    if (other) {
      problems.push({
        path: point.path,
        message: `named ${name} like ${formatPath(other.path)}; give one of them a name of its own`,
      });
    }
    taken.set(name, point);
    const { givenName: _givenName, path: _path, ...environment } = point;
    return { name, ...environment };
  });
}

function minorOf(version: string): string {
  return version.split('.').slice(0, 2).join('.');
}

function describe(point: Omit<Environment, 'name'>): string {
  return [point.driver, point.containerRuntime, point.kubernetesVersion, `${point.nodes} nodes`]
    .filter(Boolean)
    .join(', ');
}

/** `environments[1].driver` from its parts. */
export function formatPath(path: readonly (string | number)[]): string {
  return path.reduce<string>(
    (text, part) => (typeof part === 'number' ? `${text}[${part}]` : text === '' ? part : `${text}.${part}`),
    '',
  );
}

/** What flags ask for; an absent axis is not restricted. */
export interface EnvironmentFilter {
  readonly drivers?: readonly string[];
  readonly containerRuntimes?: readonly string[];
  readonly kubernetesVersions?: readonly string[];
  /** Globs over names and drivers. */
  readonly environments?: readonly string[];
}

/**
 * Applies flags to the environments of a file: a value that the file has filters, a value that it does not have
 * overrides. So `--driver=docker` picks the docker environments of a file with several drivers, and runs a file made for
 * `local` on docker.
 *
 * @returns at least one environment unless `filter.environments` matches none or `environments` is empty
 */
export function selectEnvironments(
  environments: readonly Environment[],
  filter: EnvironmentFilter,
): readonly Environment[] {
  let selected = environments;
  selected = selectAxis(selected, filter.drivers, (environment) => environment.driver, withDriver);
  selected = selectAxis(
    selected,
    filter.containerRuntimes,
    (environment) => environment.containerRuntime,
    (environment, containerRuntime) =>
      DRIVERS_WITHOUT_RUNTIME.includes(environment.driver) ? undefined : { ...environment, containerRuntime },
  );
  selected = selectAxis(
    selected,
    filter.kubernetesVersions,
    (environment) => environment.kubernetesVersion,
    (environment, kubernetesVersion) => ({ ...environment, kubernetesVersion }),
  );
  const renamed = selected.every((environment) => environments.includes(environment)) ? selected : rename(selected);
  const globs = filter.environments;
  return globs === undefined
    ? renamed
    : renamed.filter((environment) => globs.some((glob) => matchesEnvironment(glob, environment)));
}

function selectAxis(
  environments: readonly Environment[],
  wanted: readonly string[] | undefined,
  valueOf: (environment: Environment) => string | undefined,
  override: (environment: Environment, value: string) => Environment | undefined,
): readonly Environment[] {
  if (wanted === undefined) return environments;
  const present = new Set(environments.map(valueOf));
  const template = environments.filter((environment) => wanted.includes(valueOf(environment) ?? ''));
  const sources = template.length > 0 ? template : environments;
  const added = wanted
    .filter((value) => !present.has(value))
    .flatMap((value) => sources.flatMap((environment) => override(environment, value) ?? []));
  return distinctOf([...template, ...added]);
}

function withDriver(environment: Environment, driver: string): Environment {
  const { containerRuntime, ...rest } = environment;
  if (DRIVERS_WITHOUT_RUNTIME.includes(driver)) return { ...rest, driver };
  return { ...rest, driver, containerRuntime: containerRuntime ?? 'containerd' };
}

function distinctOf(environments: readonly Environment[]): Environment[] {
  const byKey = new Map<string, Environment>();
  for (const environment of environments) {
    const { name: _name, ...identity } = environment;
    const key = JSON.stringify(identity, Object.keys(identity).sort());
    if (!byKey.has(key)) byKey.set(key, environment);
  }
  return [...byKey.values()];
}

function rename(environments: readonly Environment[]): Environment[] {
  return nameEnvironments(
    environments.map(({ name: _name, ...environment }) => ({ ...environment, path: [] })),
    [],
  );
}

/** Whether a glob (`*` and `?`) matches the name of an environment or of its driver. */
export function matchesEnvironment(glob: string, environment: Pick<Environment, 'name' | 'driver'>): boolean {
  const pattern = globToRegExp(glob);
  return pattern.test(environment.name) || pattern.test(environment.driver);
}

/** `*` is any text, `?` one character; the whole name must match. */
export function globToRegExp(glob: string): RegExp {
  const source = glob.replace(/[.+^${}()|[\]\\*?]/g, (char) =>
    char === '*' ? '.*' : char === '?' ? '.' : `\\${char}`,
  );
  return new RegExp(`^${source}$`, 's');
}
