export type { KubeadmClustersOptions, NodeImageProvider, UpgradePartsProvider } from './context.js';
export { createKubeadmClusters } from './kubeadm-clusters.js';
export { recipeDigest } from './render/recipe.js';
