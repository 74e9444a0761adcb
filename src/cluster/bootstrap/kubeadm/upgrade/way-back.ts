import { cp, mkdir, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';

import { z } from 'zod';

import { hostErrorOf, systemErrorCode } from '../../../../errors.js';
import { writeFileAtomically } from '../../../../files.js';
import type { ClusterFolder, ClusterRecord } from '../../../folder.js';
import type { ClusterCall } from '../../../manager.js';
import type { StateAccess } from '../../../state-access.js';
import { statePartsIn } from '../lifecycle/clone.js';

/** The state of a cluster before its upgrade, in its folder. There whole or not at all. */

const NOTE = z.object({
  version: z.literal(1),
  from: z.string(),
  to: z.string(),
  /** Folder with kubectl of `from`. */
  binaries: z.string(),
  /** The upgrade has come to its end. */
  isDone: z.boolean(),
});

export type UpgradeNote = z.infer<typeof NOTE>;

const folderOf = (paths: ClusterFolder): string => join(paths.folder, 'before-upgrade');
const noteIn = (folder: string): string => join(folder, 'upgrade.json');

/** @returns `undefined` when the cluster was not upgraded */
export async function readUpgradeNote(paths: ClusterFolder): Promise<UpgradeNote | undefined> {
  const path = noteIn(folderOf(paths));
  try {
    return NOTE.parse(JSON.parse(await readFile(path, 'utf8')));
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return undefined;
    throw hostErrorOf(error, path) ?? error;
  }
}

export async function writeUpgradeNote(paths: ClusterFolder, note: UpgradeNote): Promise<void> {
  await writeFileAtomically(noteIn(folderOf(paths)), JSON.stringify(note), { mode: 0o600 });
}

/** Saves the state of a running cluster, in place of that of an earlier upgrade. */
export async function saveBeforeUpgrade(
  state: StateAccess,
  record: ClusterRecord,
  call: ClusterCall,
  to: string,
): Promise<UpgradeNote> {
  const folder = folderOf(call.paths);
  const unfinished = `${folder}.new`;
  const parts = statePartsIn(unfinished);
  const from = record.spec.kubernetesVersion;
  const note: UpgradeNote = { version: 1, from, to, binaries: record.binaries, isDone: false };
  await rm(unfinished, { recursive: true, force: true });
  await mkdir(unfinished, { mode: 0o700 });
  await state.read(record, call, async ({ nodes = '', pki = '' }) => {
    await rename(nodes, parts.nodes);
    await cp(pki, parts.pki, { recursive: true });
  });
  await writeFileAtomically(noteIn(unfinished), JSON.stringify(note), { mode: 0o600 });
  await rm(folder, { recursive: true, force: true });
  await rename(unfinished, folder);
  return note;
}

/** Puts the saved state in place of what the cluster has, on the version of then. It can be done again when it fails. */
export async function goBack(
  state: StateAccess,
  record: ClusterRecord,
  call: ClusterCall,
  note: UpgradeNote,
): Promise<void> {
  const folder = folderOf(call.paths);
  const saved = statePartsIn(folder);
  const before: ClusterRecord = {
    ...record,
    spec: { ...record.spec, kubernetesVersion: note.from },
    binaries: note.binaries,
  };
  await state.replace(before, call, async ({ nodes = '', pki = '' }) => {
    await cp(saved.nodes, nodes, { recursive: true });
    await cp(saved.pki, pki, { recursive: true });
  });
  await rm(folder, { recursive: true, force: true });
}
