export { createKubeadmClusters, type KubeadmClustersOptions, type NodeImageProvider } from './kubeadm-clusters.js';
