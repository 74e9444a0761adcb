import { readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';

import { MkCiError, hostErrorOf, systemErrorCode } from '../errors.js';
import { writeFileAtomically } from '../files.js';
import type { ProcessIdentity } from '../process.js';
import type { ClusterSpec } from './cluster.js';
import type { Ownership } from './ownership.js';

/**
 * Where the files of one cluster lie.
 *
 * Everything that says where a cluster runs (ports, paths) is in `cluster.json` and `run/`, which are written anew at every
 * start. What makes it this cluster (`etcd/`, `pki/`) knows nothing of its name, ports and place: copied into another
 * cluster's folder it is a clone.
 */
export interface ClusterFolder {
  readonly folder: string;
  /** {@link ClusterRecord} as JSON. */
  readonly record: string;
  readonly kubeconfig: string;
  readonly pki: string;
  /** Data of etcd. */
  readonly etcd: string;
  readonly logs: string;
  /** Kubeconfigs of the components, the supervisor's plan and state: of no use once the supervisor has ended. */
  readonly run: string;
  readonly plan: string;
  readonly supervisorState: string;
}

/** Ports on 127.0.0.1. */
export interface ClusterPorts {
  readonly etcdClient: number;
  readonly etcdPeer: number;
  readonly apiServer: number;
  readonly controllerManager: number;
  readonly scheduler: number;
  readonly kwok: number;
}

export const PORT_NAMES = [
  'etcdClient',
  'etcdPeer',
  'apiServer',
  'controllerManager',
  'scheduler',
  'kwok',
] as const satisfies readonly (keyof ClusterPorts)[];

/** What mk-ci remembers of a cluster between two calls. What really runs is asked of the processes, not of this. */
export interface ClusterRecord {
  readonly version: 1;
  readonly spec: ClusterSpec;
  readonly createdAt: string;
  /** What was last asked for. `starting` in a record without a living starter means that it was interrupted. */
  readonly wanted: 'starting' | 'running' | 'paused' | 'stopped';
  readonly server: string;
  /** Folder with kubectl. */
  readonly binaries: string;
  readonly runId?: string;
  /** Process with which the cluster ends; absent for one that was started by hand, once it is up. */
  readonly owner?: ProcessIdentity;
  /** Absent for clusters that are only attached to. */
  readonly ports?: ClusterPorts;
  /** Entry of the journal that names the folder. */
  readonly journalId?: string;
  /** Nodes that are machines of a driver, the control planes first; after them what is no node. */
  readonly machines?: readonly MachineRecord[];
}

export interface MachineRecord {
  /** For the driver. */
  readonly name: string;
  /** In Kubernetes. */
  readonly node: string;
  readonly isControlPlane: boolean;
  /** It is no node, but the way to the API servers, where there may be several. */
  readonly isBalancer?: true;
  /** Subnet of its pods; absent until it has one. */
  readonly podSubnet?: string;
  /** Identity of the image that it was made from, where its driver has images. */
  readonly image?: string;
  /** Entry of the journal that names the machine. */
  readonly journalId?: string;
}

export function clustersFolder(stateFolder: string): string {
  return join(stateFolder, 'clusters');
}

export function clusterFolder(stateFolder: string, name: string): ClusterFolder {
  return clusterFolderAt(join(clustersFolder(stateFolder), name));
}

/** The same for a folder that lies elsewhere, such as a template. */
export function clusterFolderAt(folder: string): ClusterFolder {
  const run = join(folder, 'run');
  return {
    folder,
    record: join(folder, 'cluster.json'),
    kubeconfig: join(folder, 'kubeconfig'),
    pki: join(folder, 'pki'),
    etcd: join(folder, 'etcd'),
    logs: join(folder, 'logs'),
    run,
    plan: join(run, 'plan.json'),
    supervisorState: join(run, 'supervisor.json'),
  };
}

/** @throws {MkCiError} `CLI_USAGE` for a name that is no folder name or DNS label */
export function checkClusterName(name: string): void {
  if (/^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$/.test(name)) return;
  throw new MkCiError('CLI_USAGE', {
    message: `cluster name ${JSON.stringify(name.slice(0, 60))}`,
    advice: 'Use 1 to 40 lower-case letters, digits and dashes, with a letter or digit at both ends.',
  });
}

/** @throws {MkCiError} `BND_UNKNOWN_VERSION` for anything but `v1.2.3`, with or without a suffix such as `-rc.1` */
export function checkKubernetesVersion(version: string): void {
  if (/^v\d{1,3}\.\d{1,3}\.\d{1,3}(-[0-9a-z.]{1,32})?$/.test(version)) return;
  throw new MkCiError('BND_UNKNOWN_VERSION', { message: JSON.stringify(version.slice(0, 60)) });
}

/** @returns `undefined` when there is no such cluster. @throws {MkCiError} `HOST_PERMISSION` */
export async function readClusterRecord(paths: ClusterFolder): Promise<ClusterRecord | undefined> {
  let text: string;
  try {
    text = await readFile(paths.record, 'utf8');
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return undefined;
    throw hostErrorOf(error, paths.record) ?? error;
  }
  return parseRecord(text);
}

export async function writeClusterRecord(paths: ClusterFolder, record: ClusterRecord): Promise<void> {
  await writeFileAtomically(paths.record, `${JSON.stringify(record, undefined, 2)}\n`, { mode: 0o600 });
}

/** To whom the cluster in a folder belongs, for `gc`; `undefined` when the folder holds no record. */
export async function readFolderOwnership(folder: string): Promise<Ownership | undefined> {
  const record = await readClusterRecord(clusterFolderAt(folder));
  if (record === undefined) return undefined;
  return {
    cluster: record.spec.name,
    folder,
    ...(record.runId === undefined ? {} : { runId: record.runId }),
    ...(record.owner === undefined ? {} : { owner: record.owner }),
  };
}

/** Names of all clusters, in the order of the alphabet; no state folder means none. */
export async function listClusterNames(stateFolder: string): Promise<string[]> {
  try {
    const entries = await readdir(clustersFolder(stateFolder), { withFileTypes: true });
    return entries.flatMap((entry) => (entry.isDirectory() ? [entry.name] : [])).sort();
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return [];
    throw hostErrorOf(error, stateFolder) ?? error;
  }
}

/** Longer values are not repeated: they are manifests, which may hold secrets. */
const LONGEST_SHOWN = 80;

/**
 * Whether two specs ask for the same cluster. Absent and empty options are equal; the order of keys does not matter.
 *
 * @returns the fields and options that differ, for the error message; empty when they are the same
 */
export function differencesOf(have: ClusterSpec, want: ClusterSpec): string[] {
  const fields = ['driver', 'containerRuntime', 'kubernetesVersion', 'nodes'] as const;
  const options = [...new Set([have, want].flatMap((spec) => Object.keys(spec.options ?? {})))].sort();
  return [
    ...fields.flatMap((field) => differenceOf(field, have[field], want[field])),
    ...options.flatMap((key) => differenceOf(`options.${key}`, have.options?.[key], want.options?.[key])),
  ];
}

function differenceOf(name: string, have: unknown, want: unknown): string[] {
  const [left, right] = [canonical(have), canonical(want)];
  if (left === right) return [];
  const isShown = left.length <= LONGEST_SHOWN && right.length <= LONGEST_SHOWN;
  return [isShown ? `${name}: has ${left}, asked for ${right}` : `${name}: has another value`];
}

function canonical(value: unknown): string {
  if (value === undefined) return 'none';
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`;
  if (typeof value === 'object' && value !== null) {
    const entries = Object.entries(value).filter(([, item]) => item !== undefined);
    if (entries.length === 0) return 'none';
    return `{${entries
      .sort(([left], [right]) => (left < right ? -1 : 1))
      .map(([key, item]) => `${key}:${canonical(item)}`)
      .join(',')}}`;
  }
  return JSON.stringify(value);
}

/** A record is only ever written whole by us: what is not one is treated as absent, so that `delete` can clean up. */
function parseRecord(text: string): ClusterRecord | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return isRecord(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

function isRecord(value: unknown): value is ClusterRecord {
  return (
    typeof value === 'object' &&
    value !== null &&
    'version' in value &&
    value.version === 1 &&
    'spec' in value &&
    typeof value.spec === 'object' &&
    'wanted' in value &&
    'server' in value
  );
}
