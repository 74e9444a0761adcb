import { readdir, rename, rm } from 'node:fs/promises';
import { basename, join } from 'node:path';

import type { MachineOperations } from '../../../../drivers/index.js';
import type { ClusterSpec } from '../../../cluster.js';
import type { ClusterFolder, ClusterRecord } from '../../../folder.js';
import type { Journal } from '../../../journal.js';
import type { ClusterCall } from '../../../manager.js';
import { allOf } from '../all-of.js';
import type { ClusterMachines } from '../machines/cluster-machines.js';

/**
 * A restore makes new machines beside the old ones. From before the first of them is made until the last of the old ones
 * is gone, a folder of this name holds the certificates of before; its end names the first of the old machines.
 */
export function pkiBefore(paths: ClusterFolder, { machines }: Pick<ClusterRecord, 'machines'>): string {
  return `${paths.pki}${BEFORE}${machines?.[0]?.name ?? ''}`;
}

const BEFORE = '.before-';

export interface SettleContext {
  readonly journal: Journal;
  readonly machines: Pick<ClusterMachines, 'list'> & {
    operationsOf(spec: Pick<ClusterSpec, 'driver'>): Pick<MachineOperations, 'remove'>;
  };
}

/**
 * Ends what a restore that was killed began: the record tells whether the cluster consists of the old machines or of the
 * new ones, and the others go. Whoever calls it holds the lock of the cluster. Without such a restore it asks no engine.
 */
export async function settleRestore(
  { machines, journal }: SettleContext,
  record: ClusterRecord,
  { paths, signal }: Pick<ClusterCall, 'paths' | 'signal'>,
): Promise<void> {
  const begin = `${basename(paths.pki)}${BEFORE}`;
  const left = (await readdir(paths.folder)).filter((name) => name.startsWith(begin));
  if (left.length === 0) return;
  const isOurs = new Set(record.machines?.map(({ name }) => name));
  const operations = machines.operationsOf(record.spec);
  const found = await machines.list(record.spec, paths, signal);
  await allOf(found.filter(({ name }) => !isOurs.has(name)).map(({ name }) => operations.remove(name, signal)));
  for (const { id, thing, ownership } of (await journal.list()).entries) {
    const isMachine = thing.kind === 'resource' && thing.type === 'machine';
    if (isMachine && ownership.folder === paths.folder && !isOurs.has(thing.name)) await journal.done(id);
  }
  await disown(journal, record);
  const oldPki = pkiBefore(paths, record);
  for (const path of left.map((name) => join(paths.folder, name))) {
    if (path === oldPki) {
      await rm(paths.pki, { recursive: true, force: true });
      await rename(oldPki, paths.pki);
    } else await rm(path, { recursive: true, force: true });
  }
}

/** Machines of a cluster that was started by hand outlive the command that restored it. */
export async function disown(
  journal: Journal,
  { runId, machines = [] }: Pick<ClusterRecord, 'runId' | 'machines'>,
): Promise<void> {
  if (runId !== undefined) return;
  const ids = new Set(machines.map(({ journalId }) => journalId));
  for (const entry of (await journal.list()).entries) {
    if (ids.has(entry.id)) await journal.update(entry, { ownership: { owner: undefined } });
  }
}
