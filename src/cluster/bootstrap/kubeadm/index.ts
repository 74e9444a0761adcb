export type { AddonImageProvider, KubeadmClustersOptions, NodeImageProvider, UpgradePartsProvider } from './context.js';
export { createKubeadmClusters } from './kubeadm-clusters.js';
export { recipeDigest } from './recipe.js';
