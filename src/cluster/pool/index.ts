export { createClusterSource, type ClusterSourceOptions, type SpecWithoutName } from './cluster-source.js';
export { waitUntilSettled } from './settle.js';
