import { MkCiError, isMkCiError, messageOf } from '../../../../errors.js';
import { readClusterRecord, writeClusterRecord, type ClusterFolder, type ClusterRecord } from '../../../folder.js';
import type { UpgradeRequest } from '../../../backend.js';
import type { ClusterCall } from '../../../manager.js';
import { createDeadline } from '../../../phases.js';
import { waitForNodes, type ReadinessOptions } from '../../../readiness.js';
import type { StateAccess } from '../../../state-access.js';
import { allOf } from '../all-of.js';
import { kubeadmClient, runScript, type ClusterNode, type NodeWork } from '../nodes/cluster-nodes.js';
import type { KubeadmContext } from '../context.js';
import { nodeNamesOf } from '../machines/cluster-machines.js';
import { findImage, pinImage, withImages } from '../machines/find-image.js';
import { waitForDns } from '../lifecycle/kubeadm-readiness.js';
import { loadIntoNode, readArchiveManifest, readFromTar } from '../nodes/node-images.js';
import { planUpgrade } from './plan-upgrade.js';
import { readSettings } from '../settings.js';
import { renderCheckPods, upgradeNodes } from './upgrade-nodes.js';
import { goBack, readUpgradeNote, saveBeforeUpgrade, writeUpgradeNote, type UpgradeNote } from './way-back.js';

/** Time for the pods of a node to leave it: longer than a pod that does not end by itself is given, several times over. */
const DRAIN_SECONDS = 240;

/** The way back has its own limit, and is gone to its end. */
const BACK_MS = 300_000;

/**
 * Takes a running cluster to another version with `kubeadm upgrade`, node by node. When that fails or is interrupted, the
 * cluster gets the state back that it had before; so does one whose upgrade was killed, at the next call.
 *
 * @throws {MkCiError} `K8S_DOWNGRADE`, `K8S_SKIPPED_MINOR`, `K8S_NOT_RUNNING`, `DRV_UNSUPPORTED`, `BND_NO_SOURCE`,
 *   `K8S_UPGRADE_FAILED`
 */
export async function upgradeCluster(
  context: KubeadmContext,
  state: StateAccess,
  given: ClusterRecord,
  call: ClusterCall,
  { version, drainSeconds = DRAIN_SECONDS }: UpgradeRequest,
): Promise<ClusterRecord> {
  const { name, signal } = call;
  const interrupted = await readUpgradeNote(call.paths);
  // The record is written before the note: an upgrade whose version it has came to its end.
  const isOpen = interrupted?.isDone === false && given.spec.kubernetesVersion !== interrupted.to;
  if (isOpen) await wayBack(state, given, call, interrupted);
  const have = (await readClusterRecord(call.paths)) ?? given;
  const { spec } = have;
  if (!planUpgrade(name, spec.kubernetesVersion, version)) return have;
  await checkRunning(context, have, call);
  if (spec.options?.['nodeImage'] !== undefined) {
    throw new MkCiError('DRV_UNSUPPORTED', {
      message: `${name} is of a node image of its own, whose next version nobody knows`,
      advice: 'Start another cluster of the image with the new version.',
    });
  }
  const { upgradeParts } = context;
  if (upgradeParts === undefined)
    throw new MkCiError('BND_NO_SOURCE', { message: `programs and images of Kubernetes ${version}` });
  const nodes = await context.machines.attach(have, signal);
  await call.phases.run('pods', async () => {
    await checkPods(nodes, version, call);
  });
  // Before anything is changed: what the way back and later nodes are made from, programs, images.
  const { record, archive, images, programs } = await call.phases.run('programs', async () => {
    const image = await pinImage(context.drivers.get(spec.driver), await findImage(context, spec, signal), signal);
    await findImage(context, { ...spec, kubernetesVersion: version }, signal);
    const { imagesArchive, programs: folder } = await upgradeParts(version, signal);
    const manifest = await readFromTar(imagesArchive, 'manifest.json', signal);
    return {
      record: withImages(have, image),
      archive: imagesArchive,
      images: readArchiveManifest(manifest),
      programs: folder,
    };
  });
  const note = await saveBeforeUpgrade(state, record, call, version);
  try {
    const settings = readSettings({ ...spec, kubernetesVersion: version });
    const work: NodeWork = { settings, signal, deadline: call.deadline };
    await call.phases.run('images', async () => {
      await allOf(
        nodes.map(({ machine, record: { node } }) => loadIntoNode({ machine, node }, { archive, images }, work)),
      );
    });
    const upgrade = { clusterName: name, settings, before: readSettings(spec), programs, drainSeconds };
    await upgradeNodes(nodes, upgrade, work, call.phases);
    await waitForPods(record, call);
  } catch (error) {
    throw await failedUpgrade(state, record, call, note, error);
  }
  const upgraded: ClusterRecord = { ...record, spec: { ...spec, kubernetesVersion: version }, binaries: programs };
  await writeClusterRecord(call.paths, upgraded);
  await writeUpgradeNote(call.paths, { ...note, isDone: true });
  return upgraded;
}

