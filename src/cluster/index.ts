export type { ApiAnswer, ApiClient } from './api-client.js';
export { connectToCluster, type ClusterConnection } from './bootstrap/attach.js';
export { ADDON_NAMES, isAddonName, type AddonName } from './addons/catalogue.js';
export {
  recipeDigest,
  type AddonImageProvider,
  type NodeImageProvider,
  type UpgradePartsProvider,
} from './bootstrap/kubeadm/index.js';
export { createFolderBundle } from './bundle/folder-bundle.js';
export { renderTokenKubeconfig } from './kubeconfig.js';
export {
  clusterEnvironment,
  createClusterManager,
  type ClusterMachineManager,
  type ClusterManagerOptions,
  type ClusterNodesManager,
  type ClusterStateManager,
  type ClusterUpgradeManager,
  type FullClusterManager,
  type SeedableClusterManager,
  type StartOptions,
} from './manager.js';
export { clusterFolder, readFolderOwnership } from './folder.js';
export { NO_VERSION, kubernetesAbsent } from './without-kubernetes.js';
