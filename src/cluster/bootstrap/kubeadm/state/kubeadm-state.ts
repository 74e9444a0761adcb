import { rename, rm } from 'node:fs/promises';
import { join } from 'node:path';

import { hasRoomBeside } from '../../../../drivers/index.js';
import { MkCiError } from '../../../../errors.js';
import { writeClusterRecord, type ClusterRecord, type MachineRecord } from '../../../folder.js';
import type { StateAccess } from '../../../state-access.js';
import { allOf } from '../all-of.js';
import { bringUp, statePartsIn } from '../lifecycle/clone.js';
import { inotifyInstancesOf, ownershipOf } from '../machines/cluster-machines.js';
import type { NodeWork } from '../nodes/cluster-nodes.js';
import type { KubeadmContext } from '../context.js';
import { findSavedImage } from '../machines/find-image.js';
import { forgetMachines, noteMachines } from '../machines/machine-notes.js';
import { readNodeList, writeNodeList, type SavedNode } from './node-list.js';
import { saveNodes } from './node-state.js';
import { readSettings } from '../settings.js';
import { disown, pkiBefore, settleRestore } from './settle-restore.js';

/** Taking away what a restore made or replaced has its own limit. */
const REMOVE_MS = 90_000;

/** State of clusters whose nodes can be made anew: from their image, or by a driver that keeps whole machines as files. */
export function createKubeadmState(context: KubeadmContext): StateAccess {
  const { machines, journal, drivers } = context;

  /** @throws {MkCiError} `DRV_UNSUPPORTED` */
  const checkDriver = ({ spec }: ClusterRecord): void => {
    const { info, snapshots, states } = drivers.get(spec.driver);
    // Archives are for nodes that can be filled before anything runs in them, which those of other machines can not.
    if (info.machines === 'created' && (states !== undefined || snapshots === undefined)) return;
    throw new MkCiError('DRV_UNSUPPORTED', { message: `snapshots of clusters with driver ${spec.driver}` });
  };

  return {
    read: async (record, call, act) => {
      checkDriver(record);
      const { paths, signal, deadline, phases, name } = call;
      const state = await machines.stateOf(record, paths, signal);
      if (state !== 'running') throw new MkCiError('K8S_NOT_RUNNING', { message: `${name} is ${state}` });
      const saved = statePartsIn(join(paths.folder, 'saving'));
      const folder = join(paths.folder, 'saving');
      try {
        await rm(folder, { recursive: true, force: true });
        await phases.run('nodes-state', async () => {
          const work: NodeWork = { settings: readSettings(record.spec), signal, deadline };
          const { states } = drivers.get(record.spec.driver);
          if (states === undefined) {
            await saveNodes(await machines.attachAll(record, signal), saved.nodes, work);
          } else {
            const entries = record.machines ?? [];
            await allOf(entries.map((entry) => states.save(entry.name, join(saved.nodes, entry.node), signal)));
          }
          await writeNodeList(saved.nodes, record.machines ?? []);
        });
        return await act({ nodes: saved.nodes, pki: paths.pki });
      } finally {
        await rm(folder, { recursive: true, force: true });
      }
    },

    replace: async (record, call, fill) => {
      checkDriver(record);
      const { paths, signal, phases } = call;
      await settleRestore(context, record, call);
      const before = await machines.stateOf(record, paths, signal);
      const folder = join(paths.folder, 'restoring');
      await rm(folder, { recursive: true, force: true });
      const parts = statePartsIn(folder);
      try {
        await fill(parts);
        const saved = await readNodeList(parts.nodes);
        const image = await findSavedImage(context, record.spec, saved, signal);
        const replaced: ClusterRecord = { ...record, machines: renewMachines(record.machines ?? [], saved) };
        const operations = machines.operationsOf(record.spec);
        const removeAll = async (entries: readonly MachineRecord[]): Promise<void> => {
          const limit = AbortSignal.timeout(REMOVE_MS);
          await allOf(entries.map((entry) => operations.remove(entry.name, limit)));
          await forgetMachines(journal, entries);
        };
        const planned = await noteMachines(journal, replaced, ownershipOf(record, paths));
        const noted: ClusterRecord = { ...replaced, machines: planned.map(({ machine }) => machine) };
        // Only frozen: until the new ones run, the old ones are the cluster. But these keep their instances of inotify.
        if (before === 'running') {
          const instances =
            replaced.machines?.reduce((sum, entry) => sum + inotifyInstancesOf(record.spec, entry), 0) ?? 0;
          const { sharesKernel = false } = drivers.get(record.spec.driver).info;
          const hold = !sharesKernel || (await hasRoomBeside(instances)) ? 'pause' : 'stop';
          await phases.run(hold, async () => {
            await allOf((record.machines ?? []).map(({ name }) => operations[hold](name, signal)));
          });
        }
        const oldPki = pkiBefore(paths, record);
        await rename(paths.pki, oldPki);
        let restored: ClusterRecord;
        try {
          await rename(parts.pki, paths.pki);
          // Writes the record at its end: from then on the cluster consists of the new machines.
          restored = await bringUp(context, noted, { image, nodes: parts.nodes }, call);
        } catch (error) {
          await removeAll(noted.machines ?? []);
          await rm(paths.pki, { recursive: true, force: true });
          await rename(oldPki, paths.pki);
          const limit = AbortSignal.timeout(REMOVE_MS);
          await allOf((record.machines ?? []).map(({ name }) => operations.stop(name, limit)));
          await writeClusterRecord(paths, { ...record, wanted: 'stopped' });
          throw error;
        }
        await disown(journal, noted);
        await removeAll(record.machines ?? []);
        await rm(oldPki, { recursive: true, force: true });
        if (before === 'stopped') {
          await allOf((noted.machines ?? []).map(({ name }) => operations.stop(name, signal)));
          await writeClusterRecord(paths, { ...restored, wanted: 'stopped' });
        }
      } finally {
        await rm(folder, { recursive: true, force: true });
      }
    },
  };
}

/**
 * Machines for the nodes of a snapshot, with names that those of the cluster do not have: both are there for a moment. The
 * name of a node changes between two forms with each restore.
 */
export function renewMachines(have: readonly MachineRecord[], nodes: readonly SavedNode[]): MachineRecord[] {
  const [first] = have;
  const cluster = first?.name.replace(new RegExp(`-${first.node}(?:${RENEWED})?$`), '') ?? '';
  const taken = new Set(have.map(({ name }) => name));
  return nodes.map((node) => {
    const name = `${cluster}-${node.node}`;
    return { ...node, name: taken.has(name) ? `${name}${RENEWED}` : name };
  });
}

const RENEWED = '-b';
