/**
 * Clusters of machines with a kubelet. Rooms: `render/` what is written into nodes, pure; `machines/` the machines of a cluster as
 * a whole, whichever driver makes them; `nodes/` what is done inside them; `lifecycle/` start, readiness and status of a cluster;
 * `state/` saving it, restoring it; `upgrade/` other versions of Kubernetes. `kubeadm-clusters.ts` puts them together.
 */
export type { AddonImageProvider, KubeadmClustersOptions, NodeImageProvider, UpgradePartsProvider } from './context.js';
export { createKubeadmClusters } from './kubeadm-clusters.js';
export { recipeDigest } from './render/recipe.js';
