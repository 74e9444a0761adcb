export { createClusterSource, type ClusterSourceOptions } from './cluster-source.js';
export { waitUntilSettled } from './settle.js';
