export { createKubeadmClusters, type KubeadmClustersOptions } from './kubeadm-clusters.js';
