import { MkCiError } from '../../../../errors.js';

interface Version {
  readonly minor: number;
  readonly patch: number;
  /** After the dash; '' for a release. */
  readonly suffix: string;
}

function parseVersion(text: string): Version {
  const [, minor = '0', patch = '0', suffix = ''] = /^v\d+\.(\d+)\.(\d+)(?:-(.+))?$/.exec(text) ?? [];
  return { minor: Number(minor), patch: Number(patch), suffix };
}

/**
 * Whether a cluster can go from one version of Kubernetes to another. Pure.
 *
 * @param from with `v`, as `checkKubernetesVersion` has found it right; `to` likewise
 * @returns false when it has that version
 * @throws {MkCiError} `K8S_DOWNGRADE`, `K8S_SKIPPED_MINOR`
 * @see {@link https://kubernetes.io/releases/version-skew-policy/} for the rule of one minor at a time
 */
export function planUpgrade(name: string, from: string, to: string): boolean {
  if (from === to) return false;
  const [have, want] = [parseVersion(from), parseVersion(to)];
  if (compare(want, have) < 0) {
    throw new MkCiError('K8S_DOWNGRADE', {
      message: `${name} has ${from}, which is later than ${to}`,
      advice: `Kubernetes has no way down: start another cluster of ${to}, or take an upgrade back with mk-ci cluster upgrade ${name} --undo.`,
    });
  }
  if (want.minor > have.minor + 1) {
    throw new MkCiError('K8S_SKIPPED_MINOR', {
      message: `${name} has ${from}, which is ${want.minor - have.minor} minor versions before ${to}`,
      advice: `Upgrade it to a version v1.${have.minor + 1}.x first.`,
    });
  }
  return true;
}

function compare(left: Version, right: Version): number {
  if (left.minor !== right.minor) return left.minor - right.minor;
  if (left.patch !== right.patch) return left.patch - right.patch;
  // A release comes after its candidates.
  if (left.suffix === '' || right.suffix === '') return (left.suffix === '' ? 1 : 0) - (right.suffix === '' ? 1 : 0);
  return left.suffix.localeCompare(right.suffix, 'en', { numeric: true });
}
