import { rm } from 'node:fs/promises';

import { MkCiError, hostErrorOf, messageOf } from '../../../../errors.js';
import type { ClusterFolder, ClusterRecord } from '../../../folder.js';
import type { KubeadmContext } from '../context.js';

/** Removes all of a cluster: machines by its record and by the labels of its folder, the folder, its note in the journal. */
export async function removeCluster(
  { machines, journal }: Pick<KubeadmContext, 'machines' | 'journal'>,
  record: Pick<ClusterRecord, 'spec' | 'machines' | 'journalId'>,
  paths: ClusterFolder,
  signal: AbortSignal,
): Promise<void> {
  await machines.remove(record, paths, signal);
  await removeFolder(paths.folder);
  if (record.journalId !== undefined) await journal.done(record.journalId);
}

/** What failed, and that something of it is left. */
export function leftBehind(error: unknown, second: unknown, advice = 'Run mk-ci gc --yes.'): MkCiError {
  return new MkCiError('DRV_FAILED', {
    message: `${messageOf(error)}; and what was made of it could not be removed: ${messageOf(second)}`,
    advice,
    cause: new AggregateError([error, second]),
  });
}

export async function removeFolder(folder: string): Promise<void> {
  try {
    await rm(folder, { recursive: true, force: true, maxRetries: 3 });
  } catch (error) {
    throw hostErrorOf(error, folder) ?? error;
  }
}
