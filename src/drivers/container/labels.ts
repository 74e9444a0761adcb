import { createHash } from 'node:crypto';

import type { Labels } from '../../process.js';
import type { MachineSpec } from '../driver.js';

/** Labels on containers, volumes and networks: those of the spec with a prefix, and our own beside them. */
const PREFIX = 'mk-ci.label.';

/** Which machine a container or volume is, or for which machine a network was made. On everything that is ours. */
export const MACHINE_LABEL = 'mk-ci.machine';
export const NETWORK_LABEL = 'mk-ci.network';
const SPEC_LABEL = 'mk-ci.spec';
/** Instances of inotify that the node will have. */
export const INOTIFY_LABEL = 'mk-ci.inotify';

export function engineLabels(spec: MachineSpec): Labels {
  const own = {
    [MACHINE_LABEL]: spec.name,
    [NETWORK_LABEL]: networkOf(spec),
    [SPEC_LABEL]: specDigest(spec),
    [INOTIFY_LABEL]: String(spec.inotifyInstances ?? 0),
  };
  return { ...own, ...Object.fromEntries(Object.entries(spec.labels).map(([key, value]) => [PREFIX + key, value])) };
}

/** The labels of the spec from those of a container; `undefined` for one that is not ours. */
export function readEngineLabels(labels: Labels): Labels | undefined {
  if (labels[MACHINE_LABEL] === undefined) return undefined;
  return Object.fromEntries(
    Object.entries(labels).flatMap(([key, value]) =>
      key.startsWith(PREFIX) ? [[key.slice(PREFIX.length), value]] : [],
    ),
  );
}

export function isMadeFrom(labels: Labels, spec: MachineSpec): boolean {
  return labels[SPEC_LABEL] === specDigest(spec);
}

/** `key=value` of what a list shall be narrowed to. */
export function labelFilters(labels: Labels): string[] {
  return [MACHINE_LABEL, ...Object.entries(labels).map(([key, value]) => `${PREFIX}${key}=${value}`)];
}

/** Engines differ in what several filters mean: podman's list of volumes takes any of them. */
export function hasLabels(labels: Labels, wanted: Labels): boolean {
  return Object.entries(wanted).every(([key, value]) => labels[key] === value);
}

export function networkOf(spec: Pick<MachineSpec, 'name' | 'network'>): string {
  return `mk-ci-${spec.network ?? spec.name}`;
}

function specDigest(spec: MachineSpec): string {
  const { name, labels, cpus, memoryMiB, image, publishedPorts, network } = spec;
  const sorted = Object.entries(labels).sort(([left], [right]) => (left < right ? -1 : 1));
  const content = JSON.stringify([name, sorted, cpus, memoryMiB, image, publishedPorts, network]);
  return createHash('sha256').update(content).digest('hex').slice(0, 16);
}
