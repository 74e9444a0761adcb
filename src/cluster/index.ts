export { createFolderBundle } from './bundle/folder-bundle.js';
export {
  createClusterManager,
  type ClusterManagerOptions,
  type SeedableClusterManager,
  type StartOptions,
} from './manager.js';
