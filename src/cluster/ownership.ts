import { formatIdentity, parseIdentity, type Labels, type ProcessIdentity } from '../process.js';

/** To whom a thing belongs, and until when. The same facts are in its labels and in the journal; either is enough for `gc`. */
export interface Ownership {
  /** What it is to mk-ci: `supervisor`, `kube-apiserver`, `node`, `suite` … */
  readonly role?: string;
  readonly cluster?: string;
  /** Folder of the cluster: once it is gone, nobody can manage the thing any more. */
  readonly folder?: string;
  readonly runId?: string;
  /**
   * The thing is a leftover once this process has ended. Absent for what outlives the command that made it: a cluster
   * started by hand.
   */
  readonly owner?: ProcessIdentity;
  /** ISO 8601. When it has no owner, it is a leftover after this. */
  readonly expiresAt?: string;
}

/** Labels for processes (`MK_CI_LABELS`), containers, volumes, networks and machines. */
export function ownershipLabels(ownership: Ownership): Labels {
  const { role, cluster, folder, runId, owner, expiresAt } = ownership;
  const labels = { role, cluster, folder, run: runId, owner: owner && formatIdentity(owner), expires: expiresAt };
  return Object.fromEntries(
    Object.entries(labels).flatMap(([key, value]) => (value === undefined ? [] : [[key, value]])),
  );
}

/** Inverse of {@link ownershipLabels}; labels of other keys are ignored, an owner that can not be read counts as none. */
export function readOwnership(labels: Labels): Ownership {
  const owner = labels['owner'] === undefined ? undefined : parseIdentity(labels['owner']);
  return {
    ...(labels['role'] === undefined ? {} : { role: labels['role'] }),
    ...(labels['cluster'] === undefined ? {} : { cluster: labels['cluster'] }),
    ...(labels['folder'] === undefined ? {} : { folder: labels['folder'] }),
    ...(labels['run'] === undefined ? {} : { runId: labels['run'] }),
    ...(owner === undefined ? {} : { owner }),
    ...(labels['expires'] === undefined ? {} : { expiresAt: labels['expires'] }),
  };
}
