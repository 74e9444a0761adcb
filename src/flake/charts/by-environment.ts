import { readEnvironmentDays, type EnvironmentDayRow } from '../store/chart-runs.js';
import { readFailingSums, readSeriesNames, type FailingSeriesRow, type FailingSums } from '../store/chart-series.js';
import type { DaySpan, RunScope } from '../store/chart-scope.js';
import { readSeriesDays, type SeriesDayRow, type SeriesDays } from '../store/series-days.js';
import type { EnvironmentVersion, FlakeStore } from '../store/store.js';
import { EnvironmentMemo } from './environment-memo.js';

/** Reads of the overview and of environments, environment by environment. */

export type EnvironmentStore = Pick<FlakeStore, 'read' | 'environments'>;

/** What part of each environment is read. */
export interface EnvironmentView extends Pick<RunScope, 'repository' | 'runs'> {
  readonly span: DaySpan;
}

/** Tests that failed, those with most failures first. */
interface Failing {
  readonly most: readonly FailingSums[];
  readonly total: number;
}

/** Failing series that are looked at for a ranking; beyond, those with the fewest failures are left out. */
const CANDIDATES = 300;

const rememberedDays = new EnvironmentMemo<readonly EnvironmentDayRow[]>();
const rememberedFailing = new EnvironmentMemo<Failing>();
/** Grows by the series that are asked for. */
const rememberedSeries = new EnvironmentMemo<Map<number, readonly SeriesDayRow[]>>();

/** Days of the environments in the order in which these are given, oldest first. */
export async function daysOfEnvironments(
  store: EnvironmentStore,
  environments: readonly EnvironmentVersion[],
  view: EnvironmentView,
): Promise<EnvironmentDayRow[]> {
  const { span, ...scope } = view;
  const parts = await rememberedDays.get(store, keyOf(view), environments, async (environmentIds) => {
    const rows = await store.read((db) => readEnvironmentDays(db, { ...scope, environmentIds }, span));
    return groupByEnvironment(environmentIds, rows);
  });
  return [...parts.values()].flat();
}

/** Tests that failed most in the environments, with the days of each, and how many failed at all. */
export async function failingSeries(
  store: EnvironmentStore,
  environments: readonly EnvironmentVersion[],
  view: EnvironmentView,
): Promise<{ readonly rows: FailingSeriesRow[]; readonly total: number; readonly daysOf: SeriesDays }> {
  const { span, ...scope } = view;
  const parts = await rememberedFailing.get(store, keyOf(view), environments, async (environmentIds) => {
    const sums = await store.read((db) => readFailingSums(db, environmentIds, scope, span));
    const groups = groupByEnvironment(environmentIds, sums);
    return new Map([...groups].map(([id, own]) => [id, { most: mostFailing(own), total: own.length }]));
  });
  const most = mostFailing([...parts.values()].flatMap((part) => part.most));
  const names = await store.read((db) =>
    readSeriesNames(
      db,
      most.map(({ seriesId }) => seriesId),
    ),
  );
  const rows = most.flatMap((sums) => {
    const name = names.get(sums.seriesId);
    if (name === undefined) return [];
    const { repository, environment, package: pkg, test } = name;
    return [{ ...sums, repository, environment, package: pkg, test }];
  });
  return {
    rows,
    total: [...parts.values()].reduce((sum, part) => sum + part.total, 0),
    daysOf: await daysOfSeries(store, environments, view, rows),
  };
}

async function daysOfSeries(
  store: EnvironmentStore,
  environments: readonly EnvironmentVersion[],
  view: EnvironmentView,
  series: readonly FailingSums[],
): Promise<SeriesDays> {
  const parts = await rememberedSeries.get(
    store,
    keyOf(view),
    environments,
    async (ids) => new Map(ids.map((id) => [id, new Map()])),
  );
  const missing = series.filter(({ seriesId, environmentId }) => parts.get(environmentId)?.has(seriesId) === false);
  const ids = missing.map(({ seriesId }) => seriesId);
  const found = await store.read((db) => readSeriesDays(db, ids, view.span, view.runs));
  for (const { seriesId, environmentId } of missing) parts.get(environmentId)?.set(seriesId, found.get(seriesId) ?? []);
  return new Map(
    series.map(({ seriesId, environmentId }) => [seriesId, parts.get(environmentId)?.get(seriesId) ?? []]),
  );
}

function mostFailing(sums: readonly FailingSums[]): readonly FailingSums[] {
  return [...sums]
    .sort((left, right) => right.failures - left.failures || left.seriesId - right.seriesId)
    .slice(0, CANDIDATES);
}

/** An environment without rows has an empty list. */
function groupByEnvironment<Row extends { readonly environmentId: number }>(
  ids: readonly number[],
  rows: readonly Row[],
): Map<number, Row[]> {
  const groups = new Map<number, Row[]>(ids.map((id) => [id, []]));
  for (const row of rows) groups.get(row.environmentId)?.push(row);
  return groups;
}

function keyOf({ span, repository, runs }: EnvironmentView): string {
  return JSON.stringify([span.from, span.to, runs ?? 'all', repository]);
}
