export type { KubeadmClustersOptions, NodeImageProvider } from './context.js';
export { createKubeadmClusters } from './kubeadm-clusters.js';
export { recipeDigest } from './recipe.js';