/** Takes the last upgrade back, with all that happened since. @throws {MkCiError} `K8S_SNAPSHOT_NOT_FOUND` */
export async function undoUpgrade(
  context: KubeadmContext,
  state: StateAccess,
  record: ClusterRecord,
  call: ClusterCall,
): Promise<ClusterRecord> {
  const note = await noteToUndo(call.name, call.paths);
  await findImage(context, { ...record.spec, kubernetesVersion: note.from }, call.signal);
  await wayBack(state, record, call, note);
  return (await readClusterRecord(call.paths)) ?? record;
}

/** The upgrade that {@link undoUpgrade} takes back. @throws {MkCiError} `K8S_SNAPSHOT_NOT_FOUND` */
export async function noteToUndo(name: string, paths: ClusterFolder): Promise<UpgradeNote> {
  const note = await readUpgradeNote(paths);
  if (note !== undefined) return note;
  throw new MkCiError('K8S_SNAPSHOT_NOT_FOUND', {
    message: `${name} has no upgrade that can be taken back`,
    advice: 'Start another cluster of the version that is wanted.',
  });
}

/** @throws {MkCiError} `K8S_UPGRADE_FAILED` for pods that nodes can not be drained of */
async function checkPods(
  nodes: readonly ClusterNode[],
  version: string,
  { name, signal, deadline }: ClusterCall,
): Promise<void> {
  const [controlPlane] = nodes;
  if (controlPlane === undefined) return;
  try {
    await runScript(controlPlane.machine, renderCheckPods(nodes.map(({ record }) => record.node)), {
      signal,
      deadline,
    });
  } catch (error) {
    if (!isMkCiError(error, 'HOST_COMMAND_FAILED')) throw error;
    throw new MkCiError('K8S_UPGRADE_FAILED', {
      message: `${name} to ${version}: ${messageOf(error).slice(0, 400)}; nothing was changed`,
      cause: error,
      details: { output: error.details['output'] },
    });
  }
}

async function checkRunning({ machines }: KubeadmContext, record: ClusterRecord, call: ClusterCall): Promise<void> {
  const state = await machines.stateOf(record, call.paths, call.signal);
  if (state !== 'running') throw new MkCiError('K8S_NOT_RUNNING', { message: `${call.name} is ${state}` });
}

async function waitForPods(record: ClusterRecord, { phases, paths, signal, deadline }: ClusterCall): Promise<void> {
  if (readSettings(record.spec).cni === 'none') return;
  using client = await kubeadmClient(paths, record.server);
  const ready = (): ReadinessOptions => ({ signal, deadlineMs: deadline.leftMs(), check: async () => undefined });
  await phases.run('dns', async () => {
    await waitForNodes(client, nodeNamesOf(record), ready());
    await waitForDns(client, ready());
  });
}

async function wayBack(state: StateAccess, record: ClusterRecord, call: ClusterCall, note: UpgradeNote): Promise<void> {
  const limited: ClusterCall = {
    ...call,
    signal: AbortSignal.timeout(BACK_MS),
    deadline: createDeadline(BACK_MS),
  };
  await call.phases.run('way-back', async () => {
    await goBack(state, record, limited, note);
  });
}

/** Sets the cluster back. @returns the error for the caller: what failed, and where the cluster is now */
async function failedUpgrade(
  state: StateAccess,
  record: ClusterRecord,
  call: ClusterCall,
  note: UpgradeNote,
  error: unknown,
): Promise<unknown> {
  const why = messageOf(error).slice(0, 400);
  const output = error instanceof MkCiError ? error.details['output'] : undefined;
  const details = { from: note.from, to: note.to, ...(output === undefined ? {} : { output }) };
  try {
    await wayBack(state, record, call, note);
  } catch (second) {
    return new MkCiError('K8S_UPGRADE_FAILED', {
      message: `${call.name} to ${note.to}: ${why}; and its state of before could not be put back: ${messageOf(second)}`,
      advice: `Run mk-ci cluster upgrade ${call.name} --undo to try again.`,
      cause: new AggregateError([error, second]),
      details,
    });
  }
  if (call.signal.aborted) return call.signal.reason;
  return new MkCiError('K8S_UPGRADE_FAILED', {
    message: `${call.name} to ${note.to}: ${why}; it has ${note.from} again, as before`,
    cause: error,
    details,
  });
}
