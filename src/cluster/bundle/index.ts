export {
  DEFAULT_KUBERNETES_VERSION,
  type Bundle,
  type BundlePart,
  type BundleProgram,
  type BundleStep,
  type BundleStore,
  type EnsureBundleOptions,
} from './bundle.js';
export type { BundleProblem, CachedBundle, CacheEntry } from './cached-bundles.js';
export {
  BUNDLE_PARTS,
  DEFAULT_PARTS,
  formatPlatform,
  NODE_PARTS,
  parseKubernetesVersion,
  platformOf,
  programsOf,
  type Platform,
} from './catalogue.js';
export { buildGoPrograms, GoUnavailable, type GoBuildOptions } from './go-build.js';
export { hashFile } from './hash-file.js';
export { acquireLock, type LockHolder } from './lock.js';
export type { BundleManifest, ManifestFile } from './manifest.js';
export { endOrphanedBuilds } from './orphans.js';
export type { BundlePlan, PlannedProgram } from './plan.js';
export type { Removal } from './removal.js';
export { createWorkFolder, listFolder, storeFolders, syncToDisk } from './workspace.js';
export {
  createBundleStore,
  type BundleStoreOptions,
  type ManagedBundleStore,
  type SourceKind,
  type VerifiedBundle,
} from './store.js';
