import { createHash } from 'node:crypto';

import { stringify } from 'yaml';

import type { GoRecipe, Platform } from '../bundle/catalogue.js';
import { METRICS_SERVER, metricsServerObjects } from './metrics-server.js';

/** Addons that mk-ci has itself, as data: their program is compiled from its Go module, and put into an image `FROM scratch`. Pure. */

export interface AddonDefinition {
  /** For people. */
  readonly title: string;
  readonly version: string;
  /** Lowest minor version of Kubernetes 1 that the version is for. */
  readonly minimumMinor: number;
  /** Name of the image without tag: that of the project, so that a node which lacks the image can pull it. */
  readonly image: string;
  readonly goPackage: string;
  readonly go: GoRecipe;
  readonly objects: (image: string) => readonly object[];
}

export const ADDONS = {
  [METRICS_SERVER]: {
    title: 'metrics-server',
    version: 'v0.9.0',
    // Its table of compatible versions.
    minimumMinor: 34,
    image: 'registry.k8s.io/metrics-server/metrics-server',
    goPackage: 'sigs.k8s.io/metrics-server/cmd/metrics-server',
    go: {
      module: 'sigs.k8s.io/metrics-server',
      stamps: ({ version, commit, time }) => ({
        'k8s.io/client-go/pkg/version.gitVersion': version,
        'k8s.io/client-go/pkg/version.gitCommit': commit === '' ? 'unknown' : commit,
        'k8s.io/client-go/pkg/version.buildDate': time,
      }),
    },
    objects: metricsServerObjects,
  },
} as const satisfies Readonly<Record<string, AddonDefinition>>;

export type AddonName = keyof typeof ADDONS;

export const ADDON_NAMES = Object.keys(ADDONS) as readonly AddonName[];

export function isAddonName(value: unknown): value is AddonName {
  return ADDON_NAMES.some((name) => name === value);
}

/** With tag, such as `registry.k8s.io/metrics-server/metrics-server:v0.9.0`. */
export function addonImage(name: AddonName): string {
  const { image, version } = ADDONS[name];
  return `${image}:${version}`;
}

/** Raised when the same program gives another image. */
const IMAGE_RECIPE = 1;

/** File of the image's archive, which names the content before it is made. */
export function addonImageFile(name: AddonName, arch: Platform['arch']): string {
  const { version, go, goPackage } = ADDONS[name];
  const inputs = [IMAGE_RECIPE, addonImage(name), go.module, goPackage, arch].join('\n');
  return `${name}-${version}-${arch}-${createHash('sha256').update(inputs).digest('hex').slice(0, 8)}.tar`;
}

/** What is applied to a cluster that has the addon. */
export function renderAddon(name: AddonName): string {
  return ADDONS[name]
    .objects(addonImage(name))
    .map((object) => stringify(object, { aliasDuplicateObjects: false }))
    .join('---\n');
}
