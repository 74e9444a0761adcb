import type { DriverRegistry } from '../../../drivers/index.js';
import type { Logger } from '../../../log.js';
import type { AddonName } from '../../addons/catalogue.js';
import type { BundleStore } from '../../bundle/bundle.js';
import type { Journal } from '../../journal.js';
import type { ClusterMachines } from './machines/cluster-machines.js';

export interface KubeadmClustersOptions {
  readonly stateFolder: string;
  readonly drivers: DriverRegistry;
  readonly bundles: BundleStore;
  readonly journal: Journal;
  readonly log: Logger;
  readonly now: () => Date;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly nodeImage?: NodeImageProvider;
  /** Without it clusters can not be upgraded. */
  readonly upgradeParts?: UpgradePartsProvider;
  /** Without it clusters can have no addons of mk-ci. */
  readonly addonImage?: AddonImageProvider;
}

/** Gives the archive of the image of an addon, made when it is not there. @returns its path on this host */
export type AddonImageProvider = (name: AddonName, signal: AbortSignal) => Promise<string>;

/** Gives a driver the node image of a version, made when it is not there. @returns the name by which the driver knows it */
export type NodeImageProvider = (
  request: { readonly kubernetesVersion: string; readonly driver: string },
  signal: AbortSignal,
) => Promise<string>;

/** What nodes get that go to another version, on this host. */
export interface UpgradeParts {
  /** Folder with kubeadm, kubelet and kubectl. */
  readonly programs: string;
  /** The images that kubeadm asks for. */
  readonly imagesArchive: string;
}

/** Makes what is not there. */
export type UpgradePartsProvider = (kubernetesVersion: string, signal: AbortSignal) => Promise<UpgradeParts>;

/** What the parts of this folder are given. */
export interface KubeadmContext extends KubeadmClustersOptions {
  readonly machines: ClusterMachines;
}
