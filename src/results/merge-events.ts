import { createHash } from 'node:crypto';

import { mergeRuns } from './merge.js';
import type { RunEvent } from './events.js';
import type { RunResult } from './model.js';

/** One run folder as it was read. */
export interface ShardRun {
  /** Where it lies; copied from by the caller. */
  readonly folder: string;
  readonly run: RunResult;
  readonly events: readonly RunEvent[];
}

/** A cell of the merged run and the folder it comes from. */
export interface MergedCell {
  readonly id: string;
  readonly sourceId: string;
  readonly folder: string;
}

export interface MergedRun {
  readonly runId: string;
  readonly events: readonly RunEvent[];
  readonly cells: readonly MergedCell[];
  /** What a reader should know: missing and duplicate shards, sources that differ. */
  readonly problems: readonly string[];
}

type Started = Extract<RunEvent, { readonly type: 'run-started' }>;

/**
 * One record from those of several machines. Pure: the order of the runs makes no difference, and a run that is given
 * twice counts once. A cell that two runs hold is kept twice, the later one as `<cell>~<n>`.
 *
 * @throws {RangeError} for no runs
 */
export function mergeEvents(shards: readonly ShardRun[]): MergedRun {
  const distinct = [...new Map(shards.map((shard) => [fingerprint(shard), shard])).entries()]
    .sort(
      ([a, { run: x }], [b, { run: y }]) =>
        compare(x.startedAt, y.startedAt) || compare(x.runId, y.runId) || compare(a, b),
    )
    .map(([, shard]) => shard);
  const [first] = distinct;
  if (first === undefined) throw new RangeError('no runs to merge');
  const whole = mergeRuns(distinct.map(({ run }) => run));
  const runId =
    distinct.length === 1
      ? first.run.runId
      : `merged-${createHash('sha256').update(distinct.map(fingerprint).join()).digest('hex').slice(0, 12)}`;
  const cells: MergedCell[] = [];
  const infos: Started['cells'][number][] = [];
  const body: RunEvent[] = [];
  const planned = new Map<string, Started['cells'][number]>();
  let endedAt = whole.endedAt;
  for (const { run, events, folder } of distinct) {
    const rename = new Map<string, string>();
    const told = new Set(events.flatMap((event) => ('cell' in event ? [event.cell] : [])));
    for (const { id, environment, suite, shard } of run.cells) {
      const info = { id, environment, suite, ...(shard === undefined ? {} : { shard }) };
      // A run that only planned the cell says nothing about it.
      if (!told.has(id)) {
        planned.set(id, info);
        continue;
      }
      let name = id;
      for (let count = 2; cells.some((cell) => cell.id === name); count += 1) name = `${id}~${count}`;
      rename.set(id, name);
      cells.push({ id: name, sourceId: id, folder });
      infos.push({ ...info, id: name });
    }
    for (const event of events) {
      if (event.type === 'run-started' || event.type === 'run-ended') continue;
      body.push(renamed(event, rename));
    }
    const last = events.at(-1);
    if (last !== undefined && 'at' in last && (endedAt === undefined || last.at > endedAt)) endedAt = last.at;
  }
  for (const [id, info] of planned) if (!infos.some((known) => known.id === id)) infos.push(info);
  const problems = whole.repairs.map(({ message }) => message);
  const at = endedAt ?? whole.startedAt;
  return {
    runId,
    cells,
    problems,
    events: [
      {
        type: 'run-started',
        version: startedOf(first)?.version ?? 1,
        at: whole.startedAt,
        runId,
        toolVersion: whole.toolVersion,
        ...(whole.title === undefined ? {} : { title: whole.title }),
        source: whole.source,
        environments: whole.environments,
        cells: infos,
      },
      ...body,
      ...(whole.complete || (distinct.length === 1 && !first.run.complete)
        ? []
        : [
            {
              type: 'error' as const,
              at,
              code: 'RES_MALFORMED',
              message: `shards are missing or did not end: ${problems.join('; ')}`,
              infrastructure: true,
            },
          ]),
      ...(distinct.every(({ run }) => run.exitCode !== undefined)
        ? [{ type: 'run-ended' as const, at, exitCode: exitCodeOf(distinct, whole) }]
        : []),
    ],
  };
}

function exitCodeOf(shards: readonly ShardRun[], whole: RunResult): number {
  const worst = Math.max(...shards.map(({ run }) => run.exitCode ?? 0));
  return worst === 0 && !whole.complete ? 1 : worst;
}

function startedOf({ events }: ShardRun): Started | undefined {
  return events.find((event): event is Started => event.type === 'run-started');
}

function renamed(event: RunEvent, names: ReadonlyMap<string, string>): RunEvent {
  if (!('cell' in event)) return event;
  const cell = names.get(event.cell) ?? event.cell;
  if (cell === event.cell) return event;
  return event.type === 'attempt-started' && event.folder !== undefined
    ? { ...event, cell, folder: event.folder.replace(`cells/${event.cell}/`, `cells/${cell}/`) }
    : { ...event, cell };
}

function fingerprint({ events }: ShardRun): string {
  return createHash('sha256')
    .update(events.map((event) => JSON.stringify(event)).join('\n'))
    .digest('hex');
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
