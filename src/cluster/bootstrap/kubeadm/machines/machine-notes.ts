import { identifySelf } from '../../../../process.js';
import type { ClusterRecord, MachineRecord } from '../../../folder.js';
import type { Journal, JournalEntry } from '../../../journal.js';
import type { Ownership } from '../../../ownership.js';
import { allOf } from '../all-of.js';

/** Machines in the journal. */

/** A machine that is about to be made. */
export interface NotedMachine {
  readonly machine: MachineRecord;
  readonly entry: JournalEntry;
}

/**
 * Notes machines before they are made. Until they are up they belong to the process that makes them, whoever has the cluster
 * later.
 */
export async function noteMachines(
  journal: Journal,
  { spec: { driver }, machines = [] }: Pick<ClusterRecord, 'spec' | 'machines'>,
  ownership: Ownership,
): Promise<readonly NotedMachine[]> {
  return await allOf(
    machines.map(async (machine) => {
      const thing = { kind: 'resource', driver, type: 'machine', name: machine.name } as const;
      const entry = await journal.intend(thing, { ...ownership, owner: identifySelf() });
      return { machine: { ...machine, journalId: entry.id }, entry };
    }),
  );
}

/** What is up belongs to whom the record of its cluster names, also when that changes. */
export async function handOver(journal: Journal, entries: readonly JournalEntry[]): Promise<void> {
  for (const entry of entries) await journal.update(entry, { ownership: { owner: undefined } });
}

/** The machines are gone. */
export async function forgetMachines(journal: Journal, machines: readonly MachineRecord[]): Promise<void> {
  await allOf(machines.flatMap(({ journalId }) => (journalId === undefined ? [] : [journal.done(journalId)])));
}
